//! Why a process cannot handle an event.

use super::ProcessFailure;
use super::instance::MAX_OPEN;
use super::runner::{MAX_ATTEMPTS, MAX_ROUNDS};
use eventstore::{CodecError, Id, InvalidId, InvalidStreamId, StreamId};
use projections::{TableError, UnknownType};

/// A command of a process was not handled, and not for a reason of the domain.
#[derive(Debug, thiserror::Error)]
#[error("it was not handled")]
pub struct AskError {
    /// Whether a retry may succeed without any change of program or data.
    pub passes: bool,
    /// Why.
    pub source: ProcessFailure,
}

/// Why a process could not handle an event. The event is redelivered; the stored decision stays.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// This program does not know the event's type: a newer one wrote it.
    #[error(transparent)]
    Unknown(#[from] UnknownType),
    /// The event's data cannot be decoded: a newer program wrote it.
    #[error(transparent)]
    Event(#[from] CodecError),
    /// The event does not belong to the process.
    #[error("the event does not belong to this process")]
    Foreign(#[source] ProcessFailure),
    /// The instance's row does not have the form that this program writes.
    #[error("the row of instance {key:?} cannot be read")]
    Row {
        /// The instance's key.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The instance's state does not have the process's type.
    #[error("the state does not have the type of this process")]
    State(#[source] serde_json::Error),
    /// An ask has no command, which is a defect of the process.
    #[error("ask {0:?} has no command: its type must be written as {{\"type\", \"data\"}}")]
    NoCommand(String),
    /// An ask's stream has an invalid name, which is a defect of the process.
    #[error("an ask names an invalid stream")]
    Address(#[from] InvalidStreamId),
    /// The process's name is no valid actor, which is a defect.
    #[error("a command has an invalid actor or cause")]
    Sign(#[from] InvalidId),
    /// A command cannot be written, which is a defect.
    #[error("a command is no JSON")]
    Json(#[source] serde_json::Error),
    /// The instance has too many open asks.
    #[error("more than {MAX_OPEN} asks are open")]
    TooMany,
    /// The instance has new asks after each answer.
    #[error("it has new asks after {MAX_ROUNDS} rounds of answers")]
    TooManyRounds,
    /// A command was not handled, and not for a reason of the domain.
    #[error("command {command_id} to {stream} was not handled")]
    Command {
        /// The command's id.
        command_id: Id,
        /// The stream that it addresses.
        stream: StreamId,
        /// Whether a retry may succeed.
        passes: bool,
        /// Why.
        #[source]
        source: ProcessFailure,
    },
    /// The instance's row could not be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Every write of the row conflicted with another runner: try again.
    #[error("{MAX_ATTEMPTS} writes conflicted with other runners")]
    Contention,
}

impl ProcessError {
    /// Whether a retry fails in the same way until program or data change.
    pub(super) fn is_permanent(&self) -> bool {
        match self {
            Self::Unknown(_)
            | Self::Event(_)
            | Self::Foreign(_)
            | Self::Row { .. }
            | Self::State(_) => true,
            Self::NoCommand(_) | Self::Address(_) | Self::Sign(_) | Self::Json(_) => true,
            Self::TooMany | Self::TooManyRounds | Self::Table(TableError::Unreadable(_)) => true,
            Self::Command { passes, .. } => !passes,
            Self::Table(TableError::Throttled(_) | TableError::Failed { .. })
            | Self::Contention => false,
        }
    }
}
