//! How a stream can be corrupt.

/// A stream is not as the store wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stream {stream} is damaged at version {version}: {damage}")]
pub struct CorruptStream {
    /// The name of the stream in the item.
    pub stream: String,
    /// The version of the first corruption.
    pub version: u64,
    /// What is wrong.
    pub damage: Damage,
}

/// How a stream can be corrupt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// An attribute is missing or of another type.
    #[error("attribute {0:?} is missing or of another type")]
    Attribute(&'static str),
    /// The item has a format that this program does not know.
    #[error("item format {0} is not known here")]
    Format(String),
    /// The commits cannot be decompressed.
    #[error("the compressed commits cannot be decompressed")]
    Compression,
    /// The commits are not the expected JSON.
    #[error("the commits cannot be read: {0}")]
    Json(String),
    /// A batch without a commit, or a commit without an event.
    #[error("a batch or commit is empty")]
    Empty,
    /// The versions of the events do not fit the keys of the item.
    #[error("the item ends at version {said}, its events at {found}")]
    Extent {
        /// The last version by the item.
        said: u64,
        /// The last version by the events.
        found: u64,
    },
    /// Events between two batches are missing.
    #[error("events are missing before version {found}")]
    Hole {
        /// The version of the next event.
        found: u64,
    },
    /// Two batches have the same version.
    #[error("version {found} exists twice")]
    Overlap {
        /// The first version of the second batch.
        found: u64,
    },
    /// The stream ends before a commit that a witness has seen.
    #[error("the end of the stream is gone: {by} has seen version {seen}")]
    End {
        /// The version that was seen.
        seen: u64,
        /// The witness.
        by: String,
    },
    /// A witness has seen another commit at this version.
    #[error("{by} has seen another commit here")]
    OtherSeen {
        /// The witness.
        by: String,
    },
    /// The commit or an earlier one was changed, reordered or inserted.
    #[error("the chain hash does not match the commit and its predecessor")]
    Chain,
}
