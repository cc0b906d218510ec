//! The queries of the audit trail, for the API and the command line.
//!
//! | module | what it does |
//! |---|---|
//! | `reading.rs` | records who reads what, before any answer |
//! | `history.rs` | the events of a stream |
//! | `search.rs` | events of a stream, or of the whole store, by actor, type, command, correlation and time |
//! | `chain.rs` | checks each commit by the one before |
//! | `export.rs` | a search as a file, in bounded memory |
//! | `verify.rs` | verifies streams: hash chains and ends |
//! | `tail.rs` | all commits from a position of the journal on |
//! | `streams.rs` | the streams of the journal, listed and verified |
//! | `trace.rs` | the tree of causes of a correlation id |
//! | `replay.rs` | the state of a stream as of a version or a time, by its read model's fold |
//! | `difference.rs` | the difference between two such states, field by field |

pub mod access;
mod chain;
mod cursor;
mod difference;
mod export;
mod filter;
mod format;
mod gather;
mod history;
mod occurrence;
mod reading;
mod replay;
pub(crate) mod schema;
mod search;
mod streams;
mod tail;
mod trace;
mod tree;
mod values;
mod verify;

pub use cursor::{Cursor, InvalidCursor};
pub use difference::{ChangedField, Difference, End, Span, UnfitSpan};
pub use export::{Chunk, Export};
pub use filter::{BackwardPeriod, Filter, Period};
pub use format::Format;
pub use gather::DamagedCommit;
pub use history::HistoryPage;
pub use occurrence::Occurrence;
pub use reading::{AuditTrail, Call, NotRecorded, OpenTrail, Reader};
pub use replay::{Moment, StateAt};
pub use search::{FoundPage, Search};
pub use streams::{ListedStreams, StreamSelection, VerifiedStreams};
pub use tail::{InvalidJournalPosition, JournalPosition, TailFilter, TailPage, TailStart};
pub use trace::{Trace, TracedCommand, TracedEvent};

use chrono::{DateTime, Utc};
use eventstore::{Id, ReadError, StoreError, StreamId, time_text};
use projections::{FoldError, TableError};

/// Why a query of the audit trail failed.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Nothing was ever appended to the stream.
    #[error("there is no stream {0}")]
    NoStream(StreamId),
    /// The index knows no commit with the correlation id. It follows the store within moments.
    #[error("nothing is recorded with correlation id {0}")]
    NoCorrelation(Id),
    /// The app has no audit index, in which commits of all streams are found.
    #[error("this app has no audit index: name a stream")]
    NoIndex,
    /// The app has no journal.
    #[error(
        "this app has no journal: all commits cannot be followed, and streams cannot be listed"
    )]
    NoJournal,
    /// The position is one of another generation of the journal.
    #[error(
        "position {position} is of another journal: it was rebuilt, and positions changed. Begin again from 0, or from the end"
    )]
    OtherJournal {
        /// The position.
        position: JournalPosition,
    },
    /// No commit has that position yet.
    #[error("position {position} is beyond the end of the journal, which is {end}")]
    BeyondEnd {
        /// The position.
        position: JournalPosition,
        /// The end.
        end: JournalPosition,
    },
    /// No read model has a row for each stream of that category, so that there is no state to show.
    #[error(
        "no read model follows the streams of category {0:?}, so that they have no state to show"
    )]
    NoReadModel(String),
    /// The stream began later.
    #[error("stream {stream} begins at {}, later than {}", time_text(*begins), time_text(*asked))]
    NotYet {
        /// The stream.
        stream: StreamId,
        /// The time that was asked for.
        asked: DateTime<Utc>,
        /// When the first commit was taken.
        begins: DateTime<Utc>,
    },
    /// The stream is shorter.
    #[error("stream {stream} is at version {head}, not yet at {asked}")]
    Beyond {
        /// The stream.
        stream: StreamId,
        /// The version that was asked for.
        asked: u64,
        /// Where the stream is.
        head: u64,
    },
    /// A fold cannot apply an event.
    #[error("event {version} of stream {stream} cannot be applied")]
    Fold {
        /// The stream.
        stream: StreamId,
        /// The event's version.
        version: u64,
        /// Why.
        #[source]
        source: FoldError,
    },
    /// The index knows a commit that its stream does not have as it was written.
    #[error(transparent)]
    Damaged(#[from] DamagedCommit),
    /// An event cannot be written as a line.
    #[error("an event cannot be written as a line")]
    Format(#[source] std::io::Error),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] TableError),
    /// The store failed, or a stream is corrupt.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<StoreError> for AuditError {
    fn from(fault: StoreError) -> Self {
        Self::Read(fault.into())
    }
}
