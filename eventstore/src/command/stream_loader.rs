//! Reads a stream from its snapshot and its newest batches, and folds it.

use super::cached_stream::CachedStream;
use crate::dedup::CommandIds;
use crate::log::item::{SNAPSHOT_NAME, SNAPSHOT_VERSION, is_batch, item_bytes, item_key};
use crate::log::read::{Items, Query};
use crate::metering::operation_event::OperationReport;
use crate::snapshot::debt::SnapshotDebt;
use crate::snapshot::stored::{Snapshot, SnapshotBody};
use crate::stream::hash_chain::follow;
use crate::{
    Batch, Consistency, CorruptStream, Damage, Direction, EventStore, HandlerOptions, Head, Item,
    Model, ReadError,
};
use crate::{StreamId, Unreadable};
use serde_json::value::RawValue;

/// Why a stream cannot be loaded and folded.
#[derive(Debug, thiserror::Error)]
pub enum StreamLoadError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An event cannot be decoded.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// A loaded stream, with the batches that were read.
pub(crate) struct StreamLoad<S> {
    pub(crate) cached: CachedStream<S>,
    /// Every batch that was folded.
    pub(crate) folded: Vec<Batch>,
    /// Batches on the snapshot's page that are older than it, newest first.
    pub(crate) older: Vec<Item>,
}

/// The end of a stream: what follows a snapshot, or a head if no snapshot is usable.
struct Tail<S> {
    snapshot: Option<(Snapshot, S)>,
    /// Whether there is a snapshot that cannot be used.
    unusable: bool,
    /// Oldest first.
    batches: Vec<Batch>,
    bytes: usize,
    older: Vec<Item>,
}

/// Loads the streams of one model.
pub(crate) struct StreamLoader<S, E> {
    pub(crate) store: EventStore,
    pub(crate) model: Model<S, E>,
    pub(crate) options: HandlerOptions,
    /// The shape of usable snapshots.
    pub(crate) shape: Option<String>,
}

impl<S: Clone, E> StreamLoader<S, E> {
    pub(crate) fn new(store: EventStore, model: Model<S, E>, options: HandlerOptions) -> Self {
        let shape = model.snapshot.as_ref().and_then(|codec| codec.fingerprint(&(model.initial)()));
        Self { store, model, options, shape }
    }

    /// A stream of which nothing was read.
    pub(crate) fn empty(&self, stream: &StreamId) -> CachedStream<S> {
        let (head, state) = (Head::empty(stream), (self.model.initial)());
        CachedStream {
            head,
            state,
            ids: CommandIds::default(),
            snapshot_debt: SnapshotDebt::default(),
        }
    }

    /// Reads what follows the base, or the snapshot if that is newer.
    pub(crate) async fn load(
        &self,
        base: CachedStream<S>,
        consistency: Consistency,
    ) -> Result<StreamLoad<S>, StreamLoadError> {
        let stream = base.head.stream.clone();
        self.store.reported("recall", Some(&stream), self.read_on(base, consistency)).await
    }

    async fn read_on(
        &self,
        base: CachedStream<S>,
        consistency: Consistency,
    ) -> Result<StreamLoad<S>, StreamLoadError> {
        let tail = self.checked_tail(&base.head, consistency).await?;
        let Tail { snapshot, unusable, batches, bytes, older } = tail;
        let mut cached = match snapshot {
            Some((snapshot, state)) => CachedStream::at(snapshot, state),
            None => base,
        };
        cached.snapshot_debt.replace |= unusable;
        cached.snapshot_debt.bytes += bytes;
        for batch in &batches {
            self.apply(&mut cached, batch)?;
        }
        Ok(StreamLoad { cached, folded: batches, older })
    }

    /// Applies the next batch of the stream. After an error it may be applied in part.
    pub(crate) fn apply(
        &self,
        cached: &mut CachedStream<S>,
        batch: &Batch,
    ) -> Result<(), StreamLoadError> {
        for commit in &batch.commits {
            cached.head = cached.head.then(commit).map_err(ReadError::from)?;
            cached.ids.push(commit);
            for event in self.model.read(&cached.head.stream, commit) {
                let state = std::mem::replace(&mut cached.state, (self.model.initial)());
                cached.state = (self.model.evolve)(state, &event?);
            }
        }
        cached.snapshot_debt.batches += 1;
        cached.ids.trim(self.options.ids_in_memory());
        Ok(())
    }

    /// The state after the events.
    pub(crate) fn evolve(&self, state: S, events: &[E]) -> S {
        events.iter().fold(state, self.model.evolve)
    }

    /// Takes the snapshot that is due, and whether it replaces any stored one. Counting restarts at
    /// once: a lost snapshot is replaced by the next one.
    pub(crate) fn take_due_snapshot(
        &self,
        cached: &mut CachedStream<S>,
    ) -> Option<(Snapshot, bool)> {
        let (shape, codec) = (self.shape.as_ref()?, self.model.snapshot.as_ref()?);
        if cached.head.version == 0 || !cached.snapshot_debt.is_due(&self.options) {
            return None;
        }
        let mut ids = cached.ids.clone();
        ids.trim(self.options.ids_in_snapshot());
        let state =
            (codec.encode)(&cached.state).ok().and_then(|json| RawValue::from_string(json).ok())?;
        let replace = cached.snapshot_debt.replace;
        cached.snapshot_debt = SnapshotDebt {
            snapshot_bytes: cached.snapshot_debt.snapshot_bytes,
            ..SnapshotDebt::default()
        };
        let body = SnapshotBody { state, ids };
        Some((
            Snapshot { head: cached.head.clone(), shape: shape.clone(), body, bytes: 0 },
            replace,
        ))
    }

    /// The tail. If a stale read may be the cause of corruption, it is read again with strong
    /// consistency.
    async fn checked_tail(
        &self,
        base: &Head,
        consistency: Consistency,
    ) -> Result<Tail<S>, ReadError> {
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

    /// The commits do not continue the snapshot: either they are corrupt, or the snapshot is wrong.
    async fn without_snapshot(
        &self,
        base: &Head,
        tail: Tail<S>,
        damaged: CorruptStream,
    ) -> Result<Tail<S>, ReadError> {
        if tail.snapshot.is_none() || matches!(damaged.damage, Damage::End { .. }) {
            return Err(damaged.into());
        }
        let mut whole = self.tail(base, Consistency::Strong, false).await?;
        whole.check(base)?;
        tracing::error!(stream = %base.stream, "the snapshot does not match the commits of its stream: it will be replaced");
        whole.unusable = true;
        Ok(whole)
    }

    /// Reads backwards from the end: the snapshot, then batches down to it or to the base.
    async fn tail(
        &self,
        base: &Head,
        consistency: Consistency,
        snapshots: bool,
    ) -> Result<Tail<S>, ReadError> {
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
            Some(Some(usable)) => {
                (Some(usable).filter(|(snapshot, _)| snapshot.head.version > base.version), false)
            }
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

    /// The snapshot with its state, if its states have the shape of this program's.
    pub(crate) fn usable(&self, stream: &StreamId, item: &Item) -> Option<(Snapshot, S)> {
        let codec = self.model.snapshot.as_ref()?;
        let snapshot = Snapshot::from_item(stream, item)
            .filter(|it| Some(&it.shape) == self.shape.as_ref())?;
        let state = codec.read(snapshot.body.state.get())?;
        Some((snapshot, state))
    }
}

impl<S> Tail<S> {
    /// The batches must continue the snapshot or the base. A snapshot at the very end must be of
    /// the last commit.
    fn check(&self, base: &Head) -> Result<(), CorruptStream> {
        let Some((Snapshot { head, .. }, _)) = &self.snapshot else {
            return follow(base, &self.batches).map(drop);
        };
        if !self.batches.is_empty() {
            return follow(head, &self.batches).map(drop);
        }
        let damaged = |damage| CorruptStream {
            stream: head.stream.to_string(),
            version: head.version,
            damage,
        };
        let end_is_gone =
            || damaged(Damage::End { seen: head.version, by: SNAPSHOT_NAME.to_owned() });
        let last = self.older.first().map(Batch::from_item).transpose()?.ok_or_else(end_is_gone)?;
        if last.last_version() < head.version {
            return Err(end_is_gone());
        }
        if Head::of(&last) == *head { Ok(()) } else { Err(damaged(Damage::Chain)) }
    }
}

impl<S> From<&StreamLoad<S>> for OperationReport {
    fn from(StreamLoad { cached, folded, .. }: &StreamLoad<S>) -> Self {
        Self::of(folded.iter().flat_map(|batch| &batch.commits)).at(&cached.head)
    }
}

impl From<&StreamLoadError> for OperationReport {
    fn from(error: &StreamLoadError) -> Self {
        match error {
            StreamLoadError::Read(error) => error.into(),
            StreamLoadError::Unreadable(_) => Self::outcome("unreadable"),
        }
    }
}
