//! The commits of one put.

use crate::{Commit, Hash, StreamId};

/// The commits that one put wrote: one, or several by group commit.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The stream they belong to.
    pub stream: StreamId,
    /// At least one. The version of its first event is the sort key of the item.
    pub commits: Vec<Commit>,
}

impl Batch {
    /// The version of the first event, which is the sort key.
    pub fn version(&self) -> u64 {
        self.commits.first().map_or(0, |commit| commit.version)
    }

    /// The version of the last event.
    pub fn last_version(&self) -> u64 {
        self.commits.last().map_or(0, Commit::last_version)
    }

    /// The hash of the last commit.
    pub fn hash(&self) -> Option<Hash> {
        self.commits.last().map(|commit| commit.hash)
    }
}
