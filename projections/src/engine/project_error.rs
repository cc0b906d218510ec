//! Why a stream could not be projected.

use super::position::Stray;
use super::projector::MAX_ATTEMPTS;
use crate::audit_index::IndexError;
use crate::definition::projection::FoldError;
use crate::generations::OtherShape;
use crate::tables::table::TableError;
use eventstore::ReadError;

/// Why a stream could not be projected. Nothing of its failing event is applied; what came before it is.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// A fold cannot apply an event.
    #[error("event {version} cannot be applied")]
    Fold {
        /// The event's version in its stream.
        version: u64,
        /// Why.
        #[source]
        source: FoldError,
    },
    /// The store did not give the missing events.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The read-model table did not take or give the rows.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The stream ends before the version that was announced.
    #[error("the stream was announced at version {announced} but ends at {found}")]
    Missing {
        /// The version of the message.
        announced: u64,
        /// The version at which the store has no more.
        found: u64,
    },
    /// What is applied is no part of the stream, as after the table of events was restored to an earlier moment.
    #[error("what is applied, up to version {version}, {stray}: rebuild")]
    Stray {
        /// The version up to which it is applied.
        version: u64,
        /// How it differs.
        stray: Stray,
    },
    /// The time for this call is over. What is applied stays, and the next call goes on from there.
    #[error("the time ran out at version {reached}")]
    OutOfTime {
        /// The version that was reached.
        reached: u64,
    },
    /// The generation that is read belongs to a program of another shape, and none of this program's is to replace it.
    #[error(transparent)]
    OtherShape(#[from] OtherShape),
    /// Other projectors were quicker every time: try again.
    #[error("other projectors were quicker {MAX_ATTEMPTS} times")]
    Contention,
}

impl ProjectError {
    /// Whether only time is lacking: the next call goes on.
    pub fn is_out_of_time(&self) -> bool {
        matches!(self, Self::OutOfTime { .. })
    }

    /// Whether it will be the same next time, until somebody changes program or data.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Fold { .. } | Self::Missing { .. } | Self::Read(ReadError::Corrupt(_)) => true,
            Self::Stray { .. } | Self::OtherShape(_) | Self::Table(TableError::Unreadable(_)) => true,
            Self::Read(ReadError::Store(_)) | Self::Table(_) | Self::OutOfTime { .. } | Self::Contention => false,
        }
    }

    /// The version at which the stream stands still, where the error tells.
    pub fn version(&self) -> Option<u64> {
        match self {
            Self::Fold { version, .. } => Some(*version),
            Self::Missing { found, .. } => Some(found + 1),
            Self::Read(ReadError::Corrupt(damaged)) => Some(damaged.version),
            // Nothing of the row can be relied on, as where it cannot be read.
            Self::Stray { .. } | Self::OtherShape(_) => None,
            Self::Read(ReadError::Store(_)) | Self::Table(_) | Self::OutOfTime { .. } | Self::Contention => None,
        }
    }
}

impl From<IndexError> for ProjectError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Table(error) => Self::Table(error),
            IndexError::Read(error) => Self::Read(error),
            IndexError::OutOfTime { reached } => Self::OutOfTime { reached },
        }
    }
}
