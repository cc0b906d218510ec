//! The total order of commits as text: ranks, cursors between them, and the window of a search.

use chrono::{DateTime, Datelike, NaiveDate, SubsecRound, TimeDelta, Utc};
use eventstore::{Direction, StreamId, time_text};
use serde::{Deserialize, Serialize};

/// Sorts before every rank.
const BEGINNING: &str = "0";
/// Sorts after every rank; appended to a day, after every rank of that day.
const END: &str = "~";
/// Appended to a rank, the first text after it.
const NEXT: &str = "!";
/// The most characters of a cursor: a rank has 142 at most.
const MAX_CURSOR_CHARS: usize = 160;
/// The last year whose times sort as text.
const LAST_YEAR: i32 = 9999;

/// A commit's place among all: unique, in the order of time. Every version has at most sixteen
/// digits.
pub(super) fn rank(recorded_at: DateTime<Utc>, stream: &StreamId, version: u64) -> String {
    format!("{}#{stream}#{version:016}", time_text(recorded_at))
}

/// Reads what [`rank`] wrote.
pub(super) fn read_rank(rank: &str) -> Option<(DateTime<Utc>, StreamId, u64)> {
    let (time, rest) = rank.split_once('#')?;
    let (stream, version) = rest.rsplit_once('#')?;
    let recorded_at = DateTime::parse_from_rfc3339(time).ok()?.with_timezone(&Utc);
    Some((recorded_at, StreamId::new(stream).ok()?, version.parse().ok()?))
}

/// Where a search continues: a place in the order of all commits, in any generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AuditCursor(String);

/// The text cannot be a place among commits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {MAX_CURSOR_CHARS} visible ASCII characters")]
pub struct InvalidAuditCursor;

impl TryFrom<String> for AuditCursor {
    type Error = InvalidAuditCursor;

    fn try_from(text: String) -> Result<Self, InvalidAuditCursor> {
        let fits = (1..=MAX_CURSOR_CHARS).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(text)) } else { Err(InvalidAuditCursor) }
    }
}

impl From<AuditCursor> for String {
    fn from(cursor: AuditCursor) -> Self {
        cursor.0
    }
}

/// The ranks between two places, without the places themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) low: String,
    pub(super) high: String,
}

impl Window {
    /// From a time on, and before another.
    pub(super) fn between(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Self {
        let place = |time: Option<DateTime<Utc>>, open: &str| {
            time.map_or_else(|| open.to_owned(), first_place)
        };
        Self { low: place(from, BEGINNING), high: place(to, END) }
    }

    /// The part after the cursor.
    pub(super) fn after(self, cursor: Option<&AuditCursor>, direction: Direction) -> Self {
        let Some(AuditCursor(place)) = cursor.cloned() else { return self };
        match direction {
            Direction::Forwards => Self { low: self.low.max(place), ..self },
            Direction::Backwards => Self { high: self.high.min(place), ..self },
        }
    }

    /// The part of it up to a place, that place included.
    pub(super) fn until(self, end: Option<&AuditCursor>) -> Self {
        let Some(AuditCursor(place)) = end else { return self };
        Self { high: self.high.min(format!("{place}{NEXT}")), ..self }
    }

    /// The part of it within a day.
    pub(super) fn of_day(&self, day: NaiveDate) -> Self {
        let whole = Self::day(day);
        Self { low: self.low.clone().max(whole.low), high: self.high.clone().min(whole.high) }
    }

    fn day(day: NaiveDate) -> Self {
        Self { low: day.to_string(), high: format!("{day}{END}") }
    }

    /// The first and the last day that it touches, as text; both included.
    pub(super) fn days(&self) -> Self {
        let day = |place: &str| place.get(..10).unwrap_or(place).to_owned();
        Self { low: day(&self.low), high: day(&self.high) }
    }

    /// The place at which a search in that direction ends.
    pub(super) fn end(self, direction: Direction) -> AuditCursor {
        match direction {
            Direction::Forwards => AuditCursor(self.high),
            Direction::Backwards => AuditCursor(self.low),
        }
    }

    /// The place at which a search in that direction starts.
    pub(super) fn start(&self, direction: Direction) -> AuditCursor {
        match direction {
            Direction::Forwards => AuditCursor(self.low.clone()),
            Direction::Backwards => AuditCursor(self.high.clone()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.low >= self.high
    }

    /// Whether the rank is between the two places.
    pub(super) fn holds(&self, rank: &str) -> bool {
        self.low.as_str() < rank && rank < self.high.as_str()
    }
}

/// The place right before the first commit of that time or later. Commits have whole milliseconds.
fn first_place(time: DateTime<Utc>) -> String {
    let whole = time.trunc_subsecs(3);
    let millisecond = if whole < time {
        whole.checked_add_signed(TimeDelta::milliseconds(1))
    } else {
        Some(whole)
    };
    match millisecond.filter(|time| time.year() <= LAST_YEAR) {
        Some(time) if time.year() < 0 => BEGINNING.to_owned(),
        Some(time) => time_text(time),
        None => END.to_owned(),
    }
}

impl AuditCursor {
    /// The place before every commit.
    pub fn beginning() -> Self {
        Self(BEGINNING.to_owned())
    }

    /// The later of two places.
    #[must_use]
    pub fn later(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }

    /// The place of the commit whose first event has that version. If no commit begins there, a
    /// place between two commits of that stream and time: after those that begin earlier, before
    /// the later ones.
    pub fn of(recorded_at: DateTime<Utc>, stream: &StreamId, version: u64) -> Self {
        Self(rank(recorded_at, stream, version))
    }

    /// The place of a commit.
    pub(super) fn at(rank: String) -> Self {
        Self(rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn ranked(text: &str) -> String {
        rank(time(text), &StreamId::new("note-1").unwrap(), 1)
    }

    #[test]
    fn a_rank_can_be_read_back() {
        for name in ["note-1", "note-a#b#1", "n-#"] {
            let (stream, at) = (StreamId::new(name).unwrap(), time("2026-11-22T10:00:00.123Z"));
            assert_eq!(
                read_rank(&rank(at, &stream, u64::MAX >> 11)),
                Some((at, stream, u64::MAX >> 11))
            );
        }
        for wrong in [
            "",
            "#",
            "2026-11-22T10:00:00.123Z#note-1",
            "x#note-1#1",
            "2026-11-22T10:00:00.123Z#note#1",
        ] {
            assert_eq!(read_rank(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn from_is_inclusive_and_to_exclusive_below_a_millisecond() {
        let window = |from, to| Window::between(Some(time(from)), Some(time(to)));
        let at = "2026-11-22T10:00:00.123Z";
        for (from, to, holds) in [
            (at, "2026-11-22T10:00:00.124Z", true),
            ("2026-11-22T00:00:00Z", at, false),
            ("2026-11-22T10:00:00.1230001Z", "2026-11-23T00:00:00Z", false),
            ("2026-11-22T00:00:00Z", "2026-11-22T10:00:00.1230001Z", true),
        ] {
            assert_eq!(window(from, to).holds(&ranked(at)), holds, "{from} to {to}");
        }
    }

    #[test]
    fn times_that_have_no_ordered_text_hold_all_or_nothing() {
        let (first, last) = (Some(DateTime::<Utc>::MIN_UTC), Some(DateTime::<Utc>::MAX_UTC));
        for text in ["0000-01-01T00:00:00Z", "2026-11-22T10:00:00Z", "9999-12-31T23:59:59.999Z"] {
            for (from, to, holds) in
                [(None, None, true), (first, last, true), (last, None, false), (None, first, false)]
            {
                assert_eq!(
                    Window::between(from, to).holds(&ranked(text)),
                    holds,
                    "{text} in {from:?} to {to:?}"
                );
            }
        }
    }

    #[test]
    fn a_window_until_a_place_includes_it_and_nothing_after() {
        let end = AuditCursor(ranked("2026-11-22T10:00:00Z"));
        let part = Window::between(None, None).until(Some(&end));
        for (text, holds) in [
            ("2026-11-22T09:59:59.999Z", true),
            ("2026-11-22T10:00:00Z", true),
            ("2026-11-22T10:00:00.001Z", false),
        ] {
            assert_eq!(part.holds(&ranked(text)), holds, "{text}");
        }
        let behind = rank(time("2026-11-22T10:00:00Z"), &StreamId::new("note-1").unwrap(), 2);
        assert!(!part.holds(&behind));
        assert!(
            !Window::between(None, None)
                .until(Some(&AuditCursor::beginning()))
                .holds(&ranked("0000-01-01T00:00:00Z"))
        );
        assert_eq!(Window::between(None, None).until(None), Window::between(None, None));
    }

    #[test]
    fn a_day_holds_its_commits_and_no_other() {
        let whole = Window::between(None, None);
        let day = whole.of_day(NaiveDate::from_ymd_opt(2026, 11, 22).unwrap());
        for (text, holds) in [
            ("2026-11-21T23:59:59.999Z", false),
            ("2026-11-22T00:00:00Z", true),
            ("2026-11-22T23:59:59.999Z", true),
            ("2026-11-23T00:00:00Z", false),
        ] {
            assert_eq!(day.holds(&ranked(text)), holds, "{text}");
        }
        let behind = whole.after(Some(&day.end(Direction::Forwards)), Direction::Forwards);
        assert!(behind.of_day(NaiveDate::from_ymd_opt(2026, 11, 22).unwrap()).is_empty());
    }

    #[test]
    fn a_cursor_is_visible_ascii_of_bounded_length() {
        let read = |text: &str| AuditCursor::try_from(text.to_owned()).is_ok();
        assert!(read(&ranked("2026-11-22T10:00:00Z")) && read(&"x".repeat(MAX_CURSOR_CHARS)));
        for wrong in ["", "a b", "é", &"x".repeat(MAX_CURSOR_CHARS + 1)] {
            assert!(!read(wrong), "{wrong:?}");
        }
    }
}
