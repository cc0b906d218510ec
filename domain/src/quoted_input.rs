//! Invalid input, as error messages quote it.

use std::fmt;

/// The most characters of the input in a message, because messages go into HTTP answers.
const SHOWN_CHARS: usize = 64;

/// Invalid text for a message: quoted, escaped, and cut after 64 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotedInput(String);

impl QuotedInput {
    pub(crate) fn new(text: &str) -> Self {
        match text.char_indices().nth(SHOWN_CHARS) {
            Some((end, _)) => Self(format!("{:?}…", text.get(..end).unwrap_or_default())),
            None => Self(format!("{text:?}")),
        }
    }
}

impl fmt::Display for QuotedInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod specs {
    use super::QuotedInput;

    #[test]
    fn a_short_text_is_quoted_and_escaped() {
        assert_eq!(QuotedInput::new("a\n\"é").to_string(), r#""a\n\"é""#);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(
            QuotedInput::new(&"é".repeat(64)).to_string(),
            format!("\"{}\"", "é".repeat(64))
        );
        assert_eq!(
            QuotedInput::new(&"é".repeat(65)).to_string(),
            format!("\"{}\"…", "é".repeat(64))
        );
    }
}
