//! The id of a customer.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::QuotedInput;

/// The id of a customer: 1 to 64 characters out of `A-Z a-z 0-9 . _ : @ -`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, pattern = "^[A-Za-z0-9._:@-]{1,64}$")]
pub struct CustomerId(String);

/// Why a text is no [`CustomerId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CustomerIdError {
    /// Empty, or longer than 64 characters.
    #[error("a customer id must have 1 to 64 characters, not {0}")]
    WrongLength(QuotedInput),
    /// A character that is not allowed.
    #[error("a customer id may only have the characters A-Z a-z 0-9 . _ : @ - but is {0}")]
    WrongCharacter(QuotedInput),
}

impl CustomerId {
    /// The most characters.
    pub const MAX_CHARS: usize = 64;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CustomerId {
    type Error = CustomerIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if !(1..=Self::MAX_CHARS).contains(&text.chars().count()) {
            return Err(CustomerIdError::WrongLength(QuotedInput::new(&text)));
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:@-".contains(&byte)) {
            return Err(CustomerIdError::WrongCharacter(QuotedInput::new(&text)));
        }
        Ok(Self(text))
    }
}

impl fmt::Display for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod specs {
    use super::CustomerId;
    use crate::samples::{accepted, refused};

    #[test]
    fn names_addresses_and_urns_are_accepted() {
        for text in ["c-17", "a", "reader@example.org", "urn:shop:AZ_09.x", &"x".repeat(64)] {
            accepted::<CustomerId>(&format!("{text:?}"));
        }
    }

    #[test]
    fn an_empty_and_a_long_one_are_refused() {
        refused::<CustomerId>(r#""""#, r#"a customer id must have 1 to 64 characters, not """#);
        let shown =
            format!("a customer id must have 1 to 64 characters, not \"{}\"…", "x".repeat(64));
        refused::<CustomerId>(&format!("{:?}", "x".repeat(65)), &shown);
    }

    #[test]
    fn other_characters_are_refused() {
        for text in ["c 17", "c/17", "c#17", "é", "c\t"] {
            refused::<CustomerId>(
                &format!("{text:?}"),
                &format!(
                    "a customer id may only have the characters A-Z a-z 0-9 . _ : @ - but is {text:?}"
                ),
            );
        }
    }
}
