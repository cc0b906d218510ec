//! Why an event cannot be translated.

use crate::StreamId;
use crate::stream::commit::OF_STORE;

/// An event that stands in a stream cannot be translated: nothing is decided on what is not understood.
#[derive(Debug, thiserror::Error)]
#[error("stream {stream} cannot be read at version {version}")]
pub struct Unreadable {
    /// The stream.
    pub stream: StreamId,
    /// The event's version.
    pub version: u64,
    /// Why not.
    pub source: CodecError,
}

/// An event cannot be written, or was written by something that this program does not know.
#[derive(Debug, thiserror::Error)]
#[error("event {event_type:?} of schema {schema} cannot be translated")]
pub struct CodecError {
    /// The event's type; the name of the Rust type where serde did not write one.
    pub event_type: String,
    /// Its schema version; 0 where it has none.
    pub schema: u32,
    /// What the translation stumbled over.
    #[source]
    pub source: Untranslatable,
}

/// Why an event cannot be translated.
#[derive(Debug, thiserror::Error)]
pub enum Untranslatable {
    /// A newer program wrote it: it waits for that program.
    #[error("it is newer than schema {newest}, the newest that this program knows of the type")]
    Newer {
        /// The newest schema version of the type that this program knows.
        newest: u32,
    },
    /// No program writes it.
    #[error("schema versions begin at 1")]
    SchemaZero,
    /// The chain of upcasters has a gap.
    #[error("no upcaster lifts {event_type:?} from schema {schema}, but {newest} is the newest")]
    NoUpcaster {
        /// The type where the chain ends.
        event_type: String,
        /// The schema version where it ends.
        schema: u32,
        /// The newest schema version of that type.
        newest: u32,
    },
    /// An upcaster was given data that it does not know.
    #[error("the upcaster of {event_type:?} from schema {schema} failed")]
    Upcaster {
        /// The type that it lifts.
        event_type: &'static str,
        /// The schema version that it lifts from.
        schema: u32,
        /// What it stumbled over.
        #[source]
        source: serde_json::Error,
    },
    /// An event to be written has a type that is only read, because an upcaster renames it.
    #[error("events of this type are no longer written, they become {becomes:?}")]
    Renamed {
        /// The type's name today.
        becomes: &'static str,
    },
    /// An event to be written has a type that only the store itself writes.
    #[error("types that begin with {OF_STORE:?} are the store's own")]
    OfStore,
    /// The program knows no event of that type, and it is the type's first schema version. (With a later one it is `Newer`: a
    /// type that this program knows may have been renamed.)
    #[error("the type is not known here")]
    UnknownType,
    /// Its data are of another shape.
    #[error("it is not of the shape of its schema")]
    Shape(#[from] serde_json::Error),
}
