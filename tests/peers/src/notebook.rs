//! The domain of every row: a notebook that counts its notes.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The size of an event in every row, as JSON.
pub(crate) const EVENT_BYTES: usize = 300;
/// The most notes: a rule that needs the state.
const MAX_NOTES: u64 = 1_000_000;

const WORDS: [&str; 40] = [
    "order",
    "shelf",
    "returned",
    "customer",
    "called",
    "about",
    "the",
    "second",
    "parcel",
    "and",
    "asked",
    "for",
    "another",
    "delivery",
    "date",
    "before",
    "noon",
    "invoice",
    "was",
    "sent",
    "twice",
    "please",
    "check",
    "whether",
    "warehouse",
    "north",
    "still",
    "holds",
    "copies",
    "of",
    "this",
    "title",
    "in",
    "hardcover",
    "edition",
    "with",
    "signed",
    "cover",
    "page",
    "today",
];

/// An event of [`EVENT_BYTES`]. It consists of words, so that it compresses like text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Noted {
    note_id: Uuid,
    author: String,
    priority: u8,
    tags: Vec<String>,
    text: String,
}

/// The state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notebook {
    pub(crate) notes: u64,
}

/// A notebook takes no more notes.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the notebook is full")]
pub(crate) struct Full;

/// Adds notes to a notebook.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) id: Uuid,
    pub(crate) notes: Vec<Noted>,
    /// Whether the notebook must be new.
    pub(crate) creates: bool,
}

impl Notebook {
    /// The state after an event.
    pub(crate) fn evolve(self, _event: &Noted) -> Self {
        Self { notes: self.notes + 1 }
    }

    /// The events of a command.
    pub(crate) fn decide(self, notes: &[Noted]) -> Result<Vec<Noted>, Full> {
        let after = notes.iter().fold(self, Self::evolve);
        if after.notes <= MAX_NOTES { Ok(notes.to_vec()) } else { Err(Full) }
    }
}

impl Command {
    /// A new command with this number of notes.
    pub(crate) fn new(notes: usize) -> Self {
        Self {
            id: Uuid::now_v7(),
            notes: std::iter::repeat_with(Noted::any).take(notes).collect(),
            creates: false,
        }
    }

    /// A new command with the first note of a notebook.
    pub(crate) fn creating() -> Self {
        Self { creates: true, ..Self::new(1) }
    }
}

impl Noted {
    /// A note of the standard size.
    pub(crate) fn any() -> Self {
        let mut note = Self {
            note_id: Uuid::now_v7(),
            author: "reader-0192".to_owned(),
            priority: fastrand::u8(1..=9),
            tags: vec![word().to_owned(), word().to_owned()],
            text: String::new(),
        };
        let room =
            EVENT_BYTES.saturating_sub(serde_json::to_string(&note).map_or(0, |json| json.len()));
        while note.text.len() < room {
            note.text.push_str(word());
            note.text.push(' ');
        }
        note.text.truncate(room);
        note
    }
}

fn word() -> &'static str {
    WORDS.get(fastrand::usize(..WORDS.len())).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_the_same_size() {
        for _ in 0..1_000 {
            assert_eq!(serde_json::to_string(&Noted::any()).unwrap().len(), EVENT_BYTES);
        }
    }

    #[test]
    fn a_full_notebook_takes_no_note() {
        let almost = Notebook { notes: MAX_NOTES - 1 };
        assert!(almost.decide(&Command::new(1).notes).is_ok());
        assert!(almost.decide(&Command::new(2).notes).is_err());
    }
}
