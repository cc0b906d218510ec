//! The history that is projected: the app's samples, short streams and long ones.

use crate::cli::failure::Failure;
use crate::cli::output;
use eventstore::{Batch, CommandMetadata, EventStore, Fingerprint, Head, Id, NewCommit, NewEvent};
use futures::StreamExt;
use handlers::app::{SampleError, Samples};
use projections::{Follows, Projection};
use std::error::Error;
use std::iter::{repeat_n, zip};
use uuid::Uuid;

/// Short streams that are written at once, with as many events of long ones.
const ROUND_STREAMS: u32 = 200;
/// Puts under way at once.
const CONCURRENT_PUTS: usize = 32;
/// Commits of a long stream that one put writes, as the store does when many commands wait for the same stream.
const LONG_BATCH: usize = 10;

/// A history, and how much of it.
pub(super) struct History {
    pub(super) store: EventStore,
    pub(super) samples: Samples,
    /// Half of them are of short streams, as far as whole ones fit.
    pub(super) events: u32,
    /// Long streams.
    pub(super) streams: u32,
    /// Events of a short stream.
    pub(super) short: u32,
    /// The categories of short and of long streams.
    pub(super) categories: [String; 2],
}

/// A stream that is being written.
struct Writer {
    head: Head,
    batches: Vec<Vec<NewCommit>>,
}

impl History {
    pub(super) fn of(store: EventStore, samples: Samples, events: u32, streams: u32) -> Result<Self, Failure> {
        let (first, sample) = made((samples.short)(0))?;
        let short = u32::try_from(sample.len()).unwrap_or(u32::MAX).max(1);
        let categories = [first.category().to_owned(), made((samples.long)(0))?.category().to_owned()];
        Ok(Self { store, samples, events, streams, short, categories })
    }

    fn short_streams(&self) -> u32 {
        self.events / 2 / self.short
    }

    /// How many of the events are in streams that the projection follows.
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

    /// Writes it. The first commits of it, in order of time, are the answer, each in a batch of its own.
    pub(super) async fn write(&self, first: usize) -> Result<Vec<Batch>, Failure> {
        let mut sample: Vec<Batch> = Vec::new();
        let long = (0..self.streams).map(|stream| Ok(Head::empty(&made((self.samples.long)(stream))?)));
        let mut long = long.collect::<Result<Vec<Head>, Failure>>()?;
        let long_events = self.events - self.short_streams() * self.short;
        let rounds = self.short_streams().div_ceil(ROUND_STREAMS).max(1);
        for round in 0..rounds {
            output::progress(&format!("writing {} events: {} %", self.events, round * 100 / rounds));
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

    /// Writes the streams, many at once. Their heads and batches, in the order of the writers.
    async fn write_all(&self, writers: Vec<Writer>) -> Result<Vec<(Head, Vec<Batch>)>, Failure> {
        let work = writers.into_iter().map(|Writer { mut head, batches }| async move {
            let mut written = Vec::new();
            for commits in batches {
                let appended = failing(self.store.append(&head, commits).await)?;
                head = appended.head;
                written.push(appended.batch);
            }
            Ok((head, written))
        });
        let written: Vec<Result<_, Failure>> = futures::stream::iter(work).buffered(CONCURRENT_PUTS).collect().await;
        written.into_iter().collect()
    }

    fn long_writers(&self, streams: &[Head], events: u32, round: u32) -> Result<Vec<Writer>, Failure> {
        let count = u32::try_from(streams.len()).unwrap_or(u32::MAX);
        let mut writers = Vec::new();
        for (stream, head) in zip(0.., streams) {
            let share = (events / count) + u32::from(stream < events % count);
            let event = |number: u32| (self.samples.long_event)(stream, u64::from(round) << 32 | u64::from(number));
            let commits = (0..share).map(|number| new_commit(made(event(number))?));
            let commits = commits.collect::<Result<Vec<_>, Failure>>()?;
            let mut batches = Vec::new();
            let mut commits = commits.into_iter().peekable();
            while commits.peek().is_some() {
                batches.push(commits.by_ref().take(LONG_BATCH).collect());
            }
            writers.push(Writer { head: head.clone(), batches });
        }
        Ok(writers)
    }

    fn short_writer(&self, number: u32) -> Result<Writer, Failure> {
        let (stream, events) = made((self.samples.short)(number))?;
        let batches = events.into_iter().map(|event| Ok(vec![new_commit(event)?]));
        Ok(Writer { head: Head::empty(&stream), batches: batches.collect::<Result<_, Failure>>()? })
    }
}

fn made<T>(sample: Result<T, SampleError>) -> Result<T, Failure> {
    sample.map_err(|error| Failure::new("a sample of the app cannot be made", error))
}

/// Every commit by itself, as if each had been put alone; those of a stream stay in their order.
fn in_order_of_time(batches: impl Iterator<Item = Batch>) -> Vec<Batch> {
    let mut alone: Vec<Batch> = batches
        .flat_map(|Batch { stream, commits }| {
            let streams = repeat_n(stream, commits.len());
            zip(streams, commits).map(|(stream, commit)| Batch { stream, commits: vec![commit] })
        })
        .collect();
    alone.sort_by_key(|batch| batch.commits.first().map(|commit| commit.recorded_at));
    alone
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

fn failing<T, E: Error + Send + Sync + 'static>(ended: Result<T, E>) -> Result<T, Failure> {
    ended.map_err(|error| Failure::from_error(&error))
}
