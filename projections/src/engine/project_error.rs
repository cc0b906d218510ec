//! Why a stream could not be projected.

use crate::tables::position::Stray;
use super::projector::MAX_ATTEMPTS;
use crate::audit_index::IndexError;
use crate::definition::projection::FoldError;
use crate::generations::OtherShape;
use crate::tables::table::TableError;
use eventstore::ReadError;

/// Why a stream could not be projected. Events before the failing one are applied.
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
    /// The missing events could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The rows could not be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The stream ends before the notified version.
    #[error("the stream was announced at version {announced} but ends at {found}")]
    Missing {
        /// The version of the notification.
        announced: u64,
        /// The last version in the store.
        found: u64,
    },
    /// The applied events are not part of the stream, as after a restore of the table of events.
    #[error("what is applied, up to version {version}, {stray}: rebuild")]
    Stray {
        /// The applied version.
        version: u64,
        /// How it differs.
        stray: Stray,
    },
    /// The time for this call is over. The next call continues from the version that was reached.
    #[error("the time ran out at version {reached}")]
    OutOfTime {
        /// The version that was reached.
        reached: u64,
    },
    /// The active generation has another program's shape, and none of this program's is being built.
    #[error(transparent)]
    OtherShape(#[from] OtherShape),
    /// Other projectors were quicker every time: try again.
    #[error("other projectors were quicker {MAX_ATTEMPTS} times")]
    Contention,
}

impl ProjectError {
    /// Whether only the time ran out: the next call continues.
    pub fn is_out_of_time(&self) -> bool {
        matches!(self, Self::OutOfTime { .. })
    }

    /// Whether a retry fails in the same way until program or data change.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Fold { .. } | Self::Missing { .. } | Self::Read(ReadError::Corrupt(_)) => true,
            Self::Stray { .. } | Self::OtherShape(_) | Self::Table(TableError::Unreadable(_)) => true,
            Self::Read(ReadError::Store(_)) | Self::Table(_) | Self::OutOfTime { .. } | Self::Contention => false,
        }
    }

    /// The version at which the stream stops, if the error has one.
    pub fn version(&self) -> Option<u64> {
        match self {
            Self::Fold { version, .. } => Some(*version),
            Self::Missing { found, .. } => Some(found + 1),
            Self::Read(ReadError::Corrupt(damaged)) => Some(damaged.version),
            // The whole row is unreliable, as if it could not be read.
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
