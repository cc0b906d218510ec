//! A command on its way to its stream, and what becomes of it.

use super::stream_loader::StreamLoadError;
use crate::{
    AppendError, ClockSkew, CodecError, CommandMetadata, Commit, CorruptStream, Id, ReadError, StoreError, StreamId,
    TooLarge,
};
use crate::{Unreadable, Usage};

/// A command for one stream, but for what it decides.
#[derive(Debug, Clone)]
pub struct CommandRequest {
    /// The stream that it addresses.
    pub stream: StreamId,
    /// Who, why, and its id.
    pub metadata: CommandMetadata,
    /// The version at which the caller knows the stream: elsewhere, nothing is written.
    pub expected_version: Option<u64>,
    /// Whether the command can only start a stream: then nothing is read first.
    pub creates: bool,
}

/// A command that was handled.
#[derive(Debug, Clone)]
pub struct CommandResult {
    /// What was recorded for it, a [refusal](Commit::refusal) perhaps; nothing when there was nothing to do.
    pub commit: Option<Commit>,
    /// The version of the stream behind the commit, or of its head when there was nothing to do.
    pub version: u64,
    /// Whether it had been handled before, and this is the recorded result.
    pub replayed: bool,
    /// How often a quicker command for the stream made it decide again.
    pub lost_races: u32,
    /// What it cost. Of commands that were written together the first bears all, so that sums are right.
    pub usage: Usage,
}

/// Why a command was not handled.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError<R> {
    /// The model refused it: an answer, not a failure. Final, for it was decided on all that was there.
    #[error("refused: {0}")]
    Refused(R),
    /// The id was used for another command on this stream.
    #[error("command id {0} was used for another command on this stream")]
    CommandIdReused(Id),
    /// The stream is not at the version that the caller expects.
    #[error("the stream is at version {actual}, not at {expected}")]
    VersionMismatch {
        /// What the caller expects.
        expected: u64,
        /// Where the stream is.
        actual: u64,
    },
    /// The command id's own time lies too far ahead.
    #[error(transparent)]
    ClockSkew(#[from] ClockSkew),
    /// Quicker commands won every time: try again later.
    #[error("{attempts} attempts lost to other commands on the stream")]
    Contention {
        /// How often it was tried.
        attempts: u32,
    },
    /// What it decided cannot fit.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The stream has reached the largest version.
    #[error("the stream is full")]
    StreamFull,
    /// The stream is not as the store wrote it.
    #[error(transparent)]
    Corrupt(#[from] CorruptStream),
    /// An event of the stream cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// An event that was decided cannot be stored.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// DynamoDB did not do it, or did not say that it did. Sending the command again is safe.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CommandRequest {
    /// A command to a stream, at whatever version it is.
    pub fn new(stream: StreamId, metadata: CommandMetadata) -> Self {
        Self { stream, metadata, expected_version: None, creates: false }
    }

    /// The recorded result, if the commit is that of this very command.
    pub(crate) fn replay<R>(&self, commit: Commit) -> Result<CommandResult, ExecuteError<R>> {
        if !self.metadata.is_recorded_as(&commit.metadata) {
            return Err(ExecuteError::CommandIdReused(self.metadata.command_id.clone()));
        }
        Ok(CommandResult { replayed: true, ..CommandResult::recorded(commit) })
    }
}

impl<R> ExecuteError<R> {
    /// The same for another command that waited for the same answer, if it can be told twice.
    pub(crate) fn cache(&self) -> Option<Self> {
        match self {
            Self::Contention { attempts } => Some(Self::Contention { attempts: *attempts }),
            Self::StreamFull => Some(Self::StreamFull),
            Self::Corrupt(damaged) => Some(Self::Corrupt(damaged.clone())),
            Self::Store(fault) => Some(Self::Store(fault.clone())),
            Self::Refused(_)
            | Self::CommandIdReused(_)
            | Self::VersionMismatch { .. }
            | Self::ClockSkew(_)
            | Self::TooLarge(_)
            | Self::Unreadable(_)
            | Self::Codec(_) => None,
        }
    }
}

impl CommandResult {
    pub(crate) fn recorded(commit: Commit) -> Self {
        let version = commit.last_version();
        Self { commit: Some(commit), version, replayed: false, lost_races: 0, usage: Usage::default() }
    }

    pub(crate) fn no_op(version: u64) -> Self {
        Self { commit: None, version, replayed: false, lost_races: 0, usage: Usage::default() }
    }
}

impl<R> From<AppendError> for ExecuteError<R> {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::TooLarge(error) => Self::TooLarge(error),
            AppendError::StreamFull => Self::StreamFull,
            AppendError::ClockSkew(error) => Self::ClockSkew(error),
            AppendError::Corrupt(error) => Self::Corrupt(error),
            AppendError::Store(fault) => Self::Store(fault),
            // The handler mends conflicts itself, never appends nothing, and checks what the model encodes.
            AppendError::Conflict { .. }
            | AppendError::TransactionConflict
            | AppendError::Empty
            | AppendError::TypeOfStore(_) => Self::Contention { attempts: 1 },
        }
    }
}

impl<R> From<ReadError> for ExecuteError<R> {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Corrupt(damaged) => Self::Corrupt(damaged),
            ReadError::Store(fault) => Self::Store(fault),
        }
    }
}

impl<R> From<StreamLoadError> for ExecuteError<R> {
    fn from(error: StreamLoadError) -> Self {
        match error {
            StreamLoadError::Read(error) => error.into(),
            StreamLoadError::Unreadable(error) => Self::Unreadable(error),
        }
    }
}
