//! The ids of a stream's commands: the newest exactly, older ones by Bloom filter and time bound.

use super::bloom::BLOOM_IDS;
use super::hidden_ids::{Bounds, Hidden, ListedId, time_ms};
use super::index::Mark;
use crate::{Commit, Id, StreamId};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The ids of a stream's commands, from its first commit to a head. Its size is bounded.
///
/// A commit is *listed* (its id is here) or *hidden* (it is older). An id is *timely* if a caller
/// made it as a UUIDv7 whose time is no later than its commit's `recorded_at`. Of timely hidden ids
/// the newest time is stored. All other hidden ids go through a window of two filters. When the
/// newer filter is full, it becomes the older one, and of the previous older one only the
/// [`Bounds`] remain. Everything here comes from commits that were read or written, never from a
/// clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandIds {
    /// Oldest first, without a gap up to the head.
    listed: VecDeque<ListedId>,
    #[serde(default, skip_serializing_if = "Hidden::is_empty")]
    hidden: Hidden,
}

/// How many ids are stored in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdLimits {
    /// Listed ids: at least 1.
    pub(crate) listed: usize,
    /// Ids in each of the two filters, at most the filter's capacity.
    pub(crate) filtered: usize,
}

/// Where the commit of a command may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// In the batch that holds this version.
    At(u64),
    /// Perhaps in a hidden commit.
    Maybe {
        /// At or before this version.
        up_to: u64,
        /// Recorded no earlier than this, in milliseconds of the Unix epoch, if known.
        not_before_ms: Option<i64>,
        /// The commit at `up_to`, if known: an index that has it can answer without reading the
        /// stream.
        mark: Option<Box<Mark>>,
    },
    /// Nowhere: the command was never recorded in the stream.
    Absent,
}

impl Lookup {
    /// The lookup after every commit up to the version was compared.
    pub(crate) fn after(self, compared_to: u64) -> Self {
        match self {
            Self::At(version) | Self::Maybe { up_to: version, .. } if version <= compared_to => {
                Self::Absent
            }
            Self::At(_) | Self::Maybe { .. } | Self::Absent => self,
        }
    }
}

impl CommandIds {
    /// Adds the next commit.
    pub(crate) fn push(&mut self, commit: &Commit) {
        let (id, recorded_ms) =
            (commit.metadata.command_id.clone(), commit.recorded_at.timestamp_millis());
        self.listed.push_back(ListedId(id, commit.version, recorded_ms));
    }

    /// Hides the commits over the limits.
    pub(crate) fn trim(&mut self, limits: IdLimits) {
        while self.listed.len() > limits.listed.max(1) {
            let Some(oldest) = self.listed.pop_front() else { return };
            self.hidden.take(oldest, limits.filtered.clamp(1, BLOOM_IDS));
        }
    }

    /// Whether the lookup of the commit's id includes the commit. True for every recorded commit.
    pub(crate) fn may_have(&self, stream: &StreamId, commit: &Commit) -> bool {
        match self.look_up(stream, &commit.metadata.command_id) {
            Lookup::At(version) => version == commit.version,
            Lookup::Maybe { up_to, not_before_ms, .. } => {
                commit.version <= up_to
                    && not_before_ms <= Some(commit.recorded_at.timestamp_millis())
            }
            Lookup::Absent => false,
        }
    }

    /// Whether it is valid for a head of that version. Something is hidden exactly if the first
    /// commit is not listed.
    pub(crate) fn is_valid_at(&self, version: u64) -> bool {
        let mut versions = self.listed.iter().map(|listed| listed.1);
        versions.clone().is_sorted_by(|one, next| one < next)
            && versions
                .next()
                .is_some_and(|first| first > 0 && self.hidden.is_empty() == (first == 1))
            && self.listed.back().is_some_and(|newest| newest.1 <= version)
            && self.hidden.window.len() <= 2
    }

    /// Where the commit of the command may be.
    pub(crate) fn look_up(&self, stream: &StreamId, command: &Id) -> Lookup {
        if let Some(ListedId(_, version, _)) =
            self.listed.iter().rev().find(|listed| listed.0 == *command)
        {
            return Lookup::At(*version);
        }
        let time = time_ms(command);
        let in_window = self.hidden.window.iter().filter(|filtered| filtered.may_have(command));
        let in_window: Vec<&Bounds> = in_window.map(|filtered| &filtered.bounds).collect();
        let timely =
            time.is_some_and(|time| !command.is_of_system() && self.hidden.timely_ms >= Some(time));
        let older = self.hidden.older.as_ref().filter(|older| older.may_have(command));
        let ahead_ms = in_window.iter().copied().chain(older).map(|bounds| bounds.ahead_ms).max();
        let not_before_ms = time.map(|time| time.saturating_sub(ahead_ms.unwrap_or_default()));
        match (older, timely || !in_window.is_empty()) {
            (_, true) => {
                let up_to = self.listed.front().map_or(0, |oldest| oldest.1.saturating_sub(1));
                Lookup::Maybe { up_to, not_before_ms, mark: None }
            }
            (Some(older), false) => {
                let mark = older.newest.mark(stream).map(Box::new);
                Lookup::Maybe { up_to: older.newest.1, not_before_ms, mark }
            }
            (None, false) => Lookup::Absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::commit::tests::{commit, stream};
    use crate::stream::hash_chain::genesis;
    use proptest::prelude::*;

    /// When the commits of these tests were recorded, unless they set another time.
    const RECORDED_MS: i64 = 1_790_000_000_123;
    /// So few that some commits pass through every stage.
    const FEW: IdLimits = IdLimits { listed: 1, filtered: 2 };

    fn made_at(ms: i64, chance: u8) -> Id {
        let v7 =
            uuid::Builder::from_unix_timestamp_millis(u64::try_from(ms).unwrap(), &[chance; 10]);
        v7.into_uuid().into()
    }

    fn ids_of(commands: &[Id], limits: IdLimits) -> CommandIds {
        let mut ids = CommandIds::default();
        for (version, id) in (1..).zip(commands) {
            ids.push(&commit(id.as_str(), version, &["1"], &genesis(&stream())));
            ids.trim(limits);
        }
        ids
    }

    fn key(key: &str) -> Id {
        Id::new(key).unwrap()
    }

    fn mark_of(commit: &Commit) -> Mark {
        Mark { hash: None, ..Mark::of(&stream(), commit) }
    }

    fn maybe(up_to: u64, not_before_ms: Option<i64>) -> Lookup {
        Lookup::Maybe { up_to, not_before_ms, mark: None }
    }

    #[test]
    fn what_is_listed_is_found_and_what_is_hidden_is_not_denied() {
        let (early, late) = (made_at(RECORDED_MS - 1, 0), made_at(RECORDED_MS, 0));
        let commands = [early.clone(), key("key"), key("c")];
        let all = ids_of(&commands, IdLimits { listed: 3, filtered: 2 });
        let look_up = |ids: &CommandIds, id: &Id| ids.look_up(&stream(), id);
        assert_eq!(
            (look_up(&all, &key("key")), look_up(&all, &key("other"))),
            (Lookup::At(2), Lookup::Absent)
        );
        let one = ids_of(&commands, FEW);
        assert_eq!(look_up(&one, &key("c")), Lookup::At(3));
        assert_eq!(look_up(&one, &key("key")), maybe(2, None));
        assert_eq!(look_up(&one, &early), maybe(2, Some(RECORDED_MS - 1)));
        assert_eq!(look_up(&one, &key("other")), Lookup::Absent, "the filter denies it");
        assert_eq!(
            look_up(&one, &late),
            Lookup::Absent,
            "its time is behind that of all timely ids"
        );
    }

    /// One fast clock does not make the ids of other callers look old.
    #[test]
    fn an_id_from_a_fast_clock_hides_nobody_but_itself() {
        let fast = made_at(RECORDED_MS + 200_000, 0);
        let ids = ids_of(&[fast.clone(), made_at(RECORDED_MS - 9, 1), key("c")], FEW);
        assert_eq!(
            ids.look_up(&stream(), &fast),
            maybe(2, Some(RECORDED_MS)),
            "200 s ahead at most"
        );
        for ahead in [-8, 0, 100_000, 200_000] {
            assert_eq!(
                ids.look_up(&stream(), &made_at(RECORDED_MS + ahead, 2)),
                Lookup::Absent,
                "{ahead}"
            );
        }
    }

    #[test]
    fn behind_the_window_an_id_is_anywhere_up_to_a_known_commit() {
        let keys: Vec<Id> = (1..=9).map(|number| key(&format!("key-{number}"))).collect();
        let ids = ids_of(&keys, FEW);
        // 9 is listed, 8 and 7 are in the newer filter, 6 and 5 in the older one; 1 to 4 have left
        // the window.
        let newest = mark_of(&commit("key-4", 4, &["1"], &genesis(&stream())));
        let older = Lookup::Maybe { up_to: 4, not_before_ms: None, mark: Some(Box::new(newest)) };
        assert_eq!(ids.look_up(&stream(), &key("key-1")), older);
        assert_eq!(
            ids.look_up(&stream(), &key("never-sent")),
            older,
            "without a time, nothing rules it out"
        );
        assert_eq!(ids.look_up(&stream(), &key("key-6")), maybe(8, None));
        assert_eq!(
            ids.look_up(&stream(), &made_at(RECORDED_MS, 0)),
            Lookup::Absent,
            "none of them has a time"
        );
    }

    #[test]
    fn what_was_compared_needs_no_look() {
        for (lookup, up_to) in [(Lookup::At(5), 5), (maybe(5, None), 5)] {
            assert_eq!(lookup.clone().after(up_to), Lookup::Absent);
            assert_eq!(lookup.clone().after(up_to + 1), Lookup::Absent);
            assert_eq!(lookup.clone().after(up_to - 1), lookup);
        }
        assert_eq!(Lookup::Absent.after(0), Lookup::Absent);
    }

    /// So the snapshot of a stream of timely commands has no filter.
    #[test]
    fn timely_ids_need_no_filter() {
        let commands: Vec<Id> =
            (0..9).map(|chance| made_at(RECORDED_MS - 9 + i64::from(chance), chance)).collect();
        let ids = ids_of(&commands, FEW);
        assert!(ids.hidden.window.is_empty() && ids.hidden.older.is_none());
        assert_eq!(ids.hidden.timely_ms, Some(RECORDED_MS - 2));
    }

    #[test]
    fn a_commit_at_another_place_is_not_admitted() {
        let early = made_at(RECORDED_MS - 5, 0);
        let ids = ids_of(&[early.clone(), key("key"), key("c")], FEW);
        let at = |id: &Id, version| commit(id.as_str(), version, &["1"], &genesis(&stream()));
        assert!(
            ids.may_have(&stream(), &at(&key("c"), 3))
                && !ids.may_have(&stream(), &at(&key("c"), 2))
        );
        assert!(
            ids.may_have(&stream(), &at(&key("key"), 2))
                && !ids.may_have(&stream(), &at(&key("key"), 3))
        );
        assert!(!ids.may_have(&stream(), &at(&key("other"), 1)));
        let mut too_early = at(&early, 1);
        assert!(ids.may_have(&stream(), &too_early));
        too_early.recorded_at -= chrono::TimeDelta::milliseconds(6);
        assert!(!ids.may_have(&stream(), &too_early), "recorded before its id was made");
    }

    #[test]
    fn listed_versions_rise_from_the_first() {
        let listed = |versions: &[u64]| CommandIds {
            listed: versions.iter().map(|version| ListedId(key("c"), *version, 0)).collect(),
            hidden: Hidden::default(),
        };
        assert!(listed(&[1, 2, 5]).is_valid_at(5));
        for wrong in [&[1, 1][..], &[1, 3, 2], &[0, 1], &[0]] {
            assert!(!listed(wrong).is_valid_at(5), "{wrong:?}");
        }
        let hiding = ids_of(&[key("a"), key("b")], FEW);
        assert!(!CommandIds { listed: [ListedId(key("c"), 0, 0)].into(), ..hiding }.is_valid_at(5));
    }

    #[test]
    fn hiding_something_must_have_left_a_trace() {
        let hiding = ids_of(&[key("a"), key("b")], FEW);
        assert!(hiding.is_valid_at(2) && !hiding.is_valid_at(1));
        let traceless = CommandIds { hidden: Hidden::default(), ..hiding };
        assert!(!traceless.is_valid_at(2));
        assert!(ids_of(&[key("a")], FEW).is_valid_at(1) && !CommandIds::default().is_valid_at(1));
    }

    /// Ids of all kinds on a stream of 300 commits a second: the size and the lookup of fresh ids
    /// stay the same.
    #[test]
    fn at_ten_million_commits_it_is_as_large_as_at_ten_thousand() {
        let limits = IdLimits { listed: 32, filtered: BLOOM_IDS };
        let (mut ids, mut size_at) = (CommandIds::default(), Vec::new());
        let id_of = |number: u64, ms: i64| match number % 4 {
            0 => key(&format!("delivery-{number:020}")),
            1 => made_at(ms + 200_000, number.to_be_bytes()[7]),
            _ => made_at(ms - i64::try_from(number % 3_000).unwrap(), number.to_be_bytes()[6]),
        };
        for number in 1..=10_000_000_u64 {
            let ms = RECORDED_MS + i64::try_from(number * 10 / 3).unwrap();
            ids.listed.push_back(ListedId(id_of(number, ms), number, ms));
            ids.trim(limits);
            if [10_000, 100_000, 1_000_000, 10_000_000].contains(&number) {
                size_at.push(serde_json::to_string(&ids).unwrap().len());
                let fresh =
                    (0..100).map(|chance| ids.look_up(&stream(), &made_at(ms + 300_000, chance)));
                assert!(fresh.into_iter().all(|lookup| lookup == Lookup::Absent), "at {number}");
                let Lookup::Maybe { mark, .. } = ids.look_up(&stream(), &key("old")) else {
                    panic!("at {number}")
                };
                assert!(mark.is_some_and(|mark| number - mark.version < 20_000), "at {number}");
            }
        }
        assert!(size_at.iter().all(|size| size.abs_diff(size_at[0]) < 128), "{size_at:?}");
    }

    proptest! {
        /// An added id is never denied, in any order of times and with any limits.
        #[test]
        fn a_recorded_command_is_never_denied(
            times in prop::collection::vec(0_u32..60, 1..60),
            limits in prop::collection::vec((1_usize..10, 1_usize..6), 1..5),
        ) {
            let commits: Vec<Commit> = (0_u8..).zip(&times).map(|(index, time)| {
                let v7 = made_at(RECORDED_MS - 40 + i64::from(*time), index);
                let id = match time % 7 {
                    0 => key(&format!("key-{index}")),
                    1 => key(&format!("~process:{v7}")),
                    _ => v7,
                };
                let mut commit = commit(id.as_str(), u64::from(index) + 1, &["1"], &genesis(&stream()));
                commit.recorded_at += chrono::TimeDelta::milliseconds(i64::from(index / 4));
                commit
            }).collect();
            let mut ids = CommandIds::default();
            for (commit, (listed, filtered)) in commits.iter().zip(limits.iter().cycle()) {
                ids.push(commit);
                ids.trim(IdLimits { listed: *listed, filtered: *filtered });
            }
            for commit in &commits {
                prop_assert!(ids.may_have(&stream(), commit), "{} at {}", commit.metadata.command_id, commit.version);
                if let Lookup::Maybe { mark: Some(mark), up_to, .. } = ids.look_up(&stream(), &commit.metadata.command_id) {
                    prop_assert_eq!(mark.version, up_to);
                    let marked = commits.iter().find(|other| other.version == mark.version).unwrap();
                    prop_assert_eq!(*mark, mark_of(marked));
                }
            }
            let json = serde_json::to_string(&ids).unwrap();
            prop_assert_eq!(serde_json::from_str::<CommandIds>(&json).unwrap(), ids);
        }
    }
}
