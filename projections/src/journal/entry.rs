//! A commit's entry in the journal.

use eventstore::{Commit, Hash, StreamId};
use serde::{Deserialize, Serialize};

/// A commit's entry: where it is, and its hash. The events are in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// The stream.
    pub stream: StreamId,
    /// The version of its first event.
    pub version: u64,
    /// The version of its last event.
    pub last_version: u64,
    /// Its hash in the stream's hash chain.
    pub hash: Hash,
    /// The position of the stream's entry before this one.
    pub previous: Option<u64>,
}

/// An entry as it is stored: stream, first version, last version, hash, previous position.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredEntry(StreamId, u64, u64, Hash, Option<u64>);

impl JournalEntry {
    /// The entry of a commit whose stream has its last entry at `previous`.
    pub fn of(stream: &StreamId, commit: &Commit, previous: Option<u64>) -> Self {
        let (version, last_version) = (commit.version, commit.last_version());
        Self { stream: stream.clone(), version, last_version, hash: commit.hash, previous }
    }

    pub(super) fn stored(&self) -> StoredEntry {
        StoredEntry(self.stream.clone(), self.version, self.last_version, self.hash, self.previous)
    }
}

impl From<StoredEntry> for JournalEntry {
    fn from(StoredEntry(stream, version, last_version, hash, previous): StoredEntry) -> Self {
        Self { stream, version, last_version, hash, previous }
    }
}
