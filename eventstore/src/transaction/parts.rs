//! What one command appends to several streams, what it wrote, and why it did not.

use crate::Usage;
use crate::metering::operation_event::Report;
use crate::stream::commit::OF_STORE;
use crate::{
    Batch, ClockSkew, Commit, CorruptStream, Head, Id, MAX_VERSION, NewEvent, ReadError, StoreError, StreamId, TooLarge,
};

/// The most streams of one command (DynamoDB's limit of a transaction).
pub const MAX_STREAMS: usize = 100;

/// The most bytes of one command's items together (DynamoDB's limit of a transaction).
pub const MAX_TRANSACTION_BYTES: usize = 4 * 1024 * 1024;

/// What one command has to say in one of its streams.
#[derive(Debug, Clone)]
pub struct Part {
    /// The stream's end, as the command knows it.
    pub head: Head,
    /// What happened: at least one event.
    pub events: Vec<NewEvent>,
}

/// What a command over several streams has written.
#[derive(Debug, Clone)]
pub struct AppendedAll {
    /// A commit a stream, in the order of the streams.
    pub parts: Vec<AppendedPart>,
    /// Whether the command had been written before, by another call, and this is the recorded result.
    pub repeated: bool,
    /// What it cost.
    pub usage: Usage,
}

/// What it has written in one of them.
#[derive(Debug, Clone)]
pub struct AppendedPart {
    /// The commit as it stands in the stream.
    pub commit: Commit,
    /// Where the stream ended behind it; [`Head::stream`] names it.
    pub head: Head,
    /// The size of the item, where this call has written it.
    pub(crate) bytes: usize,
}

/// Why nothing was appended, in any of the streams.
#[derive(Debug, thiserror::Error)]
pub enum AppendAllError {
    /// Other batches stand behind some of the heads: here they are, so that nobody has to read them.
    #[error("{} of the streams go on behind the heads that were given", winners.len())]
    Conflict {
        /// The batch that won, for each stream that is known to go on.
        winners: Vec<Batch>,
        /// What the refused transaction cost.
        usage: Usage,
    },
    /// Another transaction at the end of some of the streams was under way: try again.
    #[error("another transaction at the end of {} of the streams was under way", streams.len())]
    TransactionConflict {
        /// Where.
        streams: Vec<StreamId>,
        /// What the refused transaction cost.
        usage: Usage,
    },
    /// The id was used for another command on one of the streams, or for the same one on other streams.
    #[error("command id {0} was used for another command on one of the streams")]
    CommandIdReused(Id),
    /// There is no stream to append to.
    #[error("a command appends to at least one stream")]
    NoStream,
    /// More streams than one transaction can have.
    #[error("a command addresses at most {MAX_STREAMS} streams, not {streams}")]
    TooManyStreams {
        /// How many they are.
        streams: usize,
    },
    /// A stream is named twice.
    #[error("a command has one part for each stream, and two for {0}")]
    StreamTwice(StreamId),
    /// A part has no event.
    #[error("there is no event for stream {0}")]
    Empty(StreamId),
    /// An event has a type that only the store itself writes.
    #[error("event type {0:?} begins with {OF_STORE:?}, as only the store's own do")]
    TypeOfStore(String),
    /// A part cannot fit into an item.
    #[error("the commit for stream {stream} does not fit into an item")]
    TooLarge {
        /// The stream.
        stream: StreamId,
        /// By how much.
        source: TooLarge,
    },
    /// Each part would fit, but not all of them together.
    #[error("the commits come to {bytes} bytes, and at most {MAX_TRANSACTION_BYTES} fit into one transaction")]
    TotalTooLarge {
        /// The items' size.
        bytes: usize,
    },
    /// A stream has reached the largest version.
    #[error("stream {0} would have more than {MAX_VERSION} events")]
    StreamFull(StreamId),
    /// The command id's own time lies too far ahead of the store's clock.
    #[error(transparent)]
    ClockSkew(#[from] ClockSkew),
    /// An item behind one of the heads is none of the store's.
    #[error(transparent)]
    Corrupt(#[from] CorruptStream),
    /// DynamoDB did not do it, or did not say that it did.
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

impl From<&AppendedAll> for Report {
    fn from(AppendedAll { parts, repeated, .. }: &AppendedAll) -> Self {
        let outcome = if *repeated { "repeated" } else { "ok" };
        Self { outcome, ..Self::of(parts.iter().map(|part| &part.commit)) }
    }
}

impl From<&AppendAllError> for Report {
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
