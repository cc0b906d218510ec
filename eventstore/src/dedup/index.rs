//! An index of recorded commands outside the store, which saves searching a stream.

use crate::{Commit, Hash, Id, StreamId, Usage};
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use std::sync::Arc;

/// The facts of a recorded commit by which an index finds its entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The stream of the commit.
    pub stream: StreamId,
    /// The version of its first event.
    pub version: u64,
    /// When the store wrote it, in milliseconds.
    pub recorded_at: DateTime<Utc>,
    /// Its command's id.
    pub command_id: Id,
    /// Its chain hash, if known: a snapshot does not store it.
    pub hash: Option<Hash>,
}

impl Mark {
    /// The mark of a commit.
    pub fn of(stream: &StreamId, commit: &Commit) -> Self {
        Self {
            stream: stream.clone(),
            version: commit.version,
            recorded_at: commit.recorded_at,
            command_id: commit.metadata.command_id.clone(),
            hash: Some(commit.hash),
        }
    }
}

/// What an index knows of a command among the commits up to a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexLookup {
    /// The commit of the command, by the version of its first event.
    At(u64),
    /// The index has every commit of the stream up to the mark, and none is of the command.
    Absent,
    /// The index lacks commits up to the mark, or is being removed.
    NotIndexed,
}

/// The answer of an index, with its cost.
#[derive(Debug, Clone, Copy)]
pub struct IndexAnswer {
    /// The answer.
    pub lookup: IndexLookup,
    /// The cost of the query, which counts for the command.
    pub usage: Usage,
}

/// Looks up a command in an index: the commit of the command among those up to the mark.
///
/// **[`IndexLookup::Absent`] must be true.** The store then records the command, so after a wrong
/// answer it is recorded twice. The answer must rest on strongly consistent reads, in this order:
/// the entry of the mark, the entries of the command, and that the index is not being removed. The
/// index must enter the commits of a stream in order. Then the first read proves that all earlier
/// commits were entered before the second read, and the third read that none was removed.
///
/// After an error the stream is searched instead.
pub type CommandIndex = Arc<
    dyn Fn(
            Mark,
            Id,
        )
            -> BoxFuture<'static, Result<IndexAnswer, Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Sync,
>;
