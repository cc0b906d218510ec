//! The ids that a commit bears.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// The most characters that an [`Id`] may have.
pub const MAX_ID_CHARS: usize = 128;

/// A command id, correlation id, causation id, trace parent or actor: 1 to 128 visible ASCII characters.
///
/// A UUIDv7 is the best command id, because it tells when it was made ([`Id::time`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(String);

/// The text is not an [`Id`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_ID_CHARS} visible ASCII characters")]
pub struct InvalidId;

impl Id {
    /// Takes the text as an id.
    ///
    /// # Errors
    /// [`InvalidId`] when it is empty, longer than [`MAX_ID_CHARS`], or has a character outside `!` to `~`.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
        let text = text.into();
        let fits = !text.is_empty() && text.len() <= MAX_ID_CHARS && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(text)) } else { Err(InvalidId) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the id was made, if it is a UUIDv7 (millisecond precision), and nothing otherwise.
    pub fn time(&self) -> Option<DateTime<Utc>> {
        let uuid = Uuid::parse_str(&self.0).ok().filter(|uuid| uuid.get_version_num() == 7)?;
        let (seconds, nanos) = uuid.get_timestamp()?.to_unix();
        DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Uuid> for Id {
    fn from(uuid: Uuid) -> Self {
        Self(uuid.to_string())
    }
}

impl TryFrom<String> for Id {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_visible_ascii_of_bounded_length() {
        assert!(Id::new("a").is_ok());
        assert!(Id::new("x".repeat(128)).is_ok());
        for wrong in ["", "two words", "tab\t", "é", &"x".repeat(129)] {
            assert_eq!(Id::new(wrong), Err(InvalidId), "{wrong:?}");
        }
    }

    #[test]
    fn only_a_uuid_of_version_7_tells_its_time() {
        let v7 = Id::new("0190d6a8-5c1e-7cc0-b4d0-3f1f5a3c9a10").unwrap();
        assert_eq!(v7.time().unwrap().timestamp_millis(), 0x0190_d6a8_5c1e);
        for timeless in ["my-own-key", "6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e"] {
            assert_eq!(Id::new(timeless).unwrap().time(), None);
        }
    }
}
