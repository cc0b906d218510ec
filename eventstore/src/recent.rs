//! The ids of a stream's commands: the newest by name, and of all older ones what rules most ids out.

use crate::filter::Filter;
use crate::{Commit, Id};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What is known of the command ids in a stream, from its first commit to the head that it stands beside.
///
/// Every commit is either *listed* (its id is here) or *hidden* (older than those). Of the hidden ones is kept: the newest time
/// in an id that was *timely*, that is a UUIDv7 no later than its commit's `recorded_at`; and a filter of all other ids, which
/// tell no time or were made by a clock that was ahead. Both only ever grow, from commits that were seen: no clock is asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recent {
    /// Oldest first, without a gap up to the head.
    listed: VecDeque<Listed>,
    hidden: Hidden,
}

/// A commit by its command: its id, the version of its first event, and whether the id was timely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Listed(Id, u64, bool);

/// What is new here must have a snapshot format of its own: an older program must not take it for nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hidden {
    /// The newest time of a timely id, in milliseconds of the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    newest_ms: Option<i64>,
    /// All other ids.
    #[serde(default, skip_serializing_if = "Filter::is_empty")]
    others: Filter,
}

/// Where the commit of a command may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the batch that holds this version.
    At(u64),
    /// Perhaps in a hidden commit.
    Perhaps {
        /// At or before this version.
        up_to: u64,
        /// Recorded no earlier than this, in milliseconds of the Unix epoch, where that is known.
        not_before_ms: Option<i64>,
    },
    /// Nowhere: the command was never recorded in the stream.
    Nowhere,
}

impl Place {
    /// The place, if it is not among the commits up to the version, which were all compared.
    pub(crate) fn behind(self, compared_to: u64) -> Self {
        match self {
            Self::At(version) | Self::Perhaps { up_to: version, .. } if version <= compared_to => Self::Nowhere,
            Self::At(_) | Self::Perhaps { .. } | Self::Nowhere => self,
        }
    }
}

impl Place {
    pub(crate) fn not_before_ms(self) -> Option<i64> {
        match self {
            Self::Perhaps { not_before_ms, .. } => not_before_ms,
            Self::At(_) | Self::Nowhere => None,
        }
    }
}

impl Recent {
    /// Takes the commit that comes next.
    pub(crate) fn push(&mut self, commit: &Commit) {
        let id = &commit.envelope.command_id;
        let timely = time_ms(id).is_some_and(|time| time <= commit.recorded_at.timestamp_millis());
        self.listed.push_back(Listed(id.clone(), commit.version, timely));
    }

    /// Hides all but the newest `limit` commits.
    pub(crate) fn keep(&mut self, limit: usize) {
        while self.listed.len() > limit.max(1) {
            let Some(Listed(id, _, timely)) = self.listed.pop_front() else { return };
            match time_ms(&id).filter(|_| timely) {
                Some(time) => self.hidden.newest_ms = self.hidden.newest_ms.max(Some(time)),
                None => self.hidden.others.insert(&id),
            }
        }
    }

    /// How many commits are listed.
    pub(crate) fn len(&self) -> usize {
        self.listed.len()
    }

    /// Whether it can stand beside a head of that version. Something is hidden exactly if the list does not begin with the
    /// first commit.
    pub(crate) fn fits(&self, version: u64) -> bool {
        let mut versions = self.listed.iter().map(|listed| listed.1);
        let nothing_hidden = self.hidden == Hidden::default();
        versions.clone().is_sorted_by(|one, next| one < next)
            && versions.next().is_some_and(|first| first > 0 && nothing_hidden == (first == 1))
            && self.listed.back().is_some_and(|newest| newest.1 <= version)
            && self.hidden.others.is_sound()
    }

    /// Where the commit of the command may be. A timely id's commit was recorded no earlier than the id was made.
    pub(crate) fn place(&self, command: &Id) -> Place {
        if let Some(Listed(_, version, _)) = self.listed.iter().rev().find(|listed| listed.0 == *command) {
            return Place::At(*version);
        }
        let up_to = self.listed.front().map_or(0, |oldest| oldest.1.saturating_sub(1));
        let timely = time_ms(command).filter(|time| self.hidden.newest_ms.is_some_and(|newest| *time <= newest));
        match (up_to, self.hidden.others.may_have(command), timely) {
            (0, ..) | (_, false, None) => Place::Nowhere,
            (_, false, not_before_ms) => Place::Perhaps { up_to, not_before_ms },
            (_, true, _) => Place::Perhaps { up_to, not_before_ms: None },
        }
    }
}

fn time_ms(id: &Id) -> Option<i64> {
    id.time().map(|time: DateTime<Utc>| time.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::genesis;
    use crate::commit::tests::{commit, stream};
    use proptest::prelude::*;

    /// When the commits of these tests were recorded.
    const RECORDED_MS: i64 = 1_790_000_000_123;

    fn made_at(ms: i64, chance: u8) -> Id {
        let v7 = uuid::Builder::from_unix_timestamp_millis(u64::try_from(ms).unwrap(), &[chance; 10]);
        v7.into_uuid().into()
    }

    fn recent(ids: &[Id], limit: usize) -> Recent {
        let mut recent = Recent::default();
        for (version, id) in (1..).zip(ids) {
            recent.push(&commit(id.as_str(), version, &["1"], &genesis(&stream())));
        }
        recent.keep(limit);
        recent
    }

    fn key(key: &str) -> Id {
        Id::new(key).unwrap()
    }

    #[test]
    fn what_is_listed_is_found_and_what_is_hidden_is_not_denied() {
        let (early, late) = (made_at(RECORDED_MS - 1, 0), made_at(RECORDED_MS, 0));
        let ids = [early.clone(), key("key"), key("c")];
        let all = recent(&ids, 3);
        assert_eq!((all.place(&key("key")), all.place(&key("other"))), (Place::At(2), Place::Nowhere));
        let one = recent(&ids, 1);
        assert_eq!(one.place(&key("c")), Place::At(3));
        assert_eq!(one.place(&key("key")), Place::Perhaps { up_to: 2, not_before_ms: None });
        assert_eq!(one.place(&early), Place::Perhaps { up_to: 2, not_before_ms: Some(RECORDED_MS - 1) });
        assert_eq!(one.place(&key("other")), Place::Nowhere, "the filter denies it");
        assert_eq!(one.place(&late), Place::Nowhere, "its time is behind that of all timely ids");
    }

    /// One clock that is ahead does not make the ids of all others look old.
    #[test]
    fn an_id_from_a_fast_clock_hides_nobody_but_itself() {
        let fast = made_at(RECORDED_MS + 200_000, 0);
        let recent = recent(&[fast.clone(), made_at(RECORDED_MS - 9, 1), key("c")], 1);
        assert_eq!(recent.place(&fast), Place::Perhaps { up_to: 2, not_before_ms: None });
        for ahead in [-8, 0, 100_000, 200_000] {
            assert_eq!(recent.place(&made_at(RECORDED_MS + ahead, 2)), Place::Nowhere, "{ahead}");
        }
    }

    #[test]
    fn hiding_something_must_have_left_a_trace() {
        let hiding = recent(&[key("a"), key("b")], 1);
        assert!(hiding.fits(2) && !hiding.fits(1));
        let traceless = Recent { hidden: Hidden::default(), ..hiding };
        assert!(!traceless.fits(2));
        assert!(recent(&[key("a")], 1).fits(1) && !Recent::default().fits(1));
    }

    proptest! {
        /// Whatever the order of the ids' times, and however often it is cut: what was pushed is never denied.
        #[test]
        fn a_recorded_command_is_never_denied(times in prop::collection::vec(0_u32..50, 1..40), limits in prop::collection::vec(1_usize..10, 1..5)) {
            let ids: Vec<Id> = times.iter().enumerate().map(|(index, time)| {
                let v7 = made_at(RECORDED_MS - 40 + i64::from(*time), u8::try_from(index).unwrap());
                if time % 7 == 0 { Id::new(format!("key-{index}")).unwrap() } else { v7 }
            }).collect();
            let mut recent = Recent::default();
            for (index, id) in ids.iter().enumerate() {
                recent.push(&commit(id.as_str(), u64::try_from(index + 1).unwrap(), &["1"], &genesis(&stream())));
                recent.keep(limits[index % limits.len()]);
            }
            for (version, id) in (1..).zip(&ids) {
                match recent.place(id) {
                    Place::At(found) => prop_assert_eq!(found, version),
                    Place::Perhaps { up_to, not_before_ms } => {
                        prop_assert!(version <= up_to && not_before_ms.is_none_or(|time| time <= RECORDED_MS));
                    }
                    Place::Nowhere => prop_assert!(false, "{} at {} was denied", id, version),
                }
            }
        }
    }
}
