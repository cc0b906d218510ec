//! Names of streams.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest name of a stream, in characters. It is also an SQS message group id (128 at most),
/// and with a version a deduplication id.
pub const MAX_STREAM_CHARS: usize = 100;

/// The name of a stream: `category-key`, such as `order-0192f0c1-…` or `stock-9780306406157`.
///
/// The category is lower-case ASCII letters, digits and `_`, and begins with a letter. The key is
/// visible ASCII.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamId(String);

/// Why a text is no stream name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStreamId {
    /// Longer than [`MAX_STREAM_CHARS`], or empty.
    #[error("a stream name has 1 to {MAX_STREAM_CHARS} characters, this one has {0}")]
    Length(usize),
    /// There is no `-` between category and key, or nothing after it.
    #[error("a stream name is a category, '-' and a key")]
    NoKey,
    /// The category has other characters.
    #[error("a stream's category is lower-case letters, digits and '_', beginning with a letter")]
    Category,
    /// The key has other characters.
    #[error("a stream's key is visible ASCII characters")]
    Key,
}

impl StreamId {
    /// Parses a stream name.
    ///
    /// # Errors
    /// [`InvalidStreamId`] names the rule that the text breaks.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidStreamId> {
        let text = text.into();
        let chars = text.chars().count();
        if chars == 0 || chars > MAX_STREAM_CHARS {
            return Err(InvalidStreamId::Length(chars));
        }
        let (category, key) = text.split_once('-').ok_or(InvalidStreamId::NoKey)?;
        if key.is_empty() {
            return Err(InvalidStreamId::NoKey);
        }
        let letter_first = category.starts_with(|c: char| c.is_ascii_lowercase());
        if !letter_first
            || !category.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        {
            return Err(InvalidStreamId::Category);
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidStreamId::Key);
        }
        Ok(Self(text))
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first `-`.
    pub fn category(&self) -> &str {
        self.0.split_once('-').map_or("", |(category, _)| category)
    }

    /// The part after the first `-`.
    pub fn key(&self) -> &str {
        self.0.split_once('-').map_or("", |(_, key)| key)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for StreamId {
    type Error = InvalidStreamId;

    fn try_from(text: String) -> Result<Self, InvalidStreamId> {
        Self::new(text)
    }
}

impl From<StreamId> for String {
    fn from(stream: StreamId) -> Self {
        stream.0
    }
}

impl std::str::FromStr for StreamId {
    type Err = InvalidStreamId;

    fn from_str(text: &str) -> Result<Self, InvalidStreamId> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_category_and_a_key() {
        let stream = StreamId::new("order-6f0f-7d").unwrap();
        assert_eq!((stream.category(), stream.key()), ("order", "6f0f-7d"));
        assert!(StreamId::new(format!("a-{}", "k".repeat(98))).is_ok());
    }

    #[test]
    fn each_broken_rule_is_named() {
        let cases = [
            ("", InvalidStreamId::Length(0)),
            (&format!("a-{}", "k".repeat(99)), InvalidStreamId::Length(101)),
            ("order", InvalidStreamId::NoKey),
            ("order-", InvalidStreamId::NoKey),
            ("Order-1", InvalidStreamId::Category),
            ("1order-1", InvalidStreamId::Category),
            ("-1", InvalidStreamId::Category),
            ("order-a b", InvalidStreamId::Key),
            ("order-é", InvalidStreamId::Key),
        ];
        for (text, rule) in cases {
            assert_eq!(StreamId::new(text), Err(rule), "{text:?}");
        }
    }
}
