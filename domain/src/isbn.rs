//! The ISBN of a book.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::QuotedInput;

/// An ISBN-13: 13 digits that begin with 978 or 979 and end with their check digit (ISO 2108).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, pattern = "^97[89][0-9]{10}$")]
pub struct Isbn(String);

/// Why a text is no [`Isbn`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IsbnError {
    /// Not 13 digits.
    #[error("an isbn must be 13 digits without hyphens or spaces, not {0}")]
    NotThirteenDigits(QuotedInput),
    /// 13 digits of another article than a book.
    #[error("an isbn must begin with 978 or 979, not as {0} does")]
    NotABook(QuotedInput),
    /// The last digit is not the check digit of the others: probably a typing error.
    #[error("the check digit of isbn {given} must be {expected}")]
    WrongCheckDigit {
        /// The input.
        given: QuotedInput,
        /// The check digit of the first twelve.
        expected: char,
    },
}

impl Isbn {
    /// The 13 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Isbn {
    type Error = IsbnError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() != 13 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(IsbnError::NotThirteenDigits(QuotedInput::new(&text)));
        }
        if !text.starts_with("978") && !text.starts_with("979") {
            return Err(IsbnError::NotABook(QuotedInput::new(&text)));
        }
        let expected = check_digit(&text);
        if !text.ends_with(expected) {
            return Err(IsbnError::WrongCheckDigit { given: QuotedInput::new(&text), expected });
        }
        Ok(Self(text))
    }
}

/// The digit that makes the sum of all 13 a multiple of ten. Every second one counts three times.
pub(crate) fn check_digit(digits: &str) -> char {
    let values = digits.chars().filter_map(|digit| digit.to_digit(10));
    let sum: u32 =
        values.take(12).zip([1, 3].into_iter().cycle()).map(|(value, weight)| value * weight).sum();
    char::from_digit((10 - sum % 10) % 10, 10).unwrap_or('0')
}

impl fmt::Display for Isbn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod specs {
    use super::Isbn;
    use crate::samples::{accepted, refused};

    #[test]
    fn real_books_are_accepted() {
        for isbn in
            ["9780306406157", "9783161484100", "9780131103627", "9791034304608", "9780804429573"]
        {
            accepted::<Isbn>(&format!("{isbn:?}"));
        }
    }

    #[test]
    fn hyphens_spaces_and_other_lengths_are_refused() {
        let rule = "an isbn must be 13 digits without hyphens or spaces, not";
        for text in [
            "978-0-306-40615-7",
            " 9780306406157",
            "978030640615",
            "97803064061570",
            "0306406152",
            "",
            "٩٧٨",
        ] {
            refused::<Isbn>(&format!("{text:?}"), &format!("{rule} {text:?}"));
        }
        refused::<Isbn>(
            "9780306406157",
            "invalid type: integer `9780306406157`, expected a string",
        );
    }

    #[test]
    fn other_articles_are_refused() {
        refused::<Isbn>(
            r#""4006381333931""#,
            r#"an isbn must begin with 978 or 979, not as "4006381333931" does"#,
        );
    }

    #[test]
    fn any_other_check_digit_is_refused() {
        for wrong in ["0", "1", "2", "3", "4", "5", "6", "8", "9"] {
            let text = format!("\"978030640615{wrong}\"");
            refused::<Isbn>(&text, &format!("the check digit of isbn {text} must be 7"));
        }
    }
}
