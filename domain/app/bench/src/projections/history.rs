//! Writes the events that are projected: many short streams (orders), a few long ones (books).

use super::samples;
use crate::failing;
use eventstore::{Batch, CommandMetadata, EventStore, Fingerprint, Head, Id, NewCommit, NewEvent};
use futures::StreamExt;
use ledgerfold::cli::{Failure, output};
use projections::{Follows, Projection};
use std::error::Error;
use std::iter::{repeat_n, zip};
use uuid::Uuid;

/// Short streams per round. A round also has its share of the long streams' events.
const ROUND_STREAMS: u32 = 200;
const CONCURRENT_PUTS: usize = 32;
/// Commits per put in a long stream, as in a group commit.
const LONG_BATCH: usize = 10;

/// The streams to write.
pub(super) struct History {
    pub(super) store: EventStore,
    /// All events. Half of them, rounded to whole streams, are in short streams.
    pub(super) events: u32,
    /// Long streams.
    pub(super) streams: u32,
    /// Events per short stream.
    pub(super) short: u32,
    /// The categories of short and of long streams.
    pub(super) categories: [String; 2],
}

/// The commits to append to one stream, by put.
struct StreamWriter {
    head: Head,
    puts: Vec<Vec<NewCommit>>,
}

impl History {
    pub(super) fn of(store: EventStore, events: u32, streams: u32) -> Result<Self, Failure> {
        let (first, sample) = sampled(samples::order(0))?;
        let short = u32::try_from(sample.len()).unwrap_or(u32::MAX).max(1);
        let categories =
            [first.category().to_owned(), sampled(samples::book(0))?.category().to_owned()];
        Ok(Self { store, events, streams, short, categories })
    }

    fn short_streams(&self) -> u32 {
        self.events / 2 / self.short
    }

    /// The number of events in streams that the projection follows.
    pub(super) fn events_of(&self, projection: &Projection) -> u32 {
        let [of_short, of_long] = &self.categories;
        let in_short = self.short_streams() * self.short;
        let shares = [(of_short, in_short), (of_long, self.events - in_short)];
        let follows = |category: &str| match projection.follows {
            Follows::All => true,
            Follows::Categories(categories) => categories.contains(&category),
        };
        shares.into_iter().filter(|(category, _)| follows(category)).map(|(_, events)| events).sum()
    }

    /// Writes all streams. Returns the first commits in order of time, one per batch.
    pub(super) async fn write(&self, first: usize) -> Result<Vec<Batch>, Failure> {
        let mut sample: Vec<Batch> = Vec::new();
        let long =
            (0..self.streams).map(|stream| Ok(Head::empty(&sampled(samples::book(stream))?)));
        let mut long = long.collect::<Result<Vec<Head>, Failure>>()?;
        let long_events = self.events - self.short_streams() * self.short;
        let rounds = self.short_streams().div_ceil(ROUND_STREAMS).max(1);
        for round in 0..rounds {
            output::progress(&format!(
                "writing {} events: {} %",
                self.events,
                round * 100 / rounds
            ));
            let share = |all: u32| (all / rounds) + u32::from(round < all % rounds);
            let mut writers = self.long_writers(&long, share(long_events), round)?;
            for stream in 0..share(self.short_streams()) {
                writers.push(self.short_writer(round * ROUND_STREAMS + stream)?);
            }
            let mut written = self.write_all(writers).await?;
            for (known, (head, _)) in zip(&mut long, &written) {
                *known = head.clone();
            }
            if sample.len() < first {
                sample.extend(in_order_of_time(written.drain(..).flat_map(|(_, batches)| batches)));
                sample.truncate(first);
            }
        }
        Ok(sample)
    }

    /// Writes streams concurrently. Returns their heads and batches in the order of the writers.
    async fn write_all(
        &self,
        writers: Vec<StreamWriter>,
    ) -> Result<Vec<(Head, Vec<Batch>)>, Failure> {
        let work = writers.into_iter().map(|StreamWriter { mut head, puts }| async move {
            let mut written = Vec::new();
            for commits in puts {
                let appended = failing(self.store.append(&head, commits).await)?;
                head = appended.head;
                written.push(appended.batch);
            }
            Ok((head, written))
        });
        let written: Vec<Result<_, Failure>> =
            futures::stream::iter(work).buffered(CONCURRENT_PUTS).collect().await;
        written.into_iter().collect()
    }

    fn long_writers(
        &self,
        streams: &[Head],
        events: u32,
        round: u32,
    ) -> Result<Vec<StreamWriter>, Failure> {
        let count = u32::try_from(streams.len()).unwrap_or(u32::MAX);
        let mut writers = Vec::new();
        for (stream, head) in zip(0.., streams) {
            let share = (events / count) + u32::from(stream < events % count);
            let event =
                |number: u32| samples::movement(stream, u64::from(round) << 32 | u64::from(number));
            let commits = (0..share).map(|number| new_commit(sampled(event(number))?));
            let commits = commits.collect::<Result<Vec<_>, Failure>>()?;
            let mut puts = Vec::new();
            let mut commits = commits.into_iter().peekable();
            while commits.peek().is_some() {
                puts.push(commits.by_ref().take(LONG_BATCH).collect());
            }
            writers.push(StreamWriter { head: head.clone(), puts });
        }
        Ok(writers)
    }

    fn short_writer(&self, number: u32) -> Result<StreamWriter, Failure> {
        let (stream, events) = sampled(samples::order(number))?;
        let puts = events.into_iter().map(|event| Ok(vec![new_commit(event)?]));
        Ok(StreamWriter { head: Head::empty(&stream), puts: puts.collect::<Result<_, Failure>>()? })
    }
}

fn sampled<T>(sample: Result<T, Box<dyn Error + Send + Sync>>) -> Result<T, Failure> {
    sample.map_err(|error| Failure::new("a sample is not valid", error))
}

/// One batch per commit, in order of time. The commits of a stream stay in order.
fn in_order_of_time(batches: impl Iterator<Item = Batch>) -> Vec<Batch> {
    let mut single: Vec<Batch> = batches
        .flat_map(|Batch { stream, commits }| {
            let streams = repeat_n(stream, commits.len());
            zip(streams, commits).map(|(stream, commit)| Batch { stream, commits: vec![commit] })
        })
        .collect();
    single.sort_by_key(|batch| batch.commits.first().map(|commit| commit.recorded_at));
    single
}

fn new_commit(event: NewEvent) -> Result<NewCommit, Failure> {
    let command_id = Id::from(Uuid::now_v7());
    let metadata = CommandMetadata {
        fingerprint: Fingerprint::of(&[command_id.as_str().as_bytes()]),
        correlation_id: Uuid::now_v7().into(),
        causation_id: None,
        actor: failing(Id::new("bench"))?,
        trace_parent: None,
        command_id,
    };
    Ok(NewCommit { metadata, events: vec![event] })
}
