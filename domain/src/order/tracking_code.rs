//! The tracking code of a parcel.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::QuotedInput;

/// The carrier's code of a parcel: 1 to 64 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, pattern = "^[!-~]{1,64}$")]
pub struct TrackingCode(String);

/// Why a text is no [`TrackingCode`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrackingCodeError {
    /// Empty, or longer than 64 characters.
    #[error("a tracking code must have 1 to 64 characters, not {0}")]
    WrongLength(QuotedInput),
    /// A space, a control character, or one outside ASCII.
    #[error("a tracking code may only have visible ascii characters, but is {0}")]
    WrongCharacter(QuotedInput),
}

impl TrackingCode {
    /// The most characters.
    pub const MAX_CHARS: usize = 64;

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TrackingCode {
    type Error = TrackingCodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if !(1..=Self::MAX_CHARS).contains(&text.chars().count()) {
            return Err(TrackingCodeError::WrongLength(QuotedInput::new(&text)));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TrackingCodeError::WrongCharacter(QuotedInput::new(&text)));
        }
        Ok(Self(text))
    }
}

impl fmt::Display for TrackingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod specs {
    use super::TrackingCode;
    use crate::samples::{accepted, refused};

    #[test]
    fn codes_of_visible_ascii_are_accepted() {
        for text in ["1Z999AA10123456784", "!", "~", &"9".repeat(64)] {
            accepted::<TrackingCode>(&format!("{text:?}"));
        }
    }

    #[test]
    fn an_empty_and_a_long_one_are_refused() {
        refused::<TrackingCode>(r#""""#, r#"a tracking code must have 1 to 64 characters, not """#);
        let shown =
            format!("a tracking code must have 1 to 64 characters, not \"{}\"…", "9".repeat(64));
        refused::<TrackingCode>(&format!("{:?}", "9".repeat(65)), &shown);
    }

    #[test]
    fn spaces_and_other_alphabets_are_refused() {
        for text in ["1Z 999", "код", "a\n"] {
            refused::<TrackingCode>(
                &format!("{text:?}"),
                &format!("a tracking code may only have visible ascii characters, but is {text:?}"),
            );
        }
    }
}
