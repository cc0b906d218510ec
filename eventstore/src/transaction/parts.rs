//! What one command appends to several streams, what it wrote, and why it failed.

use crate::Usage;
use crate::metering::operation_event::OperationReport;
use crate::stream::commit::OF_STORE;
use crate::{
    Batch, ClockSkew, Commit, CorruptStream, Head, Id, MAX_VERSION, NewEvent, ReadError,
    StoreError, StreamId, TooLarge,
};

/// The most streams of one command (DynamoDB's limit for a transaction).
pub const MAX_STREAMS: usize = 100;

/// The most bytes of all items of one command (DynamoDB's limit for a transaction).
pub const MAX_TRANSACTION_BYTES: usize = 4 * 1024 * 1024;

/// The events of one command for one of its streams.
#[derive(Debug, Clone)]
pub struct Part {
    /// The known head of the stream.
    pub head: Head,
    /// What happened: at least one event.
    pub events: Vec<NewEvent>,
}

/// The result of a command over several streams.
#[derive(Debug, Clone)]
pub struct AppendedAll {
    /// One commit for each written stream, in order.
    pub parts: Vec<AppendedPart>,
    /// Whether another call had written the command, and this is the recorded result.
    pub repeated: bool,
    /// What it cost.
    pub usage: Usage,
}

/// The result in one of the streams.
#[derive(Debug, Clone)]
pub struct AppendedPart {
    /// The stored commit.
    pub commit: Commit,
    /// The head after it; [`Head::stream`] names the stream.
    pub head: Head,
    /// The size of the item, if this call wrote it.
    pub(crate) bytes: usize,
}

/// Why nothing was appended to any of the streams.
#[derive(Debug, thiserror::Error)]
pub enum AppendAllError {
    /// Other batches are stored after some of the heads. They are included, so that no read is
    /// needed.
    #[error("other batches are stored after {} of the given heads", winners.len())]
    Conflict {
        /// The stored batches, one for each stream that refused.
        winners: Vec<Batch>,
        /// The cost of the refused transaction.
        usage: Usage,
    },
    /// Another transaction on some of the streams was in progress: retry.
    #[error("another transaction on {} of the streams was in progress", streams.len())]
    TransactionConflict {
        /// Those streams.
        streams: Vec<StreamId>,
        /// The cost of the refused transaction.
        usage: Usage,
    },
    /// The id was used for another command on one of the streams, or for the same one over other
    /// streams.
    #[error("command id {0} was used for another command on one of the streams")]
    CommandIdReused(Id),
    /// There is no stream to append to.
    #[error("a command appends to at least one stream")]
    NoStream,
    /// More streams than a transaction can have.
    #[error("a command addresses at most {MAX_STREAMS} streams, not {streams}")]
    TooManyStreams {
        /// How many they are.
        streams: usize,
    },
    /// A stream is named twice.
    #[error("a command has one part for each stream, and two for {0}")]
    StreamTwice(StreamId),
    /// A part has no event.
    #[error("the part for stream {0} has no event")]
    Empty(StreamId),
    /// The event has a type that only the store writes.
    #[error("event type {0:?} begins with {OF_STORE:?}, which is reserved for the store")]
    TypeOfStore(String),
    /// A part does not fit into an item.
    #[error("the commit for stream {stream} does not fit into an item")]
    TooLarge {
        /// The stream.
        stream: StreamId,
        /// The size and the limit.
        source: TooLarge,
    },
    /// Each part fits, but not all together.
    #[error(
        "the commits have {bytes} bytes, and at most {MAX_TRANSACTION_BYTES} fit into one transaction"
    )]
    TotalTooLarge {
        /// The size of all items.
        bytes: usize,
    },
    /// A stream has reached the largest version.
    #[error("stream {0} would have more than {MAX_VERSION} events")]
    StreamFull(StreamId),
    /// The time in the command id is too far ahead of the store's clock.
    #[error(transparent)]
    ClockSkew(#[from] ClockSkew),
    /// The item after one of the heads was not written by this library.
    #[error(transparent)]
    Corrupt(#[from] CorruptStream),
    /// DynamoDB failed or did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AppendedPart {
    pub(crate) fn new(stream: &StreamId, commit: Commit) -> Self {
        Self { head: Head::after(stream, &commit), commit, bytes: 0 }
    }
}

impl From<ReadError> for AppendAllError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Corrupt(damaged) => Self::Corrupt(damaged),
            ReadError::Store(fault) => Self::Store(fault),
        }
    }
}

impl From<&AppendedAll> for OperationReport {
    fn from(AppendedAll { parts, repeated, .. }: &AppendedAll) -> Self {
        let outcome = if *repeated { "repeated" } else { "ok" };
        Self { outcome, ..Self::of(parts.iter().map(|part| &part.commit)) }
    }
}

impl From<&AppendAllError> for OperationReport {
    fn from(error: &AppendAllError) -> Self {
        Self::outcome(match error {
            AppendAllError::Conflict { .. } => "conflict",
            AppendAllError::TransactionConflict { .. } => "transaction_conflict",
            AppendAllError::CommandIdReused(_) => "command_id_reused",
            AppendAllError::NoStream | AppendAllError::Empty(_) => "empty",
            AppendAllError::TypeOfStore(_) => "type_of_store",
            AppendAllError::TooManyStreams { .. } => "too_many_streams",
            AppendAllError::StreamTwice(_) => "stream_twice",
            AppendAllError::TooLarge { .. } | AppendAllError::TotalTooLarge { .. } => "too_large",
            AppendAllError::StreamFull(_) => "stream_full",
            AppendAllError::ClockSkew(_) => "from_the_future",
            AppendAllError::Corrupt(_) => "damaged",
            AppendAllError::Store(fault) => return fault.into(),
        })
    }
}
