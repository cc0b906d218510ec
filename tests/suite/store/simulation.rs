//! Several writers on a few streams, everything against them: stale reads, lost answers, skewed clocks, callers that die,
//! commands sent again and again. Chance is seeded, though the engine's own timing is not.

use super::stale_reads::without_newest;
use super::{Act, Answer, Engine, Process, Seen, Table, id_made_at, stream};
use chrono::{DateTime, TimeDelta, Utc};
use eventstore::{Commit, Consistency, ExecuteError, Fault, HandlerOptions, Hash, Options, StreamId};
use fastrand::Rng;
use futures::future::join_all;
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::SystemTime;

cases!(every_command_is_handled_once_and_answered_alike);

const SEED: u64 = 20_261_122;
const WRITERS: usize = 4;
const COMMANDS_PER_WRITER: usize = 125;
/// So many streams are busy at a time, and after so many commands of each writer come new ones.
const BUSY_STREAMS: usize = 3;
const COMMANDS_PER_PHASE: usize = 25;
const STREAMS: usize = BUSY_STREAMS * COMMANDS_PER_WRITER / COMMANDS_PER_PHASE;

/// A command that somebody sent, and the first answer that came.
#[derive(Clone)]
struct Sent {
    stream: StreamId,
    id: String,
    number: u64,
    answer: Option<(u64, Hash)>,
}

/// What happened, so that a simulation in which nothing does is no proof.
#[derive(Debug, Default)]
struct Happened {
    handled: usize,
    replayed: usize,
    races_lost: u32,
    died: usize,
    without_answer: usize,
    contention: usize,
}

/// What the writers know together.
#[derive(Default)]
struct Journal {
    sent: Vec<Sent>,
    happened: Happened,
}

async fn every_command_is_handled_once_and_answered_alike(engine: &Engine) {
    eprintln!("simulation: seed {SEED}");
    let table = engine.table().await;
    let streams: Vec<StreamId> = (0..STREAMS).map(|index| stream(&format!("s{index}"))).collect();
    let journal = Mutex::new(Journal::default());
    let writers = (0..WRITERS).map(|index| {
        let chance = Rng::with_seed(SEED + u64::try_from(index).unwrap());
        let writer = Writer::new(&table, chance, &streams, &journal);
        writer.work()
    });
    join_all(writers).await;
    let Journal { mut sent, happened } = journal.into_inner().unwrap();
    eprintln!("simulation: {happened:?}");
    let Happened { replayed, races_lost, died, without_answer, .. } = happened;
    assert!(replayed > 10 && races_lost > 10 && died > 10 && without_answer > 10, "too little happened: {happened:?}");
    let process = table.process();
    send_all_again(&process, &mut sent).await;
    for stream in &streams {
        check_stream(&process, stream, &sent).await;
    }
}

/// Nothing is in the way any more: whoever had no answer gets one, and whoever had one gets the same.
async fn send_all_again(process: &Process, sent: &mut [Sent]) {
    for command in sent {
        let handled = process.count(&command.stream, &command.id, command.number).await.unwrap();
        let answer = (handled.version, handled.commit.unwrap().hash);
        assert_eq!(*command.answer.get_or_insert(answer), answer, "{} was answered differently", command.id);
    }
}

/// The stream has every command once, at the place that its answer tells, and nothing else.
async fn check_stream(process: &Process, stream: &StreamId, sent: &[Sent]) {
    let loaded = process.load(stream).await;
    let commits: Vec<&Commit> = loaded.batches.iter().flat_map(|batch| &batch.commits).collect();
    let places: HashMap<&str, (u64, Hash)> =
        commits.iter().map(|c| (c.envelope.command_id.as_str(), (c.last_version(), c.hash))).collect();
    assert_eq!(places.len(), commits.len(), "a command was applied twice");
    let own: Vec<&Sent> = sent.iter().filter(|command| command.stream == *stream).collect();
    assert_eq!(own.len(), commits.len(), "the stream has a commit that nobody sent");
    for command in &own {
        assert_eq!(places.get(command.id.as_str()), command.answer.as_ref(), "{} is not where it was said", command.id);
    }
    let total: u64 = own.iter().map(|command| command.number).sum();
    assert_eq!(process.tally(stream).await.total, total);
    assert!(commits.is_sorted_by_key(|commit| commit.recorded_at), "time ran backwards");
    let walk = process.store.verify(stream).await.unwrap();
    assert!(walk.verified(), "{:?}", walk.broken_at);
    assert_eq!(walk.hash(), process.store.head(stream, Consistency::Strong).await.unwrap().0.hash());
}

struct Writer<'a> {
    process: Process,
    chance: Rng,
    /// Milliseconds that its clock is ahead: less than half the skew that is allowed, on either side.
    skew_ms: i64,
    streams: &'a [StreamId],
    journal: &'a Mutex<Journal>,
}

impl<'a> Writer<'a> {
    fn new(table: &Table, mut chance: Rng, streams: &'a [StreamId], journal: &'a Mutex<Journal>) -> Self {
        let skew_ms = chance.i64(-140_000..140_000);
        let clock = Arc::new(move || now_with(skew_ms));
        // Little is remembered, so that the rules for what is not remembered are what counts.
        let memory = HandlerOptions {
            cached_streams: [0, 2][chance.usize(..2)],
            commands_per_put: 4,
            remembered_ids: 5,
            snapshot_ids: 3,
            snapshot_after_batches: 4,
            check_one_in: 4,
            ..HandlerOptions::default()
        };
        let options = Options { clock, max_attempts: 6, ..Options::default() };
        let process = table.process_that_remembers(options, memory);
        let mischief = Arc::new(Mutex::new(chance.fork()));
        process.wire.rule(move |seen| std::future::ready(treat(&seen, &mut mischief.lock().unwrap())));
        Self { process, chance, skew_ms, streams, journal }
    }

    async fn work(mut self) {
        for count in 0..COMMANDS_PER_WRITER {
            let phase = count / COMMANDS_PER_PHASE;
            let index = if self.chance.u8(..4) > 0 { self.invent(phase) } else { self.remember(phase) };
            // Now and then once more, and beside it another one for the same stream: at the same time.
            let again = (0..self.chance.usize(1..3)).map(|_| index).collect::<Vec<_>>();
            let others = (0..self.chance.usize(..4)).map(|_| self.invent(phase)).collect::<Vec<_>>();
            let sends = again.into_iter().chain(others).map(|index| (index, self.life())).collect::<Vec<_>>();
            join_all(sends.into_iter().map(|(index, life)| self.send(index, life))).await;
        }
    }

    /// A new command; its id is a UUIDv7 of its own clock, or a key that tells no time.
    fn invent(&mut self, phase: usize) -> usize {
        let timeless = format!("key-{:016x}", self.chance.u64(..));
        let id = if self.chance.bool() { timeless } else { id_made_at(now_with(self.skew_ms)).to_string() };
        let stream = self.streams[phase * BUSY_STREAMS + self.chance.usize(..BUSY_STREAMS)].clone();
        let sent = &mut self.journal.lock().unwrap().sent;
        sent.push(Sent { stream, id, number: self.chance.u64(1..10), answer: None });
        sent.len() - 1
    }

    /// A command that somebody has sent before.
    fn remember(&mut self, phase: usize) -> usize {
        let sent = self.journal.lock().unwrap().sent.len();
        if sent == 0 { self.invent(phase) } else { self.chance.usize(..sent) }
    }

    /// How often the caller of a command looks for its answer before it goes away.
    fn life(&mut self) -> u32 {
        if self.chance.u8(..6) == 0 { self.chance.u32(1..12) } else { u32::MAX }
    }

    async fn send(&self, index: usize, life: u32) {
        let Sent { stream, id, number, .. } = self.journal.lock().unwrap().sent[index].clone();
        let answer = dies_after(life, self.process.count(&stream, &id, number)).await;
        self.journal.lock().unwrap().hear(index, answer);
    }
}

impl Journal {
    fn hear(&mut self, index: usize, answer: Option<Answer>) {
        let happened = &mut self.happened;
        match answer {
            None => happened.died += 1,
            Some(Ok(handled)) => {
                happened.handled += 1;
                happened.replayed += usize::from(handled.replayed);
                happened.races_lost += handled.lost_races;
                let told = (handled.version, handled.commit.unwrap().hash);
                let sent = &mut self.sent[index];
                assert_eq!(*sent.answer.get_or_insert(told), told, "{} was answered differently", sent.id);
            }
            Some(Err(ExecuteError::Fault(Fault::Unavailable(_)))) => happened.without_answer += 1,
            Some(Err(ExecuteError::Contention { .. })) => happened.contention += 1,
            Some(Err(other)) => panic!("{other:?}"),
        }
    }
}

fn now_with(skew_ms: i64) -> DateTime<Utc> {
    DateTime::<Utc>::from(SystemTime::now()) + TimeDelta::milliseconds(skew_ms)
}

/// What the wire does to a request: often enough thrice in a row that the SDK's retries do not always help.
fn treat(seen: &Seen, chance: &mut Rng) -> Act {
    match (seen.operation.as_str(), chance.u8(..10)) {
        ("Query", 0..5) => without_newest(&seen.body, chance.usize(1..5)),
        ("PutItem", 0..2) => Act::LoseAnswer,
        ("PutItem", 2..4) => Act::AnswerInstead(500, String::new()),
        ("PutItem", 4) => Act::Answer(503, String::new()),
        _ => Act::Pass,
    }
}

/// Drops the future when it has been polled so often: its caller is gone, whatever was under way.
async fn dies_after<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}
