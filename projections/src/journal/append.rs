//! Appends commits to the journal.

use super::Journal;
use super::batch::{JournalBatch, MAX_ENTRIES, end_of_range, range_of};
use super::entry::JournalEntry;
use super::stream_end::{StreamEnd, key};
use super::table::PutBatch;
use crate::tables::row::Item;
use crate::tables::table::{TableError, pause};
use eventstore::{Commit, StreamId};
use futures::{StreamExt, TryStreamExt};
use lru::LruCache;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use tokio::sync::MutexGuard;

/// The capacity for streams: some 200 bytes each.
const STREAMS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);
/// How many ends are written at once.
const CONCURRENT_PUTS: usize = 20;
/// The most batches that a writer reads at once to catch up.
const CATCH_UP_BATCHES: usize = 100;

/// What a process knows of the journal's end. It has read every batch before `next`, or the ends
/// of their streams.
pub(super) struct Tail {
    /// Where the next batch begins.
    next: u64,
    /// The last batch, if the ends of its streams may not be written yet.
    open: Option<OpenBatch>,
    /// The ends of streams. None: the stream is not in the journal.
    ends: LruCache<StreamId, Option<StreamEnd>>,
}

/// The last batch, while the ends of its streams may be missing.
struct OpenBatch {
    batch: JournalBatch,
    /// Whether this writer put it. Then all are missing; else some may be.
    is_own: bool,
}

/// The result of putting commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PutOutcome {
    /// All are in the journal.
    Done,
    /// Another writer was quicker. Some commits may be in the journal: compare again.
    Conflict,
}

/// The only writer of this process. After an error it is dropped, and what it knew is forgotten.
pub(crate) struct JournalWriter<'a> {
    journal: &'a Journal,
    generation: u32,
    tails: MutexGuard<'a, HashMap<u32, Tail>>,
    tail: Tail,
}

impl Journal {
    /// The writer of a generation, when it is this call's turn.
    pub(crate) async fn writer(&self, generation: u32) -> Result<JournalWriter<'_>, TableError> {
        let mut tails = self.state.tails.lock().await;
        let tail = match tails.remove(&generation) {
            Some(tail) => tail,
            None => self.tail(generation).await?,
        };
        Ok(JournalWriter { journal: self, generation, tails, tail })
    }

    async fn tail(&self, generation: u32) -> Result<Tail, TableError> {
        let newest = self.newest(generation, true).await?;
        let next = newest.as_ref().map_or(1, |batch| batch.last() + 1);
        let open = newest.map(|batch| OpenBatch { batch, is_own: false });
        Ok(Tail { next, open, ends: LruCache::new(STREAMS) })
    }

    /// The ends of streams, strongly consistent.
    pub(crate) async fn stored_ends(
        &self,
        generation: u32,
        streams: &[StreamId],
    ) -> Result<HashMap<StreamId, StreamEnd>, TableError> {
        let keys: Vec<Item> = streams.iter().map(|stream| key(generation, stream)).collect();
        let items = self.table.items(&keys, &[]).await?;
        Ok(items.iter().map(StreamEnd::from_item).collect::<Result<_, _>>()?)
    }

    /// Writes ends, each unless a later one is there.
    async fn put_ends(
        &self,
        generation: u32,
        ends: BTreeMap<StreamId, StreamEnd>,
    ) -> Result<(), TableError> {
        let puts = ends
            .into_iter()
            .map(|(stream, end)| async move { self.table.put_end(generation, &stream, end).await });
        futures::stream::iter(puts).buffer_unordered(CONCURRENT_PUTS).try_collect().await
    }
}

impl Tail {
    /// Takes a batch that is in the journal.
    fn take(&mut self, batch: JournalBatch, is_own: bool) {
        for (stream, end) in ends_of(&batch) {
            self.ends.put(stream, Some(end));
        }
        self.next = batch.last() + 1;
        self.open = Some(OpenBatch { batch, is_own });
    }
}

impl JournalWriter<'_> {
    /// The ends of the streams; none for a stream that is not in the journal.
    pub(crate) async fn ends(
        &mut self,
        streams: &[StreamId],
    ) -> Result<HashMap<StreamId, StreamEnd>, TableError> {
        let (mut ends, mut unknown) = (HashMap::new(), Vec::new());
        for stream in streams {
            match self.tail.ends.get(stream) {
                Some(Some(end)) => drop(ends.insert(stream.clone(), *end)),
                Some(None) => {}
                None => unknown.push(stream.clone()),
            }
        }
        if unknown.is_empty() {
            return Ok(ends);
        }
        // The ends of the last batch may be missing; those of earlier ones are written.
        let mut stored = self.journal.stored_ends(self.generation, &unknown).await?;
        for (stream, end) in self.tail.open.iter().flat_map(|open| ends_of(&open.batch)) {
            stored.entry(stream).and_modify(|there| *there = there.later(end)).or_insert(end);
        }
        for stream in unknown {
            let end = stored.get(&stream).copied();
            ends.extend(end.map(|end| (stream.clone(), end)));
            self.tail.ends.put(stream, end);
        }
        Ok(ends)
    }

    /// Puts commits, in this order, in as many batches as they need. `ends` are those of their
    /// streams.
    pub(crate) async fn put(
        &mut self,
        commits: &[(StreamId, Commit)],
        mut ends: HashMap<StreamId, StreamEnd>,
    ) -> Result<PutOutcome, TableError> {
        let mut left = commits;
        while !left.is_empty() {
            self.complete().await?;
            let room = end_of_range(range_of(self.tail.next)) - self.tail.next + 1;
            let room = usize::try_from(room).unwrap_or(usize::MAX).min(MAX_ENTRIES);
            let (now, later) = left.split_at(left.len().min(room));
            let batch = batch(self.tail.next, now, &mut ends);
            match self.journal.table.put_batch(self.generation, &batch).await? {
                PutBatch::Done => self.tail.take(batch, true),
                PutBatch::Taken(taken) => {
                    self.catch_up(*taken).await?;
                    return Ok(PutOutcome::Conflict);
                }
            }
            left = later;
        }
        self.complete().await?;
        self.journal.state.appended.send_replace((self.generation, self.tail.next - 1));
        Ok(PutOutcome::Done)
    }

    /// Writes the ends of the last batch, as far as they are missing. Only then may the next one
    /// be put: a writer compares with the ends and with one batch.
    async fn complete(&mut self) -> Result<(), TableError> {
        let Some(OpenBatch { batch, is_own }) = &self.tail.open else { return Ok(()) };
        let mut missing: BTreeMap<StreamId, StreamEnd> = ends_of(batch).collect();
        if !is_own {
            let streams: Vec<StreamId> = missing.keys().cloned().collect();
            for (stream, there) in self.journal.stored_ends(self.generation, &streams).await? {
                if missing.get(&stream).is_some_and(|end| there.position >= end.position) {
                    missing.remove(&stream);
                }
            }
        }
        self.journal.put_ends(self.generation, missing).await?;
        self.tail.open = None;
        Ok(())
    }

    /// Reads the batches of other writers, from the given one on.
    async fn catch_up(&mut self, taken: JournalBatch) -> Result<(), TableError> {
        self.tail.take(taken, false);
        // Their writer is probably writing the ends of the last one.
        pause(2).await;
        loop {
            let (range, next) = (range_of(self.tail.next), self.tail.next);
            let table = &self.journal.table;
            let batches =
                table.batches_from(self.generation, range, next, CATCH_UP_BATCHES, true).await?;
            let read = batches.len();
            batches.into_iter().for_each(|batch| self.tail.take(batch, false));
            let is_next_range = range_of(self.tail.next) > range;
            if read == 0 && !is_next_range {
                return self.complete().await;
            }
        }
    }

    /// Keeps what this writer knows for the next one.
    pub(crate) fn end(mut self) {
        self.tails.insert(self.generation, self.tail);
    }
}

/// The batch of those commits. Each names the entry of its stream before it.
fn batch(
    first: u64,
    commits: &[(StreamId, Commit)],
    ends: &mut HashMap<StreamId, StreamEnd>,
) -> JournalBatch {
    let mut entries = Vec::with_capacity(commits.len());
    for (position, (stream, commit)) in (first..).zip(commits) {
        let previous = ends.get(stream).map(|end| end.position);
        let entry = JournalEntry::of(stream, commit, previous);
        ends.insert(stream.clone(), StreamEnd::of(position, &entry));
        entries.push(entry);
    }
    JournalBatch { first, entries, nonce: fastrand::u64(..) }
}

/// The ends of a batch's streams, the last entry of each.
fn ends_of(batch: &JournalBatch) -> impl Iterator<Item = (StreamId, StreamEnd)> {
    let ends: BTreeMap<StreamId, StreamEnd> = batch
        .numbered()
        .map(|(position, entry)| (entry.stream.clone(), StreamEnd::of(position, entry)))
        .collect();
    ends.into_iter()
}
