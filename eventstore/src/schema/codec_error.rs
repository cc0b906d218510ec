//! Why an event cannot be encoded or decoded.

use crate::StreamId;
use crate::stream::commit::OF_STORE;

/// A stored event cannot be decoded. No command is decided on a stream that is not understood.
#[derive(Debug, thiserror::Error)]
#[error("stream {stream} cannot be read at version {version}")]
pub struct Unreadable {
    /// The stream.
    pub stream: StreamId,
    /// The event's version.
    pub version: u64,
    /// The reason.
    pub source: CodecError,
}

/// An event cannot be encoded, or was written by a program that this one does not know.
#[derive(Debug, thiserror::Error)]
#[error("event {event_type:?} of schema {schema} cannot be encoded or decoded")]
pub struct CodecError {
    /// The type of the event; the Rust type's name if serde wrote none.
    pub event_type: String,
    /// The schema version; 0 if there is none.
    pub schema: u32,
    /// The reason.
    #[source]
    pub source: Untranslatable,
}

/// Why an event cannot be encoded or decoded.
#[derive(Debug, thiserror::Error)]
pub enum Untranslatable {
    /// A newer program wrote it, and a newer program must read it.
    #[error("this program knows the type up to schema {newest} only")]
    Newer {
        /// The newest schema version of the type that this program knows.
        newest: u32,
    },
    /// No program writes schema 0.
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
    /// An upcaster failed on its data.
    #[error("the upcaster of {event_type:?} from schema {schema} failed")]
    Upcaster {
        /// The type that it reads.
        event_type: &'static str,
        /// The schema version that it reads.
        schema: u32,
        /// The reason.
        #[source]
        source: serde_json::Error,
    },
    /// The event to write has an old type that an upcaster renames.
    #[error("events of this type are no longer written, they become {becomes:?}")]
    Renamed {
        /// The type's new name.
        becomes: &'static str,
    },
    /// The event to write has a type that only the store writes.
    #[error("types that begin with {OF_STORE:?} are the store's own")]
    OfStore,
    /// This program knows no such type, and the schema version is 1. (With a later version it is
    /// `Newer`: a known type may have been renamed.)
    #[error("the type is not known here")]
    UnknownType,
    /// The data does not have the shape of its schema.
    #[error("the data does not have the shape of its schema")]
    Shape(#[from] serde_json::Error),
}
