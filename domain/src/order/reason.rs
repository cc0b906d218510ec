//! Why an order was rejected or cancelled.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Isbn, QuotedInput};

/// Why an order was rejected or cancelled: 1 to 500 characters of any script, without control
/// characters. White space at both ends is removed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(
    value_type = String,
    max_length = 500,
    pattern = r"^\s*[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?\s*$"
)]
pub struct Reason(String);

/// Why a text is no [`Reason`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReasonError {
    /// Empty, or only white space.
    #[error("a reason must have at least one character that is not white space, unlike {0}")]
    Blank(QuotedInput),
    /// Longer than 500 characters.
    #[error("a reason must have at most 500 characters, not {given_chars}")]
    TooLong {
        /// The length of the input.
        given_chars: usize,
    },
    /// A line break, tab or another control character.
    #[error("a reason must have no control characters such as {}", .control.escape_default())]
    ControlCharacter {
        /// The first one.
        control: char,
    },
}

impl Reason {
    /// The most characters.
    pub const MAX_CHARS: usize = 500;

    /// The reason of fulfilment: this book is not available.
    pub(crate) fn book_not_available(isbn: &Isbn) -> Self {
        Self(format!("book {isbn} is not available"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Reason {
    type Error = ReasonError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let words = text.trim();
        if words.is_empty() {
            return Err(ReasonError::Blank(QuotedInput::new(&text)));
        }
        let given_chars = words.chars().count();
        if given_chars > Self::MAX_CHARS {
            return Err(ReasonError::TooLong { given_chars });
        }
        match words.chars().find(|character| character.is_control()) {
            Some(control) => Err(ReasonError::ControlCharacter { control }),
            None => Ok(Self(words.to_owned())),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod specs {
    use super::Reason;
    use crate::samples::{accepted, isbn, refused};

    #[test]
    fn the_reason_of_fulfilment_is_a_reason() {
        let reason = Reason::book_not_available(&isbn(1));
        assert_eq!(Reason::try_from(reason.to_string()), Ok(reason));
    }

    #[test]
    fn words_of_any_script_are_accepted() {
        for text in
            ["out of print", "ausverkauft – leider", "品切れ", "نفد", "📚", &"é".repeat(500)]
        {
            accepted::<Reason>(&format!("{text:?}"));
        }
    }

    #[test]
    fn white_space_around_the_words_is_dropped() {
        assert_eq!(Reason::try_from("  sold out\n".to_owned()).unwrap().as_str(), "sold out");
    }

    #[test]
    fn a_blank_reason_is_refused() {
        let rule = "a reason must have at least one character that is not white space, unlike";
        for text in ["", "   ", "\n\t"] {
            refused::<Reason>(&format!("{text:?}"), &format!("{rule} {text:?}"));
        }
    }

    #[test]
    fn a_long_reason_is_refused() {
        refused::<Reason>(
            &format!("{:?}", "é".repeat(501)),
            "a reason must have at most 500 characters, not 501",
        );
    }

    #[test]
    fn control_characters_are_refused() {
        refused::<Reason>(
            r#""two\nlines""#,
            r"a reason must have no control characters such as \n",
        );
        refused::<Reason>(
            r#""nul\u0000""#,
            r"a reason must have no control characters such as \u{0}",
        );
    }
}
