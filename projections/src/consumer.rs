//! Who is told of what is appended.

use eventstore::StreamId;

/// Something that has a queue of its own, and the streams whose news it is sent.
#[derive(Debug, Clone, Copy)]
pub struct Consumer {
    /// Its name: part of its queue's name.
    pub name: &'static str,
    /// The streams that it follows.
    pub follows: Follows,
}

/// Which streams.
#[derive(Debug, Clone, Copy)]
pub enum Follows {
    /// Those of these categories.
    Categories(&'static [&'static str]),
    /// Every stream there is.
    All,
}

impl Follows {
    /// Whether the stream is one of them.
    pub fn includes(&self, stream: &StreamId) -> bool {
        match self {
            Self::Categories(categories) => categories.contains(&stream.category()),
            Self::All => true,
        }
    }
}
