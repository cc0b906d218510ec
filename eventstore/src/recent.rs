//! The ids of a stream's commands: the newest by name, and of all older ones what rules most ids out.

use crate::filter::Filter;
use crate::{Commit, Id};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What is known of the command ids in a stream, from its first commit to the head that it stands beside.
///
/// Every commit is either *listed* (its id is here) or *hidden* (older than those). Of the hidden ones it is known how new
/// their ids are, where ids have a time, and a filter has those that have none. Both only ever grow, from commits that were
/// seen: no clock is asked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recent {
    /// Oldest first, without a gap up to the head.
    listed: VecDeque<Listed>,
    hidden: Hidden,
}

/// A commit by its command: its id, and the version of its first event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Listed(Id, u64);

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Hidden {
    /// The newest time in the id of a hidden commit, in milliseconds of the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    newest_ms: Option<i64>,
    /// The ids without time of hidden commits.
    #[serde(default, skip_serializing_if = "Filter::is_empty")]
    timeless: Filter,
}

/// Where the commit of a command may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the batch that holds this version.
    At(u64),
    /// Perhaps in a hidden commit: at or before this version.
    PerhapsUpTo(u64),
    /// Nowhere: the command was never recorded in the stream.
    Nowhere,
}

impl Place {
    /// The place, if it is not among the commits up to the version, which were all compared.
    pub(crate) fn behind(self, compared_to: u64) -> Self {
        match self {
            Self::At(version) | Self::PerhapsUpTo(version) if version <= compared_to => Self::Nowhere,
            Self::At(_) | Self::PerhapsUpTo(_) | Self::Nowhere => self,
        }
    }
}

impl Recent {
    /// Takes the commit that comes next.
    pub(crate) fn push(&mut self, commit: &Commit) {
        self.listed.push_back(Listed(commit.envelope.command_id.clone(), commit.version));
    }

    /// Hides all but the newest `limit` commits.
    pub(crate) fn keep(&mut self, limit: usize) {
        while self.listed.len() > limit.max(1) {
            let Some(Listed(id, _)) = self.listed.pop_front() else { return };
            match time_ms(&id) {
                Some(time) => self.hidden.newest_ms = self.hidden.newest_ms.max(Some(time)),
                None => self.hidden.timeless.insert(&id),
            }
        }
    }

    /// Whether it can stand beside a head of that version.
    pub(crate) fn fits(&self, version: u64) -> bool {
        let mut versions = self.listed.iter().map(|listed| listed.1);
        versions.clone().is_sorted_by(|one, next| one < next)
            && versions.next().is_some_and(|first| first > 0)
            && self.listed.back().is_some_and(|newest| newest.1 <= version)
            && self.hidden.timeless.is_sound()
    }

    /// Where the commit of the command may be.
    pub(crate) fn place(&self, command: &Id) -> Place {
        if let Some(Listed(_, version)) = self.listed.iter().rev().find(|listed| listed.0 == *command) {
            return Place::At(*version);
        }
        let hidden_up_to = self.listed.front().map_or(0, |oldest| oldest.1.saturating_sub(1));
        let perhaps_hidden = match time_ms(command) {
            Some(time) => self.hidden.newest_ms.is_some_and(|newest| time <= newest),
            None => self.hidden.timeless.may_have(command),
        };
        if perhaps_hidden && hidden_up_to > 0 { Place::PerhapsUpTo(hidden_up_to) } else { Place::Nowhere }
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

    const EARLY: &str = "0190d6a8-5c1e-7cc0-b4d0-3f1f5a3c9a10";
    const LATE: &str = "0190d6a8-5c1f-7cc0-b4d0-3f1f5a3c9a10";

    fn recent(ids: &[&str], limit: usize) -> Recent {
        let mut recent = Recent::default();
        for (version, id) in (1..).zip(ids) {
            recent.push(&commit(id, version, &["1"], &genesis(&stream())));
        }
        recent.keep(limit);
        recent
    }

    fn place(recent: &Recent, id: &str) -> Place {
        recent.place(&Id::new(id).unwrap())
    }

    #[test]
    fn what_is_listed_is_found_and_what_is_hidden_is_not_denied() {
        let all = recent(&[EARLY, "key", "c"], 3);
        assert_eq!(place(&all, "key"), Place::At(2));
        assert_eq!(place(&all, "other"), Place::Nowhere);
        let one = recent(&[EARLY, "key", "c"], 1);
        assert_eq!(place(&one, "c"), Place::At(3));
        for hidden in ["key", EARLY] {
            assert_eq!(place(&one, hidden), Place::PerhapsUpTo(2), "{hidden}");
        }
        assert_eq!(place(&one, "other"), Place::Nowhere);
        assert_eq!(place(&one, LATE), Place::Nowhere, "its time is behind that of all hidden ids");
    }

    #[test]
    fn an_id_without_time_cannot_hide_among_ids_that_have_one() {
        let times_only = recent(&[EARLY, LATE, "c"], 1);
        assert_eq!(place(&times_only, "other"), Place::Nowhere);
        assert_eq!(place(&times_only, LATE), Place::PerhapsUpTo(2));
    }

    proptest! {
        /// Whatever the order of the ids' times, and however often it is cut: what was pushed is never denied.
        #[test]
        fn a_recorded_command_is_never_denied(times in prop::collection::vec(0_u64..50, 1..40), limits in prop::collection::vec(1_usize..10, 1..5)) {
            let ids: Vec<Id> = times.iter().enumerate().map(|(index, time)| {
                let chance = [u8::try_from(index).unwrap(); 10];
                let v7 = uuid::Builder::from_unix_timestamp_millis(*time, &chance).into_uuid();
                if time % 7 == 0 { Id::new(format!("key-{index}")).unwrap() } else { v7.into() }
            }).collect();
            let mut recent = Recent::default();
            for (index, id) in ids.iter().enumerate() {
                recent.push(&commit(id.as_str(), u64::try_from(index + 1).unwrap(), &["1"], &genesis(&stream())));
                recent.keep(limits[index % limits.len()]);
            }
            for (version, id) in (1..).zip(&ids) {
                match recent.place(id) {
                    Place::At(found) => prop_assert_eq!(found, version),
                    Place::PerhapsUpTo(end) => prop_assert!(version <= end),
                    Place::Nowhere => prop_assert!(false, "{} at {} was denied", id, version),
                }
            }
        }
    }
}
