//! A stream in the cache of a process.

use crate::Head;
use crate::dedup::CommandIds;
use crate::snapshot::debt::SnapshotDebt;
use crate::snapshot::stored::Snapshot;

/// The head and the state of a stream, as far as it was read.
#[derive(Debug, Clone)]
pub(crate) struct CachedStream<S> {
    pub(crate) head: Head,
    pub(crate) state: S,
    /// What is known of the ids of its commands.
    pub(crate) ids: CommandIds,
    pub(crate) snapshot_debt: SnapshotDebt,
}

impl<S> CachedStream<S> {
    pub(crate) fn at(snapshot: Snapshot, state: S) -> Self {
        let snapshot_debt =
            SnapshotDebt { snapshot_bytes: snapshot.bytes, ..SnapshotDebt::default() };
        Self { head: snapshot.head, state, ids: snapshot.body.ids, snapshot_debt }
    }
}
