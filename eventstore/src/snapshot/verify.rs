//! Compares a stored snapshot with the fold of the events.

use super::codec::same_json;
use super::stored::Snapshot;
use crate::command::stream_loader::{StreamLoadError, StreamLoader};
use crate::log::item::SNAPSHOT_VERSION;
use crate::log::read::Query;
use crate::metering::operation_event::OperationReport;
use crate::{CommandHandler, Consistency, Direction, Item, ReadError, StreamId};
use std::fmt;

/// The result of comparing a stream's snapshot with its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotVerification {
    /// The stream has no snapshot.
    Absent,
    /// The snapshot has another format or shape, so commands ignore it.
    Ignored,
    /// The snapshot is the fold of the events up to this version.
    Equal {
        /// The version of the snapshot.
        version: u64,
    },
    /// The snapshot is not the fold of the events.
    Different {
        /// The version of the snapshot.
        version: u64,
        /// The first difference that was found.
        difference: SnapshotDifference,
    },
}

/// What differs between a snapshot and the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotDifference {
    /// Its version, hash or time.
    Commit,
    /// Its state.
    State,
    /// Its command ids: they rule out the id of a recorded command.
    CommandIds,
}

impl fmt::Display for SnapshotDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Commit => "version, hash and time are not those of a commit",
            Self::State => "the state is not the fold of the events",
            Self::CommandIds => "a recorded command id is missing",
        })
    }
}

impl<S: Clone, E, R> CommandHandler<S, E, R> {
    /// Compares the stream's snapshot with the fold of its events up to the snapshot's version. It
    /// reads all these events, strongly consistent, in pages of 1 MB.
    ///
    /// # Errors
    /// [`StreamLoadError`].
    pub async fn verify_snapshot(
        &self,
        stream: &StreamId,
    ) -> Result<SnapshotVerification, StreamLoadError> {
        let loader = &self.cache.loader;
        loader.store.reported("verify_snapshot", Some(stream), loader.verify_snapshot(stream)).await
    }
}

impl<S: Clone, E> StreamLoader<S, E> {
    async fn verify_snapshot(
        &self,
        stream: &StreamId,
    ) -> Result<SnapshotVerification, StreamLoadError> {
        let Some(item) = self.snapshot_item(stream).await? else {
            return Ok(SnapshotVerification::Absent);
        };
        let Some((snapshot, _)) = self.usable(stream, &item) else {
            return Ok(SnapshotVerification::Ignored);
        };
        let version = snapshot.head.version;
        Ok(match self.difference(&snapshot).await? {
            None => SnapshotVerification::Equal { version },
            Some(difference) => SnapshotVerification::Different { version, difference },
        })
    }

    async fn snapshot_item(&self, stream: &StreamId) -> Result<Option<Item>, ReadError> {
        let whole = Query::whole(stream, Direction::Backwards, Consistency::Strong);
        let query = Query { from: SNAPSHOT_VERSION, to: SNAPSHOT_VERSION, ..whole };
        Ok(self.store.query(&query, None).await?.items.into_iter().next())
    }

    async fn difference(
        &self,
        snapshot: &Snapshot,
    ) -> Result<Option<SnapshotDifference>, StreamLoadError> {
        let Snapshot { head, body, .. } = snapshot;
        let (mut folded, mut admits_all) = (self.empty(&head.stream), true);
        while folded.head.version < head.version {
            let page = self.store.load_page(&folded.head).await?;
            if page.batches.is_empty() {
                break;
            }
            for batch in page.batches.iter().take_while(|batch| batch.version() <= head.version) {
                admits_all &=
                    batch.commits.iter().all(|commit| body.ids.may_have(&head.stream, commit));
                self.apply(&mut folded, batch)?;
            }
        }
        let encoded =
            self.model.snapshot.as_ref().and_then(|codec| (codec.encode)(&folded.state).ok());
        let same_state = encoded.is_some_and(|state| same_json(&state, body.state.get()));
        Ok(if folded.head != *head {
            Some(SnapshotDifference::Commit)
        } else if !same_state {
            Some(SnapshotDifference::State)
        } else {
            (!admits_all).then_some(SnapshotDifference::CommandIds)
        })
    }
}

impl From<&SnapshotVerification> for OperationReport {
    fn from(verification: &SnapshotVerification) -> Self {
        Self::outcome(match verification {
            SnapshotVerification::Absent => "absent",
            SnapshotVerification::Ignored => "ignored",
            SnapshotVerification::Equal { .. } => "ok",
            SnapshotVerification::Different { .. } => "different",
        })
    }
}
