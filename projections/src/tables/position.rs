//! How far a consumer is in a stream: a version, and the hash of its commit.
//!
//! A version alone is ambiguous: a restored table of events gets other commits under the same
//! versions. The next commit's hash covers the hash of the position. So a projector checks without
//! a request that a commit continues the applied ones.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eventstore::{Commit, Hash, Head, StreamId};
use std::fmt;

/// How far a stream is applied: a version, and the hash of its commit. It is the whole hash,
/// because the next commit's hash is computed from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) version: u64,
    pub(crate) hash: Hash,
}

/// How a position differs from its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Divergence {
    /// The stream does not reach the position, or is gone.
    Ahead {
        /// Where the stream ends; 0 where there is none.
        end: u64,
    },
    /// The stream has another commit at the position.
    OtherChain,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ahead { end: 0 } => f.write_str("is ahead of the stream, which is gone"),
            Self::Ahead { end } => write!(f, "is ahead of the stream, which ends at {end}"),
            Self::OtherChain => f.write_str("is on another chain than the stream"),
        }
    }
}

impl Position {
    /// The position before the first event.
    pub(crate) fn beginning(stream: &StreamId) -> Self {
        Self { version: 0, hash: Head::empty(stream).hash() }
    }

    /// The position of an event.
    pub(crate) fn in_commit(commit: &Commit, version: u64) -> Self {
        Self { version, hash: commit.hash }
    }

    /// The one of the two that is further on.
    pub(crate) fn later(self, other: Self) -> Self {
        if other.version > self.version { other } else { self }
    }

    /// Whether one of the commits is at this position with another hash.
    pub(crate) fn is_contradicted(&self, commits: &[Commit]) -> bool {
        commits.iter().any(|commit| holds(commit, self.version) && commit.hash != self.hash)
    }

    /// How many of the consecutive commits continue the chain from here. The first may hold the
    /// position.
    pub(crate) fn linked(&self, commits: &[Commit]) -> usize {
        let mut hash = self.hash;
        let unbroken = commits.iter().take_while(|commit| {
            let follows = if commit.version <= self.version {
                commit.hash == hash
            } else {
                commit.follows(&hash)
            };
            hash = commit.hash;
            follows
        });
        unbroken.count()
    }
}

fn holds(commit: &Commit, version: u64) -> bool {
    (commit.version..=commit.last_version()).contains(&version)
}

/// The prefix of the names of position rows. It is stored, so it must not change.
const POSITION_PREFIX: &str = "fence/";

/// The name of the row with a stream's position.
pub(crate) fn position_name(stream: &StreamId) -> String {
    format!("{POSITION_PREFIX}{stream}")
}

/// The stream of a position row, by the row's name.
pub(crate) fn stream_of_position(name: &str) -> Option<&str> {
    name.strip_prefix(POSITION_PREFIX)
}

/// A hash as it is stored in rows: 43 characters.
pub(crate) fn hash_text(hash: &Hash) -> String {
    URL_SAFE_NO_PAD.encode(hash.as_bytes())
}

/// Reads what [`hash_text`] wrote.
pub(crate) fn read_hash(text: &str) -> Option<Hash> {
    let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    Some(Hash::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_survives_its_text_form() {
        let hash = Hash::of(&[b"a"]);
        assert_eq!(hash_text(&hash).len(), 43);
        assert_eq!(read_hash(&hash_text(&hash)), Some(hash));
        for wrong in ["", "abc", &"=".repeat(43), &hash.to_string()] {
            assert_eq!(read_hash(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_divergence_is_described_in_words() {
        assert_eq!(
            Divergence::Ahead { end: 4 }.to_string(),
            "is ahead of the stream, which ends at 4"
        );
        assert_eq!(
            Divergence::Ahead { end: 0 }.to_string(),
            "is ahead of the stream, which is gone"
        );
        assert_eq!(Divergence::OtherChain.to_string(), "is on another chain than the stream");
    }
}
