//! What can be wrong with a stream.

/// Something in a stream is not as the store wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stream {stream} is damaged at version {version}: {damage}")]
pub struct CorruptStream {
    /// The stream's name, as the item has it.
    pub stream: String,
    /// The version at which the first thing is wrong.
    pub version: u64,
    /// What is wrong.
    pub damage: Damage,
}

/// What can be wrong with a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// An attribute is not there, or of another type.
    #[error("attribute {0:?} is missing or of another type")]
    Attribute(&'static str),
    /// The item was written by a newer program, or by another.
    #[error("item format {0} is not known here")]
    Format(String),
    /// The compressed commits cannot be unfolded.
    #[error("the compressed commits cannot be unfolded")]
    Compression,
    /// The commits are not the JSON that they should be.
    #[error("the commits cannot be read: {0}")]
    Json(String),
    /// A batch without a commit, or a commit without an event.
    #[error("a batch or commit is empty")]
    Empty,
    /// The versions of the batch's events do not fit its keys.
    #[error("the batch says that it ends at version {said}, its events end at {found}")]
    Extent {
        /// What the item says.
        said: u64,
        /// What its events come to.
        found: u64,
    },
    /// Events between two batches are gone.
    #[error("events are missing before version {found}")]
    Hole {
        /// The version that comes next.
        found: u64,
    },
    /// Two batches claim the same version.
    #[error("version {found} is there twice")]
    Overlap {
        /// The version at which the second batch begins.
        found: u64,
    },
    /// The stream ends before a commit that somebody else has seen.
    #[error("the end of the stream is gone: {by} has seen version {seen}")]
    End {
        /// The version that was seen.
        seen: u64,
        /// Who has seen it.
        by: String,
    },
    /// Somebody else has seen another commit in this place.
    #[error("{by} has seen another commit here")]
    OtherSeen {
        /// Who has seen it.
        by: String,
    },
    /// The commit, or one before it, was changed, reordered or inserted.
    #[error("the chain hash does not fit the commit and what came before it")]
    Chain,
}
