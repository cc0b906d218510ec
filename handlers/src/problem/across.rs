//! The problems of commands over several streams.

use super::Problem;
use crate::app::{AcrossError, CommandRefusal};
use eventstore::{AppendAllError, ExecuteAllError, ExecuteError};

impl From<AcrossError> for Problem {
    fn from(error: AcrossError) -> Self {
        match error {
            ExecuteAllError::Refused(refusal) => Self::refused(refusal),
            ExecuteAllError::VersionMismatch { actual, .. } => {
                Self::version_mismatch(error.to_string(), actual)
            }
            ExecuteAllError::Contention { attempts } => Self::contention(attempts),
            ExecuteAllError::Misshapen { .. } | ExecuteAllError::TwoTables { .. } => {
                Self::internal(&error)
            }
            ExecuteAllError::Unreadable(unreadable) => Self::internal(&unreadable),
            ExecuteAllError::Codec(codec) => Self::internal(&codec),
            ExecuteAllError::Append(error) => error.into(),
        }
    }
}

impl From<AppendAllError> for Problem {
    fn from(error: AppendAllError) -> Self {
        match error {
            AppendAllError::CommandIdReused(_) => Self::reused(error.to_string()),
            AppendAllError::NoStream
            | AppendAllError::TooManyStreams { .. }
            | AppendAllError::StreamTwice(_) => Self::invalid("", error.to_string()),
            AppendAllError::TooLarge { .. } | AppendAllError::TotalTooLarge { .. } => {
                Self::too_large(error.to_string())
            }
            AppendAllError::StreamFull(_) => {
                Self::too_large("a stream is full: it has the most events that a stream can have")
            }
            AppendAllError::ClockSkew(future) => {
                ExecuteError::<CommandRefusal>::ClockSkew(future).into()
            }
            AppendAllError::Corrupt(damaged) => Self::internal(&damaged),
            AppendAllError::Store(fault) => fault.into(),
            // The command handler retries or prevents these.
            AppendAllError::Conflict { .. }
            | AppendAllError::TransactionConflict { .. }
            | AppendAllError::Empty(_)
            | AppendAllError::TypeOfStore(_) => Self::internal(&error),
        }
    }
}
