//! What a process knows of a stream: its end, its state, its commands' ids; and how it comes to know.

use crate::dedup::CommandIds;
use crate::log::item::{Damage, Item, is_batch, item_bytes, item_key};
use crate::log::read::{Consistency, Direction, Items, Query, ReadError, follow};
use crate::schema::event_codec::{Model, Unreadable};
use crate::snapshot::stored::{Body, SNAPSHOT_VERSION, Snapshot, same_json};
use crate::{Batch, Damaged, EventStore, HandlerOptions, Head, StreamId};
use serde_json::value::RawValue;

/// No longer stream is read to check a snapshot: the command waits for it.
const LONGEST_SAMPLE: u64 = 20_000;

/// A stream as far as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Known<S> {
    pub(crate) head: Head,
    pub(crate) state: S,
    /// What is known of its commands' ids.
    pub(crate) ids: CommandIds,
    pub(crate) since: Since,
}

/// What was put behind the last snapshot: how much a process that starts anew has to read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Since {
    batches: usize,
    bytes: usize,
    /// The size of that snapshot.
    snapshot_bytes: usize,
    /// Whether what lies in its place is to be replaced, whatever it is.
    replace: bool,
}

/// Why the state of a stream is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecallError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// What a read brought.
pub(crate) struct Recalled<S> {
    pub(crate) known: Known<S>,
    /// Every commit that was folded.
    pub(crate) folded: Vec<Batch>,
    /// Batches older than the snapshot, which came with its page: newest first.
    pub(crate) older: Vec<Item>,
}

/// Part of a stream as it was read: what stands behind a snapshot, or behind a head where there is none to use.
struct Tail<S> {
    snapshot: Option<(Snapshot, S)>,
    /// Whether there is a snapshot that cannot be used.
    unusable: bool,
    /// Oldest first.
    batches: Vec<Batch>,
    bytes: usize,
    older: Vec<Item>,
}

/// How a kind of stream is read and remembered.
pub(crate) struct Memory<S, E> {
    pub(crate) store: EventStore,
    pub(crate) model: Model<S, E>,
    pub(crate) options: HandlerOptions,
    /// What usable snapshots bear.
    pub(crate) shape: Option<String>,
}

impl<S: Clone, E> Memory<S, E> {
    pub(crate) fn new(store: EventStore, model: Model<S, E>, options: HandlerOptions) -> Self {
        let shape = model.snapshot.as_ref().and_then(|codec| codec.fingerprint(&(model.initial)()));
        Self { store, model, options, shape }
    }

    /// What is known of a stream of which nothing was read.
    pub(crate) fn nothing(&self, stream: &StreamId) -> Known<S> {
        let (head, state) = (Head::empty(stream), (self.model.initial)());
        Known { head, state, ids: CommandIds::default(), since: Since::default() }
    }

    /// Reads what stands behind the base, or behind the snapshot where that is newer.
    pub(crate) async fn recall(&self, base: Known<S>, consistency: Consistency) -> Result<Recalled<S>, RecallError> {
        let stream = base.head.stream.clone();
        self.store.reported("recall", Some(&stream), self.read_on(base, consistency)).await
    }

    async fn read_on(&self, base: Known<S>, consistency: Consistency) -> Result<Recalled<S>, RecallError> {
        let tail = self.checked_tail(&base.head, consistency).await?;
        let Tail { snapshot, unusable, batches, bytes, older } = tail;
        let mut known = match snapshot {
            Some((snapshot, state)) => match self.sampled(&snapshot).await {
                Some(truth) => truth,
                None => Known::at(snapshot, state),
            },
            None => base,
        };
        known.since.replace |= unusable;
        known.since.bytes += bytes;
        for batch in &batches {
            self.absorb(&mut known, batch)?;
        }
        Ok(Recalled { known, folded: batches, older })
    }

    /// Goes on by a batch, which is checked to follow. After an error it is not known how far it went.
    pub(crate) fn absorb(&self, known: &mut Known<S>, batch: &Batch) -> Result<(), RecallError> {
        for commit in &batch.commits {
            known.head = known.head.then(commit).map_err(ReadError::from)?;
            known.ids.push(commit);
            for event in self.model.read(&known.head.stream, commit) {
                let state = std::mem::replace(&mut known.state, (self.model.initial)());
                known.state = (self.model.evolve)(state, &event?);
            }
        }
        known.since.batches += 1;
        known.ids.keep(self.options.ids_in_memory());
        Ok(())
    }

    /// The state after the events.
    pub(crate) fn evolve(&self, state: S, events: &[E]) -> S {
        events.iter().fold(state, self.model.evolve)
    }

    /// The snapshot that it is time to write, and whether it replaces whatever is there. From now on is counted anew: a
    /// snapshot that was lost is made good by the next one.
    pub(crate) fn due_snapshot(&self, known: &mut Known<S>) -> Option<(Snapshot, bool)> {
        let (shape, codec) = (self.shape.as_ref()?, self.model.snapshot.as_ref()?);
        if known.head.version == 0 || !known.since.due(&self.options) {
            return None;
        }
        let mut ids = known.ids.clone();
        ids.keep(self.options.ids_in_snapshot());
        let state = (codec.encode)(&known.state).ok().and_then(|json| RawValue::from_string(json).ok())?;
        let replace = known.since.replace;
        known.since = Since { snapshot_bytes: known.since.snapshot_bytes, ..Since::default() };
        let body = Body { state, ids };
        Some((Snapshot { head: known.head.clone(), shape: shape.clone(), body, bytes: 0 }, replace))
    }

    /// The tail, read again strongly where a stale read may be what is wrong with it.
    async fn checked_tail(&self, base: &Head, consistency: Consistency) -> Result<Tail<S>, ReadError> {
        let first = self.tail(base, consistency, true).await?;
        match first.check(base) {
            Ok(()) => return Ok(first),
            Err(damaged) if consistency == Consistency::Strong => {
                return self.without_snapshot(base, first, damaged).await;
            }
            Err(_) => {}
        }
        let again = self.tail(base, Consistency::Strong, true).await?;
        match again.check(base) {
            Ok(()) => Ok(again),
            Err(damaged) => self.without_snapshot(base, again, damaged).await,
        }
    }

    /// The commits do not follow their snapshot: either they are damaged, or it is the snapshot that is wrong.
    async fn without_snapshot(&self, base: &Head, tail: Tail<S>, damaged: Damaged) -> Result<Tail<S>, ReadError> {
        if tail.snapshot.is_none() || matches!(damaged.damage, Damage::End { .. }) {
            return Err(damaged.into());
        }
        let mut whole = self.tail(base, Consistency::Strong, false).await?;
        whole.check(base)?;
        tracing::error!(stream = %base.stream, "the snapshot is not of this stream's commits: it will be replaced");
        whole.unusable = true;
        Ok(whole)
    }

    /// Reads backwards from the end: the snapshot, then batches until that, or the base, is met.
    async fn tail(&self, base: &Head, consistency: Consistency, snapshots: bool) -> Result<Tail<S>, ReadError> {
        let with_snapshot = snapshots && self.shape.is_some();
        let whole = Query::whole(&base.stream, Direction::Backwards, consistency);
        let mut query = Query { from: base.version + 1, ..whole };
        if with_snapshot {
            query.to = SNAPSHOT_VERSION;
            query.limit = Some(self.options.first_page());
        }
        let Items { mut items, mut next, .. } = self.store.query(&query, None).await?;
        let found = items.first().is_some_and(|item| !is_batch(item)).then(|| items.remove(0));
        let (snapshot, unusable) = match found.map(|item| self.usable(&base.stream, &item)) {
            Some(Some(usable)) => (Some(usable).filter(|(snapshot, _)| snapshot.head.version > base.version), false),
            Some(None) => (None, true),
            None => (None, false),
        };
        let floor = snapshot.as_ref().map_or(base.version, |(snapshot, _)| snapshot.head.version);
        let (mut batches, mut bytes, mut older) = (Vec::new(), 0, Vec::new());
        loop {
            for item in items {
                if item_key(&item)?.version > floor {
                    bytes += item_bytes(&item);
                    batches.push(Batch::from_item(&item)?);
                } else {
                    older.push(item);
                }
            }
            let lowest = batches.last().map_or(u64::MAX, Batch::version);
            if next.is_none() || !older.is_empty() || lowest == floor + 1 {
                break;
            }
            let rest = Query { from: floor + 1, limit: None, ..query };
            let page = self.store.query(&rest, next).await?;
            (items, next) = (page.items, page.next);
        }
        batches.reverse();
        Ok(Tail { snapshot, unusable, batches, bytes, older })
    }

    /// The snapshot with its state, if this program wrote it or one whose states have the same shape.
    fn usable(&self, stream: &StreamId, item: &Item) -> Option<(Snapshot, S)> {
        let codec = self.model.snapshot.as_ref()?;
        let snapshot = Snapshot::from_item(stream, item).filter(|it| Some(&it.shape) == self.shape.as_ref())?;
        let state = codec.read(snapshot.body.state.get())?;
        Some((snapshot, state))
    }

    /// Now and then, what the events say in place of the snapshot: which is reported if they say something else. A check
    /// that cannot be made fails nothing.
    async fn sampled(&self, snapshot: &Snapshot) -> Option<Known<S>> {
        let (head, one_in) = (&snapshot.head, self.options.check_one_in);
        if one_in == 0 || head.version > LONGEST_SAMPLE || fastrand::u32(..one_in) > 0 {
            return None;
        }
        let (mut truth, admits_all) = match self.folded_to(head, &snapshot.body.ids).await {
            Ok(truth) => truth,
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(stream = %head.stream, error, "the snapshot cannot be compared with the events");
                return None;
            }
        };
        let said = self.model.snapshot.as_ref().and_then(|codec| (codec.encode)(&truth.state).ok())?;
        let same_state = same_json(&said, snapshot.body.state.get());
        if truth.head == *head && same_state && admits_all {
            return None;
        }
        let (stream, version, shape) = (&head.stream, head.version, &snapshot.shape);
        tracing::error!(%stream, version, shape, "the snapshot is not what the events come to: it will be replaced");
        truth.since.replace = true;
        Some(truth)
    }

    /// The stream as all its events up to the head make it, and whether the ids of a snapshot admit all its commands.
    async fn folded_to(&self, head: &Head, ids: &CommandIds) -> Result<(Known<S>, bool), RecallError> {
        let batches = self.store.follow_tail(&Head::empty(&head.stream), Consistency::Strong).await?.batches;
        let (mut truth, mut admits_all) = (self.nothing(&head.stream), true);
        for batch in batches.iter().filter(|batch| batch.last_version() <= head.version) {
            admits_all &= batch.commits.iter().all(|commit| ids.admit(&head.stream, commit));
            self.absorb(&mut truth, batch)?;
        }
        Ok((truth, admits_all))
    }
}

impl<S> Known<S> {
    fn at(snapshot: Snapshot, state: S) -> Self {
        let since = Since { snapshot_bytes: snapshot.bytes, ..Since::default() };
        Self { head: snapshot.head, state, ids: snapshot.body.ids, since }
    }
}

impl Since {
    /// Counts a batch that was put.
    pub(crate) fn put(&mut self, bytes: usize) {
        self.batches += 1;
        self.bytes += bytes;
    }

    /// Takes note of the size of the snapshot that was written.
    pub(crate) fn wrote_snapshot(&mut self, bytes: usize) {
        self.snapshot_bytes = bytes;
    }

    /// A large snapshot waits until as much was written as it takes itself.
    fn due(&self, options: &HandlerOptions) -> bool {
        let much = self.batches >= options.snapshot_after_batches || self.bytes >= options.snapshot_after_bytes;
        self.replace || much && self.bytes >= self.snapshot_bytes
    }
}

impl<S> Tail<S> {
    /// The batches must follow the snapshot, or the base; a snapshot at the very end must be of the last commit.
    fn check(&self, base: &Head) -> Result<(), Damaged> {
        let Some((Snapshot { head, .. }, _)) = &self.snapshot else { return follow(base, &self.batches).map(drop) };
        if !self.batches.is_empty() {
            return follow(head, &self.batches).map(drop);
        }
        let damaged = |damage| Damaged { stream: head.stream.to_string(), version: head.version, damage };
        let end_is_gone = || damaged(Damage::End { seen: head.version, by: crate::snapshot::stored::NAME.to_owned() });
        let last = self.older.first().map(Batch::from_item).transpose()?.ok_or_else(end_is_gone)?;
        if last.last_version() < head.version {
            return Err(end_is_gone());
        }
        if Head::of(&last) == *head { Ok(()) } else { Err(damaged(Damage::Chain)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> HandlerOptions {
        HandlerOptions { snapshot_after_batches: 3, snapshot_after_bytes: 100, ..HandlerOptions::default() }
    }

    #[test]
    fn a_snapshot_is_due_after_so_many_batches_or_bytes() {
        let mut batches = Since::default();
        for due in [false, false, true] {
            batches.put(1);
            assert_eq!(batches.due(&options()), due);
        }
        let mut bytes = Since::default();
        bytes.put(99);
        assert!(!bytes.due(&options()));
        bytes.put(1);
        assert!(bytes.due(&options()));
    }

    #[test]
    fn a_large_snapshot_waits_for_as_many_bytes_as_its_own() {
        let mut since = Since::default();
        since.wrote_snapshot(1_000);
        for _ in 0..3 {
            since.put(300);
        }
        assert!(!since.due(&options()));
        since.put(100);
        assert!(since.due(&options()));
        assert!(Since { replace: true, ..Since::default() }.due(&options()), "a wrong one is replaced at once");
    }
}
