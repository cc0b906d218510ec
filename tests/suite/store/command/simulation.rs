//! Several writers on a few streams, with faults: stale reads, lost answers, skewed clocks,
//! cancelled callers, repeated commands, and an audit index that lags, fails, is rebuilt and
//! removed. The random numbers are seeded; the timing of the engine is not.

use crate::harness::depth::full_or;
use crate::store::command::stale_reads::without_newest;
use crate::store::{Act, Answer, Engine, Process, Seen, Table, id_made_at, stream};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use eventstore::{
    CommandIndex, Commit, Consistency, ExecuteError, HandlerOptions, Hash, IndexLookup, Options,
    Segment, SnapshotVerification, StoreError, StreamId,
};
use fastrand::Rng;
use futures::future::join_all;
use projections::audit_index::AuditIndex;
use projections::{Projector, ReadModels, TimeLimit};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::SystemTime;

cases!(every_command_is_handled_once_and_answered_alike);

const SEED: u64 = 20_261_122;
const WRITERS: usize = 4;
const COMMANDS_PER_WRITER: usize = 125;
/// The number of streams in use at a time, and the commands of each writer until new ones follow.
const BUSY_STREAMS: usize = 3;
const COMMANDS_PER_PHASE: usize = 25;
const STREAMS: usize = BUSY_STREAMS * COMMANDS_PER_WRITER / COMMANDS_PER_PHASE;

/// A sent command, and its first answer.
#[derive(Clone)]
struct Sent {
    stream: StreamId,
    id: String,
    number: u64,
    answer: Option<(u64, Hash)>,
}

/// Counts events, so that a simulation without faults does not pass.
#[derive(Debug, Default)]
struct Happened {
    handled: usize,
    replayed: usize,
    races_lost: u32,
    died: usize,
    without_answer: usize,
    contention: usize,
}

/// The shared knowledge of the writers.
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
    let index = Index::new(engine, &table).await;
    let writers = (0..WRITERS).map(|number| {
        let chance = Rng::with_seed(SEED + u64::try_from(number).unwrap());
        let writer = Writer::new(&table, chance, &streams, &journal, &index);
        writer.work(number == 0)
    });
    join_all(writers).await;
    let few = full_or(10, 3);
    eprintln!("simulation: the index answered {:?}", index.answers.lock().unwrap());
    assert!(
        index.answers.lock().unwrap().iter().all(|answers| *answers > few),
        "too few queries of the index"
    );
    let Journal { mut sent, happened } = journal.into_inner().unwrap();
    eprintln!("simulation: {happened:?}");
    let Happened { replayed, races_lost, died, without_answer, .. } = happened;
    assert!(
        replayed > 10 && races_lost > 10 && died > 10 && without_answer > 10,
        "too little happened: {happened:?}"
    );
    let process = table.process();
    send_all_again(&process, &mut sent).await;
    let mut with_snapshot = 0;
    for stream in &streams {
        with_snapshot += usize::from(check_stream(&process, stream, &sent).await);
    }
    assert!(with_snapshot > 0, "no stream has a snapshot");
}

/// Without faults, every command without an answer gets one, and the others get the same answer
/// again.
async fn send_all_again(process: &Process, sent: &mut [Sent]) {
    for command in sent {
        let handled = process.count(&command.stream, &command.id, command.number).await.unwrap();
        let answer = (handled.version, handled.commit.unwrap().hash);
        assert_eq!(
            *command.answer.get_or_insert(answer),
            answer,
            "{} was answered differently",
            command.id
        );
    }
}

/// The stream has every command once, at the version in its answer, and nothing else. Returns
/// whether it has a snapshot: one of few commits has none.
async fn check_stream(process: &Process, stream: &StreamId, sent: &[Sent]) -> bool {
    let loaded = process.load(stream).await;
    let commits: Vec<&Commit> = loaded.batches.iter().flat_map(|batch| &batch.commits).collect();
    let places: HashMap<&str, (u64, Hash)> = commits
        .iter()
        .map(|c| (c.metadata.command_id.as_str(), (c.last_version(), c.hash)))
        .collect();
    assert_eq!(places.len(), commits.len(), "a command was applied twice");
    let own: Vec<&Sent> = sent.iter().filter(|command| command.stream == *stream).collect();
    assert_eq!(own.len(), commits.len(), "the stream has a commit that was not sent");
    for command in &own {
        assert_eq!(
            places.get(command.id.as_str()),
            command.answer.as_ref(),
            "{} is not at the version in its answer",
            command.id
        );
    }
    let total: u64 = own.iter().map(|command| command.number).sum();
    assert_eq!(process.tally(stream).await.total, total);
    assert!(commits.is_sorted_by_key(|commit| commit.recorded_at), "time ran backwards");
    let walk = process.store.verify(stream).await.unwrap();
    assert!(walk.verified(), "{:?}", walk.broken_at);
    let snapshot = process.tallies.verify_snapshot(stream).await.unwrap();
    assert_eq!(
        walk.hash(),
        process.store.head(stream, Consistency::Strong).await.unwrap().0.hash()
    );
    match snapshot {
        SnapshotVerification::Equal { .. } => true,
        SnapshotVerification::Absent => false,
        other @ (SnapshotVerification::Ignored | SnapshotVerification::Different { .. }) => {
            panic!("{other:?}")
        }
    }
}

/// The audit index that all writers query, and sometimes fill.
struct Index {
    process: Process,
    audit: AuditIndex,
    projector: Projector,
    client: Client,
    read_models: String,
    generation: AtomicU32,
    /// How often it said where a command is, that it is absent, and that it does not know.
    answers: Arc<Mutex<[u32; 3]>>,
}

impl Index {
    async fn new(engine: &Engine, table: &Table) -> Self {
        let (process, client) = (table.process(), table.client.clone());
        let read_models = engine.no_table().name;
        let rows = ReadModels::new(client.clone(), &read_models);
        let audit = AuditIndex::new(client.clone(), engine.no_table().name);
        rows.create_table().await.unwrap();
        audit.create_table().await.unwrap();
        let journal = projections::journal::Journal::new(client.clone(), "journal");
        let projector = Projector::new(process.store.clone(), rows, audit.clone(), journal);
        let (generation, answers) = (AtomicU32::new(1), Arc::default());
        Self { process, audit, projector, client, read_models, generation, answers }
    }

    /// The index as a writer asks it: one answer in five is lost, or is that it does not know.
    fn as_asked(&self, mut chance: Rng) -> CommandIndex {
        let (index, answers) = (self.projector.command_index(), Arc::clone(&self.answers));
        let chance = Mutex::new(chance.fork());
        Arc::new(move |mark, command| {
            let (asked, answers) = (index(mark, command), Arc::clone(&answers));
            let luck = chance.lock().unwrap().u8(..10);
            Box::pin(async move {
                let mut answer = asked.await?;
                if luck == 1 {
                    answer.lookup = IndexLookup::NotIndexed;
                }
                let kind = match answer.lookup {
                    IndexLookup::At(_) => 0,
                    IndexLookup::Absent => 1,
                    IndexLookup::NotIndexed => 2,
                };
                answers.lock().unwrap()[kind] += 1;
                if luck == 0 { Err("the answer is lost".into()) } else { Ok(answer) }
            })
        })
    }

    /// Enters what a stream has by now.
    async fn enter(&self, generation: u32, stream: &StreamId) {
        let batches = self.process.load(stream).await.batches;
        let commits: Vec<Commit> = batches.into_iter().flat_map(|batch| batch.commits).collect();
        self.audit
            .index(&self.process.store, generation, stream, &commits, TimeLimit::NONE)
            .await
            .unwrap();
    }

    /// Fills another generation, switches to it, and removes the one before.
    async fn rebuild(&self, streams: &[StreamId]) {
        let old = self.generation.load(Ordering::SeqCst);
        for stream in streams {
            self.enter(old + 1, stream).await;
        }
        self.say(old + 1, json!({"number": old, "state": "removing"})).await;
        self.generation.store(old + 1, Ordering::SeqCst);
        let (segment, mut cursor) = (Segment { index: 0, total: 1 }, None);
        loop {
            cursor = self.audit.remove_slice(old, segment, cursor).await.unwrap().next;
            if cursor.is_none() {
                return;
            }
        }
    }

    async fn say(&self, active: u32, other: Value) {
        let all = json!({"active": active, "other": other, "newest": active, "newest_job": 0, "job": null, "report": null});
        let put = self.client.put_item().table_name(&self.read_models);
        let put = put.item("row", AttributeValue::S("audit/generations".into()));
        let put = put.item("version", AttributeValue::N("1".into()));
        put.item("data", AttributeValue::S(all.to_string())).send().await.unwrap();
    }
}

struct Writer<'a> {
    process: Process,
    index: &'a Index,
    chance: Rng,
    /// Milliseconds that its clock is ahead: less than half the skew that is allowed, on either
    /// side.
    skew_ms: i64,
    streams: &'a [StreamId],
    journal: &'a Mutex<Journal>,
}

impl<'a> Writer<'a> {
    fn new(
        table: &Table,
        mut chance: Rng,
        streams: &'a [StreamId],
        journal: &'a Mutex<Journal>,
        index: &'a Index,
    ) -> Self {
        let skew_ms = chance.i64(-140_000..140_000);
        let clock = Arc::new(move || now_with(skew_ms));
        // Small caches, so that most lookups need the rules for ids that are not listed.
        let memory = HandlerOptions {
            cached_streams: [0, 2][chance.usize(..2)],
            commands_per_put: 4,
            remembered_ids: 5,
            snapshot_ids: 3,
            filtered_ids: 2,
            snapshot_after_batches: 4,
            ..HandlerOptions::default()
        };
        let command_index = Some(index.as_asked(chance.fork()));
        let options = Options { clock, max_attempts: 6, command_index, ..Options::default() };
        let process = table.process_that_remembers(options, memory);
        let mischief = Arc::new(Mutex::new(chance.fork()));
        process
            .wire
            .rule(move |seen| std::future::ready(treat(&seen, &mut mischief.lock().unwrap())));
        Self { process, index, chance, skew_ms, streams, journal }
    }

    async fn work(mut self, rebuilds: bool) {
        for count in 0..full_or(COMMANDS_PER_WRITER, 40) {
            let phase = count / COMMANDS_PER_PHASE;
            if rebuilds && count % COMMANDS_PER_PHASE == COMMANDS_PER_PHASE / 2 {
                self.index.rebuild(self.streams).await;
            }
            if self.chance.bool() {
                let stream =
                    &self.streams[phase * BUSY_STREAMS + self.chance.usize(..BUSY_STREAMS)];
                self.index.enter(self.index.generation.load(Ordering::SeqCst), stream).await;
            }
            let index =
                if self.chance.u8(..4) > 0 { self.invent(phase) } else { self.remember(phase) };
            // Sometimes sent twice, and another command for the same stream at the same time.
            let again = (0..self.chance.usize(1..3)).map(|_| index).collect::<Vec<_>>();
            let others =
                (0..self.chance.usize(..4)).map(|_| self.invent(phase)).collect::<Vec<_>>();
            let sends = again
                .into_iter()
                .chain(others)
                .map(|index| (index, self.life()))
                .collect::<Vec<_>>();
            join_all(sends.into_iter().map(|(index, life)| self.send(index, life))).await;
        }
    }

    /// A new command. Its id is a UUIDv7 of the writer's clock, a derived one, or a key without a
    /// time.
    fn invent(&mut self, phase: usize) -> usize {
        let made = id_made_at(now_with(self.skew_ms));
        let id = match self.chance.u8(..4) {
            0 => format!("~process:{made}"),
            1 | 2 => format!("key-{:016x}", self.chance.u64(..)),
            _ => made.to_string(),
        };
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
                let place = (handled.version, handled.commit.unwrap().hash);
                let sent = &mut self.sent[index];
                assert_eq!(
                    *sent.answer.get_or_insert(place),
                    place,
                    "{} was answered differently",
                    sent.id
                );
            }
            Some(Err(ExecuteError::Store(StoreError::Unavailable(_)))) => {
                happened.without_answer += 1
            }
            Some(Err(ExecuteError::Contention { .. })) => happened.contention += 1,
            Some(Err(other)) => panic!("{other:?}"),
        }
    }
}

fn now_with(skew_ms: i64) -> DateTime<Utc> {
    DateTime::<Utc>::from(SystemTime::now()) + TimeDelta::milliseconds(skew_ms)
}

/// The fault of a request. Often three in a row, so that the SDK's retries do not always succeed.
fn treat(seen: &Seen, chance: &mut Rng) -> Act {
    match (seen.operation.as_str(), chance.u8(..10)) {
        ("Query", 0..5) => without_newest(&seen.body, chance.usize(1..5)),
        ("PutItem", 0..2) => Act::LoseAnswer,
        ("PutItem", 2..4) => Act::AnswerInstead(500, String::new()),
        ("PutItem", 4) => Act::Answer(503, String::new()),
        _ => Act::Pass,
    }
}

/// Drops the future after this many polls, as a caller that goes away.
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
