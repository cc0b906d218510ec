//! Follows all commits from a position of the journal on.

use super::occurrence::MAX_DATA_BYTES;
use super::schema::{PlacedEvent, TailEvents};
use super::{AuditError, DamagedCommit, Occurrence, OpenTrail, access};
use eventstore::{Direction, Id, MAX_VERSION};
use projections::journal::{Journal, JournalEntry, JournalError, JournalPage, MAX_PAGE};
use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The most commits that are read at once; an item of the store has at most 400 KB.
const COMMITS_AT_ONCE: usize = 100;

/// A position in a generation of the journal. As text it is both numbers: `1.250`. After a rebuild
/// of the journal, positions of before are recognized, because their generation is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalPosition {
    /// The generation.
    pub generation: u32,
    /// The position in it; 0 is before the first commit.
    pub position: u64,
}

/// The text is no [`JournalPosition`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 0, or a position that an earlier answer gave as next or end, such as 1.250")]
pub struct InvalidJournalPosition;

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TailStart {
    /// Before the first commit.
    Beginning,
    /// After a position.
    After(JournalPosition),
    /// So many commits before the end.
    Last(u64),
}

/// Which events are shown: those that fit everything that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TailFilter {
    /// The categories of streams; empty for all.
    pub categories: Vec<String>,
    /// The event types; empty for all.
    pub types: Vec<Id>,
    /// Event types to leave out.
    pub not_types: Vec<Id>,
    /// The actor.
    pub actor: Option<Id>,
    /// Whether readings of the audit trail are shown. They are, too, if their category is given.
    pub readings: bool,
}

/// A part of the journal with its events. It serialises as the API shows it.
#[derive(Debug, Clone)]
pub struct TailPage {
    /// The events that fit, each with the position of its commit.
    pub events: Vec<(u64, Occurrence)>,
    /// Commits that are missing or changed in their streams.
    pub damaged: Vec<DamagedCommit>,
    /// The position after which the next page begins.
    pub next: JournalPosition,
    /// The end of the journal when the page was read, at least.
    pub end: JournalPosition,
}

impl OpenTrail {
    /// The next commits after a position: at most `limit` are looked at. If there is none yet,
    /// waits up to that time for one.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn tail(
        &self,
        start: TailStart,
        filter: &TailFilter,
        limit: usize,
        wait: Duration,
    ) -> Result<TailPage, AuditError> {
        let (journal, generation) = self.journal().await?;
        let after = match start {
            TailStart::Beginning => 0,
            TailStart::After(at) if at.generation == generation => at.position,
            TailStart::After(position) => return Err(AuditError::OtherJournal { position }),
            TailStart::Last(commits) => journal.end(generation).await?.saturating_sub(commits),
        };
        let at = |position| JournalPosition { generation, position };
        let read = async || {
            let page = journal.page(generation, after, limit.clamp(1, MAX_PAGE)).await;
            page.map_err(|error| match error {
                JournalError::BeyondEnd { end } => {
                    AuditError::BeyondEnd { position: at(after), end: at(end) }
                }
                JournalError::Table(error) => error.into(),
            })
        };
        let mut page = read().await?;
        if page.entries.is_empty() && !wait.is_zero() {
            journal.wait(generation, after, wait).await?;
            page = read().await?;
        }
        let JournalPage { entries, next, end } = page;
        let mut tail =
            TailPage { events: Vec::new(), damaged: Vec::new(), next: at(next), end: at(end) };
        let wanted: Vec<(u64, JournalEntry)> =
            entries.into_iter().filter(|(_, entry)| filter.may_have(entry)).collect();
        let mut bytes = 0;
        for part in wanted.chunks(COMMITS_AT_ONCE) {
            let known: Vec<JournalEntry> = part.iter().map(|(_, entry)| entry.clone()).collect();
            for ((position, _), commit) in part.iter().zip(self.gather(&known).await?) {
                // A page has at least one commit, so that each call makes progress.
                if bytes > MAX_DATA_BYTES {
                    tail.next = at(position - 1);
                    return Ok(tail);
                }
                match commit {
                    Ok((stream, commit)) => {
                        let events = Occurrence::of_commit(&stream, commit, Direction::Forwards);
                        let events = events.into_iter().filter(|found| filter.fits(found));
                        for event in events {
                            bytes += event.data_bytes();
                            tail.events.push((*position, event));
                        }
                    }
                    Err(damaged) => tail.damaged.push(damaged),
                }
            }
        }
        Ok(tail)
    }

    /// The journal, and the generation that is read.
    pub(super) async fn journal(&self) -> Result<(&Journal, u32), AuditError> {
        if !self.app.has_journal() {
            return Err(AuditError::NoJournal);
        }
        Ok(self.projector.journal().await?)
    }
}

impl TailFilter {
    /// Whether events of the commit may fit, by its stream.
    fn may_have(&self, entry: &JournalEntry) -> bool {
        let category = entry.stream.category();
        if self.categories.is_empty() {
            self.readings || category != access::CATEGORY
        } else {
            self.categories.iter().any(|wanted| wanted == category)
        }
    }

    fn fits(&self, found: &Occurrence) -> bool {
        let is_type = |wanted: &Id| wanted.as_str() == found.event.body.event_type;
        (self.types.is_empty() || self.types.iter().any(is_type))
            && !self.not_types.iter().any(is_type)
            && self.actor.as_ref().is_none_or(|actor| *actor == found.commit.metadata.actor)
    }
}

impl FromStr for TailStart {
    type Err = InvalidJournalPosition;

    fn from_str(text: &str) -> Result<Self, InvalidJournalPosition> {
        if text == "0" { Ok(Self::Beginning) } else { text.parse().map(Self::After) }
    }
}

impl FromStr for JournalPosition {
    type Err = InvalidJournalPosition;

    fn from_str(text: &str) -> Result<Self, InvalidJournalPosition> {
        let digits = |text: &&str| {
            (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let (generation, position) = text.split_once('.').ok_or(InvalidJournalPosition)?;
        let read = |text: &str| Some(text).filter(digits)?.parse::<u64>().ok();
        let generation = read(generation).and_then(|number| u32::try_from(number).ok());
        let position = read(position).filter(|position| *position <= MAX_VERSION);
        let both = generation.zip(position);
        both.map(|(generation, position)| Self { generation, position })
            .ok_or(InvalidJournalPosition)
    }
}

impl fmt::Display for JournalPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.position)
    }
}

impl Serialize for TailPage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let events = self.events.iter();
        let events = events
            .map(|(position, found)| PlacedEvent {
                position: *position,
                stream: found.stream.to_string(),
                event: found.audited(),
            })
            .collect();
        let (next, end) = (self.next.to_string(), self.end.to_string());
        TailEvents { events, damaged: self.damaged.clone(), next, end }.serialize(serializer)
    }
}

#[cfg(test)]
mod specs {
    use super::*;

    #[test]
    fn a_position_is_its_generation_and_its_number() {
        let at = JournalPosition { generation: 2, position: 250 };
        assert_eq!(at.to_string(), "2.250");
        assert_eq!("2.250".parse(), Ok(at));
        assert_eq!("2.250".parse(), Ok(TailStart::After(at)));
        assert_eq!("0".parse(), Ok(TailStart::Beginning));
        for wrong in [
            "",
            "1",
            "1.",
            ".1",
            "-1.1",
            "1.-1",
            "+1.1",
            "1.1.1",
            "a.b",
            "1 .1",
            "1.10000000000000000",
        ] {
            assert_eq!(wrong.parse::<TailStart>(), Err(InvalidJournalPosition), "{wrong}");
        }
        assert!("4294967296.1".parse::<JournalPosition>().is_err());
        assert!("1.9007199254740992".parse::<JournalPosition>().is_err());
    }
}
