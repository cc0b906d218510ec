//! Why a process comes no further.

use super::Failure;
use super::instance::MAX_OPEN;
use super::runner::{MAX_ATTEMPTS, MAX_ROUNDS};
use eventstore::{CodecError, Id, InvalidId, InvalidStreamId, StreamId};
use projections::{TableError, UnknownType};

/// A command of a process was not handled, and not for a reason of the domain.
#[derive(Debug, thiserror::Error)]
#[error("it was not handled")]
pub struct AskError {
    /// Whether it may be handled next time, though nothing is changed meanwhile.
    pub passes: bool,
    /// Why.
    pub source: Failure,
}

/// Why a process could not do what an event asks for. The event comes again; what is kept of it stays.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// This program does not know the event's type: a newer one wrote it.
    #[error(transparent)]
    Unknown(#[from] UnknownType),
    /// The event is not known in that form: a newer program wrote it.
    #[error(transparent)]
    Event(#[from] CodecError),
    /// The stream or the event is not one that the process knows.
    #[error("the event is none of this process's")]
    Foreign(#[source] Failure),
    /// The instance's row is not one that this program writes.
    #[error("what is kept of instance {key:?} cannot be read")]
    Row {
        /// The instance's key.
        key: String,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// The instance's state is not what the process keeps.
    #[error("the state is none of this process's")]
    State(#[source] serde_json::Error),
    /// An ask has no command, which is a defect of the process.
    #[error("ask {0:?} has no command: its type must be written as {{\"type\", \"data\"}}")]
    NoCommand(String),
    /// An ask cannot be addressed, which is a defect of the process.
    #[error("an ask cannot be addressed")]
    Address(#[from] InvalidStreamId),
    /// A command cannot be signed, which is a defect.
    #[error("a command cannot be signed")]
    Sign(#[from] InvalidId),
    /// A command cannot be written, which is a defect.
    #[error("a command is no JSON")]
    Json(#[source] serde_json::Error),
    /// The instance asks for more than can be kept.
    #[error("more than {MAX_OPEN} asks are open")]
    TooMany,
    /// The instance asks for something more after each answer.
    #[error("it still asks for more after {MAX_ROUNDS} rounds of answers")]
    TooManyRounds,
    /// A command was not handled, and not for a reason of the domain.
    #[error("command {command_id} to {stream} was not handled")]
    Command {
        /// The command's id.
        command_id: Id,
        /// The stream that it addresses.
        stream: StreamId,
        /// Whether it may be handled next time.
        passes: bool,
        /// Why.
        #[source]
        source: Failure,
    },
    /// The instance's row could not be loaded or kept.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Other runners kept the row every time: try again.
    #[error("other runners were quicker {MAX_ATTEMPTS} times")]
    Contention,
}

impl ProcessError {
    /// Whether it will be the same next time, until somebody changes program or data.
    pub(super) fn is_permanent(&self) -> bool {
        match self {
            Self::Unknown(_) | Self::Event(_) | Self::Foreign(_) | Self::Row { .. } | Self::State(_) => true,
            Self::NoCommand(_) | Self::Address(_) | Self::Sign(_) | Self::Json(_) => true,
            Self::TooMany | Self::TooManyRounds | Self::Table(TableError::Unreadable(_)) => true,
            Self::Command { passes, .. } => !passes,
            Self::Table(TableError::Throttled(_) | TableError::Failed { .. }) | Self::Contention => false,
        }
    }
}
