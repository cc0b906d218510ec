//! The head of a stream.

use super::hash_chain::genesis;
use crate::{Batch, Commit, Hash, StreamId};
use chrono::{DateTime, Utc};

/// The end of a stream, after which the next commit is put.
///
/// Only the store creates one, from a read or an append, so that no caller can leave a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub(crate) stream: StreamId,
    pub(crate) version: u64,
    pub(crate) hash: Hash,
    pub(crate) recorded_at: Option<DateTime<Utc>>,
}

impl Head {
    /// The head of a stream without events.
    pub fn empty(stream: &StreamId) -> Self {
        Self { stream: stream.clone(), version: 0, hash: genesis(stream), recorded_at: None }
    }

    /// The stream.
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// The version of the last event; 0 for the empty stream.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The hash of the last commit; derived from the name for an empty stream.
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// When the last commit was written.
    pub fn recorded_at(&self) -> Option<DateTime<Utc>> {
        self.recorded_at
    }

    /// The head after the commit.
    pub(crate) fn after(stream: &StreamId, commit: &Commit) -> Self {
        Self {
            stream: stream.clone(),
            version: commit.last_version(),
            hash: commit.hash,
            recorded_at: Some(commit.recorded_at),
        }
    }

    /// The head after the last commit of the batch, unchecked.
    pub(crate) fn of(batch: &Batch) -> Self {
        batch
            .commits
            .last()
            .map_or_else(|| Self::empty(&batch.stream), |commit| Self::after(&batch.stream, commit))
    }
}
