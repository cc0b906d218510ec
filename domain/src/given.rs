//! What was given, as the message of a broken rule shows it.

use std::fmt;

/// A message goes into an HTTP answer, so it repeats at most this many characters of what a caller sent.
const SHOWN_CHARS: usize = 64;

/// A refused text as a message shows it: quoted, escaped, and cut after 64 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given(String);

impl Given {
    pub(crate) fn new(text: &str) -> Self {
        match text.char_indices().nth(SHOWN_CHARS) {
            Some((end, _)) => Self(format!("{:?}…", text.get(..end).unwrap_or_default())),
            None => Self(format!("{text:?}")),
        }
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod specs {
    use super::Given;

    #[test]
    fn a_short_text_is_quoted_and_escaped() {
        assert_eq!(Given::new("a\n\"é").to_string(), r#""a\n\"é""#);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(Given::new(&"é".repeat(64)).to_string(), format!("\"{}\"", "é".repeat(64)));
        assert_eq!(Given::new(&"é".repeat(65)).to_string(), format!("\"{}\"…", "é".repeat(64)));
    }
}
