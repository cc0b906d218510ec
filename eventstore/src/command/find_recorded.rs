//! Finds the commit of a command by its id alone.

use crate::dedup::{FindCommit, Lookup};
use crate::log::item::{SNAPSHOT_VERSION, is_batch};
use crate::log::read::{Items, Query};
use crate::snapshot::stored::Snapshot;
use crate::stream::hash_chain::follow;
use crate::{Batch, Commit, Consistency, Direction, EventStore, Head, Id, ReadError, StreamId};

/// The first page holds a recent snapshot and the batches since.
const END_PAGE: i32 = 12;

impl EventStore {
    /// Finds the commit of a command in a stream. None if the command was never recorded there.
    ///
    /// Costs a strongly consistent read of the end of the stream. The snapshot there says where to
    /// look further.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn find_recorded(
        &self,
        stream: &StreamId,
        command: &Id,
    ) -> Result<Option<Commit>, ReadError> {
        self.reported("find_recorded", Some(stream), self.find_from_end(stream, command)).await
    }

    async fn find_from_end(
        &self,
        stream: &StreamId,
        command: &Id,
    ) -> Result<Option<Commit>, ReadError> {
        let whole = Query::whole(stream, Direction::Backwards, Consistency::Strong);
        let end = Query { to: SNAPSHOT_VERSION, limit: Some(END_PAGE), ..whole };
        let Items { mut items, .. } = self.query(&end, None).await?;
        let snapshot = items.first().is_some_and(|item| !is_batch(item)).then(|| items.remove(0));
        let mut batches = items.iter().map(Batch::from_item).collect::<Result<Vec<_>, _>>()?;
        let up_to = batches.first().map_or(0, Batch::last_version);
        // Without a snapshot of these commits, the whole stream must be searched.
        let mut lookup = Lookup::Maybe { up_to, not_before_ms: None, mark: None }.after(0);
        if let Some(snapshot) = snapshot.and_then(|item| Snapshot::from_item(stream, &item)) {
            if batches.last().is_some_and(|oldest| oldest.version() > snapshot.head.version) {
                batches = self.load_tail(&snapshot.head, Consistency::Strong).await?.batches;
                batches.reverse();
            }
            if continues(&batches, &snapshot.head) {
                lookup = snapshot.body.ids.look_up(stream, command);
            }
        }
        let ours = |commit: &Commit| commit.metadata.command_id == *command;
        if let Some(commit) = batches.into_iter().flat_map(|batch| batch.commits).find(ours) {
            return Ok(Some(commit));
        }
        self.find_commit(FindCommit { stream, command, lookup, down_to: 0 }).await
    }
}

/// Whether the batches, newest first, continue the chain after the head or end with it.
fn continues(batches: &[Batch], head: &Head) -> bool {
    let later: Vec<Batch> =
        batches.iter().filter(|batch| batch.version() > head.version).rev().cloned().collect();
    match batches.first() {
        Some(last) if later.is_empty() => Head::of(last) == *head,
        Some(_) => follow(head, &later).is_ok(),
        None => false,
    }
}
