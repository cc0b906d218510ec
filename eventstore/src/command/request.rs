//! A command for one stream, its result and its errors.

use super::stream_loader::StreamLoadError;
use crate::{
    AppendError, ClockSkew, CodecError, CommandMetadata, Commit, CorruptStream, Id, ReadError,
    StoreError, StreamId, TooLarge,
};
use crate::{Unreadable, Usage};

/// A command for one stream, without its decision.
#[derive(Debug, Clone)]
pub struct CommandRequest {
    /// The stream that it addresses.
    pub stream: StreamId,
    /// Who sent it, why, and under which id.
    pub metadata: CommandMetadata,
    /// The version that the caller expects. At another version nothing is written.
    pub expected_version: Option<u64>,
    /// Whether the command can only start a stream. Then nothing is read first.
    pub creates: bool,
}

/// The result of a command.
#[derive(Debug, Clone)]
pub struct CommandResult {
    /// The recorded commit, which may be a [refusal](Commit::refusal); none for a no-op.
    pub commit: Option<Commit>,
    /// The version of the stream after the commit, or the current version for a no-op.
    pub version: u64,
    /// Whether an earlier try was recorded, and this is its result.
    pub replayed: bool,
    /// How often it lost a race and was decided again.
    pub lost_races: u32,
    /// Its cost. The leader of a group commit has the cost of all its commands.
    pub usage: Usage,
}

/// Why a command was not handled.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError<R> {
    /// The model rejected the command. This is an answer, not a failure, and was decided on the
    /// current state.
    #[error("refused: {0}")]
    Refused(R),
    /// The id was used for another command on this stream.
    #[error("command id {0} was used for another command on this stream")]
    CommandIdReused(Id),
    /// The stream is not at the version that the caller expects.
    #[error("the stream is at version {actual}, not at {expected}")]
    VersionMismatch {
        /// The expected version.
        expected: u64,
        /// The version of the stream.
        actual: u64,
    },
    /// The time in the command id is too far ahead.
    #[error(transparent)]
    ClockSkew(#[from] ClockSkew),
    /// Other commands won every race: retry later.
    #[error("{attempts} attempts lost to other commands on the stream")]
    Contention {
        /// The number of attempts.
        attempts: u32,
    },
    /// The decided events do not fit into an item.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The stream has reached the largest version.
    #[error("the stream is full")]
    StreamFull,
    /// The stream is corrupt.
    #[error(transparent)]
    Corrupt(#[from] CorruptStream),
    /// An event of the stream cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A decided event cannot be encoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// DynamoDB failed or did not answer. A retry is safe.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CommandRequest {
    /// A command to a stream at any version.
    pub fn new(stream: StreamId, metadata: CommandMetadata) -> Self {
        Self { stream, metadata, expected_version: None, creates: false }
    }

    /// The recorded result, if the commit is of this same command.
    pub(crate) fn replay<R>(&self, commit: Commit) -> Result<CommandResult, ExecuteError<R>> {
        if !self.metadata.is_recorded_as(&commit.metadata) {
            return Err(ExecuteError::CommandIdReused(self.metadata.command_id.clone()));
        }
        Ok(CommandResult { replayed: true, ..CommandResult::recorded(commit) })
    }
}

impl<R> ExecuteError<R> {
    /// A copy for another command of the same group commit, if the error can be cloned.
    pub(crate) fn to_shared(&self) -> Option<Self> {
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
        Self {
            commit: Some(commit),
            version,
            replayed: false,
            lost_races: 0,
            usage: Usage::default(),
        }
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
            // The handler resolves conflicts, never appends nothing, and checks what the model
            // encodes.
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
