//! The problem of each error.

use super::Problem;
use crate::app::CommandRefusal;
use crate::operations::OperateError;
use eventstore::{ExecuteError, ReadError, StoreError};
use projections::rebuild::{RebuildError, StatusError};
use projections::{FreshError, ProjectError, TableError};

impl From<StoreError> for Problem {
    fn from(fault: StoreError) -> Self {
        match &fault {
            StoreError::Throttled(_) => Self::throttled(),
            StoreError::Unavailable(_) => Self::unavailable(&fault),
            StoreError::NoTable { .. } | StoreError::Rejected(_) => Self::internal(&fault),
        }
    }
}

impl From<TableError> for Problem {
    fn from(error: TableError) -> Self {
        match &error {
            TableError::Throttled(_) => Self::throttled(),
            TableError::Failed { .. } => Self::unavailable(&error),
            TableError::Unreadable(_) => Self::internal(&error),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Corrupt(damaged) => Self::internal(&damaged),
            ReadError::Store(fault) => fault.into(),
        }
    }
}

impl From<FreshError> for Problem {
    fn from(error: FreshError) -> Self {
        match error {
            FreshError::Beyond { head, .. } => Self::version_mismatch(error.to_string(), head),
            FreshError::Project(error) => error.into(),
        }
    }
}

impl From<ProjectError> for Problem {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::Read(error) => error.into(),
            ProjectError::Table(error) => error.into(),
            ProjectError::OutOfTime { .. } => Self::unavailable(&error),
            ProjectError::Fold { .. }
            | ProjectError::Missing { .. }
            | ProjectError::Diverged { .. } => Self::internal(&error),
            ProjectError::OtherShape(_) | ProjectError::Contention => Self::internal(&error),
        }
    }
}

impl From<OperateError> for Problem {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::Rebuild(error) => error.into(),
            OperateError::Status(StatusError::Table(error)) | OperateError::Table(error) => {
                error.into()
            }
            OperateError::Status(StatusError::Events(fault)) => fault.into(),
            OperateError::Project(error) => error.into(),
            OperateError::DeadLettersInFlight => Self::conflict(error.to_string()),
            OperateError::Queue(error) => Self::queue_unavailable(&error),
            OperateError::Events(error) => error.into(),
        }
    }
}

impl From<RebuildError> for Problem {
    fn from(error: RebuildError) -> Self {
        match error {
            RebuildError::Read(error) => error.into(),
            RebuildError::Table(error) => error.into(),
            RebuildError::Project { source, .. } => source.into(),
            RebuildError::Queue(_) => Self::notify_failed(&error),
            RebuildError::Busy { .. } | RebuildError::Kept { .. } | RebuildError::NothingRuns => {
                Self::conflict(error.to_string())
            }
            RebuildError::NoOther
            | RebuildError::NotComplete { .. }
            | RebuildError::NotBuilt { .. } => Self::conflict(error.to_string()),
            RebuildError::NothingToRollBackTo
            | RebuildError::Active { .. }
            | RebuildError::NoGeneration { .. } => Self::conflict(error.to_string()),
            RebuildError::NoReadModel { .. }
            | RebuildError::NewPositions { .. }
            | RebuildError::OtherShape(_) => Self::conflict(error.to_string()),
            RebuildError::Contention => Self::step_contention(error.to_string()),
        }
    }
}

impl<R: Into<CommandRefusal>> From<ExecuteError<R>> for Problem {
    fn from(error: ExecuteError<R>) -> Self {
        match error {
            ExecuteError::Refused(refusal) => Self::refused(refusal.into()),
            ExecuteError::CommandIdReused(id) => {
                Self::reused(format!("{id} was used for another command on this stream"))
            }
            ExecuteError::VersionMismatch { expected, actual } => Self::version_mismatch(
                format!("the stream is at version {actual}, not at {expected}"),
                actual,
            ),
            ExecuteError::ClockSkew(future) => Self::invalid(
                "Idempotency-Key",
                format!(
                    "the time of a UUIDv7 must not be more than {} s in the future",
                    future.allowed_ms / 1000
                ),
            ),
            ExecuteError::Contention { attempts } => Self::contention(attempts),
            ExecuteError::TooLarge(too_large) => Self::too_large(too_large.to_string()),
            ExecuteError::StreamFull => {
                Self::too_large("the stream is full: it has the most events that a stream can have")
            }
            ExecuteError::Corrupt(damaged) => Self::internal(&damaged),
            ExecuteError::Unreadable(unreadable) => Self::internal(&unreadable),
            ExecuteError::Codec(codec) => Self::internal(&codec),
            ExecuteError::Store(fault) => fault.into(),
        }
    }
}
