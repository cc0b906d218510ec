//! Why a stream could not be projected.

use crate::audit_index::IndexError;
use crate::definition::projection::FoldError;
use crate::generations::OtherShape;
use crate::tables::position::Divergence;
use crate::tables::table::TableError;
use eventstore::ReadError;

/// How many conflicts with other projectors are accepted before the message must come again.
pub(crate) const MAX_ATTEMPTS: u32 = 10;

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
    #[error("the notification is for version {notified}, but the stream ends at {found}")]
    Missing {
        /// The version of the notification.
        notified: u64,
        /// The last version in the store.
        found: u64,
    },
    /// The applied events are not part of the stream, as after a restore of the table of events.
    #[error("the position at version {version} {divergence}: rebuild")]
    Diverged {
        /// The version of the position.
        version: u64,
        /// How it differs.
        divergence: Divergence,
    },
    /// The time for this call is over. The next call continues from the version that was reached.
    #[error("the time ran out at version {reached}")]
    OutOfTime {
        /// The version that was reached.
        reached: u64,
    },
    /// The active generation has another program's shape, and no generation of this program's shape
    /// is being built.
    #[error(transparent)]
    OtherShape(#[from] OtherShape),
    /// Every write conflicted with another projector: try again.
    #[error("{MAX_ATTEMPTS} writes conflicted with other projectors")]
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
            Self::Diverged { .. }
            | Self::OtherShape(_)
            | Self::Table(TableError::Unreadable(_)) => true,
            Self::Read(ReadError::Store(_))
            | Self::Table(_)
            | Self::OutOfTime { .. }
            | Self::Contention => false,
        }
    }

    /// The version at which the stream stops, if the error has one.
    pub fn version(&self) -> Option<u64> {
        match self {
            Self::Fold { version, .. } => Some(*version),
            Self::Missing { found, .. } => Some(found + 1),
            Self::Read(ReadError::Corrupt(corrupt)) => Some(corrupt.version),
            // No version: the whole row is unreliable.
            Self::Diverged { .. } | Self::OtherShape(_) => None,
            Self::Read(ReadError::Store(_))
            | Self::Table(_)
            | Self::OutOfTime { .. }
            | Self::Contention => None,
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
