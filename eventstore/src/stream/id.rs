//! The ids of a commit.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::{Uuid, Variant};

/// The longest [`Id`], in characters.
pub const MAX_ID_CHARS: usize = 128;
/// The prefix of ids that the system derives.
const SYSTEM: char = '~';
/// The prefix of ids of commands that a process sends.
const PROCESS: &str = "~process:";
/// The length of a hyphenated UUID.
const UUID_CHARS: usize = 36;

/// A command id, correlation id, causation id, trace parent or actor: 1 to 128 visible ASCII
/// characters.
///
/// A UUIDv7 is the best command id, because it contains its time ([`Id::time`]).
///
/// Ids that begin with `~` belong to the system ([`Id::is_of_system`]). An application refuses them
/// from its callers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(String);

/// The text is not an [`Id`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_ID_CHARS} visible ASCII characters")]
pub struct InvalidId;

impl Id {
    /// Parses an id.
    ///
    /// # Errors
    /// [`InvalidId`] when it is empty, longer than [`MAX_ID_CHARS`], or has a character outside `!`
    /// to `~`.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
        let text = text.into();
        let fits = !text.is_empty()
            && text.len() <= MAX_ID_CHARS
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(text)) } else { Err(InvalidId) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of a command that a process sends. The UUID is a UUIDv7 of the time of the command's
    /// cause.
    pub fn of_process(uuid: Uuid) -> Self {
        Self(format!("{PROCESS}{uuid}"))
    }

    /// Whether the system derived the id from the command, so that the id alone identifies it.
    pub fn is_of_system(&self) -> bool {
        self.0.starts_with(SYSTEM)
    }

    /// The time in the id, in milliseconds, if it has one of two forms. Other ids have no time.
    ///
    /// - A UUIDv7: 36 characters with four hyphens, of RFC 9562's variant and version 7. The case
    ///   of its digits does not matter.
    /// - The same after `~process:`: the id of a command that a process sends.
    ///
    /// This meaning never changes: the search for recorded commands compares times from long ago.
    pub fn time(&self) -> Option<DateTime<Utc>> {
        let text = self.0.strip_prefix(PROCESS).unwrap_or(&self.0);
        // The parser accepts other forms too, each of another length: bare digits, braces,
        // `urn:uuid:`.
        let uuid = Uuid::try_parse(text).ok().filter(|_| text.len() == UUID_CHARS)?;
        let is_v7 = uuid.get_version_num() == 7 && uuid.get_variant() == Variant::RFC4122;
        let [a, b, c, d, e, f, ..] = is_v7.then(|| uuid.into_bytes())?;
        DateTime::from_timestamp_millis(i64::from_be_bytes([0, 0, a, b, c, d, e, f]))
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

    const V7: &str = "0190d6a8-5c1e-7cc0-b4d0-3f1f5a3c9a10";

    fn time_ms(text: &str) -> Option<i64> {
        Id::new(text).unwrap().time().map(|time| time.timestamp_millis())
    }

    #[test]
    fn two_forms_of_a_uuid_of_version_7_have_a_time() {
        let process = Id::of_process(Uuid::parse_str(V7).unwrap());
        assert_eq!(process.as_str(), format!("~process:{V7}"));
        assert!(
            process.is_of_system()
                && Id::new("~").unwrap().is_of_system()
                && !Id::new(V7).unwrap().is_of_system()
        );
        for form in
            [V7, &V7.to_uppercase(), "0190D6A8-5c1e-7CC0-b4d0-3f1f5a3c9a10", process.as_str()]
        {
            assert_eq!(time_ms(form), Some(0x0190_d6a8_5c1e), "{form}");
        }
        for variant in ['8', '9', 'a', 'b'] {
            assert_eq!(
                time_ms(&V7.replace("-b4", &format!("-{variant}4"))),
                Some(0x0190_d6a8_5c1e)
            );
        }
    }

    #[test]
    fn no_other_form_has_a_time() {
        let bare = V7.replace('-', "");
        for form in [
            bare.clone(),
            format!("urn:uuid:{V7}"),
            format!("{{{V7}}}"),
            format!("{{{bare}}}"),
            format!("~process:{bare}"),
            format!("~process:~process:{V7}"),
            format!("~PROCESS:{V7}"),
            format!("~process{V7}"),
            format!("~other:{V7}"),
            format!("~{V7}"),
            format!("{V7}-"),
            format!("-{V7}"),
            V7.replace('-', "_"),
            V7.replace("0190d6a8-5c1e", "0190-d6a85c1e"),
            V7.replace('c', "g"),
            V7.replace("-7", "-4"),
            V7.replace("-7", "-8"),
            V7.replace("-b", "-7"),
            V7.replace("-b", "-c"),
            V7.replace("-b", "-f"),
            "my-own-key".to_owned(),
            "6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e".to_owned(),
        ] {
            assert_eq!(time_ms(&form), None, "{form}");
        }
    }

    /// Keys that callers hash look like a bare UUIDv7 now and then.
    #[test]
    fn no_hash_in_hexadecimal_digits_has_a_time() {
        let mut chance = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let bits = chance.u128(..);
            for bits in [bits, bits & !(0xf << 76) | (0x7 << 76)] {
                assert_eq!(time_ms(&format!("{bits:032x}")), None);
            }
        }
    }
}
