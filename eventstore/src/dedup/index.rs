//! An index of recorded commands outside the store: where it may be asked instead of reading a stream back.

use crate::{Commit, Hash, Id, StreamId, Usage};
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use std::sync::Arc;

/// A recorded commit by what an index of commands needs to find its entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The stream that it stands in.
    pub stream: StreamId,
    /// The version of its first event.
    pub version: u64,
    /// When the store took it: milliseconds.
    pub recorded_at: DateTime<Utc>,
    /// Its command's id.
    pub command_id: Id,
    /// Its place in the chain, where it is known: a snapshot does not keep it.
    pub hash: Option<Hash>,
}

impl Mark {
    /// The mark of a commit of the stream.
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

/// What an index of commands says of a command and of the commits up to a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexLookup {
    /// The stream's commit of the command, by the version of its first event.
    At(u64),
    /// Every commit of the stream up to the mark is in the index, and none is the command's.
    Absent,
    /// The index lacks commits up to the mark, or is being removed: it has no answer.
    NotIndexed,
}

/// The answer of an index, with what it cost.
#[derive(Debug, Clone, Copy)]
pub struct IndexAnswer {
    /// What it says.
    pub lookup: IndexLookup,
    /// What the question cost: it counts for the command.
    pub usage: Usage,
}

/// Looks a command up in an index: the stream's commit of the command among those up to the mark.
///
/// **[`IndexLookup::Absent`] must be true.** A command that is absent is recorded, so a wrong answer records it twice. The
/// answer must rest on strongly consistent reads, in this order: the entry of the mark, the entries of the command, and
/// that the index is not being removed. The index must enter a stream's commits in their order. Then the entry of the mark
/// proves that all commits before it were entered when the second read began, and the third read that none was removed.
///
/// An error is no answer: the stream is read back instead.
pub type CommandIndex = Arc<
    dyn Fn(Mark, Id) -> BoxFuture<'static, Result<IndexAnswer, Box<dyn std::error::Error + Send + Sync>>> + Send + Sync,
>;
