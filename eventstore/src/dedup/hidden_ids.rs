//! Ids that are no longer listed: two Bloom filters, and bounds of what left them.

use super::bloom::Bloom;
use super::index::Mark;
use crate::{Id, StreamId};
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// A commit by its command: its id, the version of its first event, and `recorded_at` in
/// milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ListedId(pub(super) Id, pub(super) u64, pub(super) i64);

/// What is known of hidden commits. A new field needs a new snapshot format, because an older
/// program must not miss it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hidden {
    /// The newest time of a timely id, in milliseconds of the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) timely_ms: Option<i64>,
    /// The newest of all other ids; the older filter first.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(super) window: VecDeque<Filtered>,
    /// All other ids that left the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) older: Option<Bounds>,
}

/// Ids in a filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filtered {
    pub(super) ids: usize,
    pub(super) bounds: Bounds,
    pub(super) bloom: Bloom,
}

/// The facts about a set of ids that are not timely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bounds {
    /// Whether one of them has no time.
    pub(super) untimed: bool,
    /// The newest time in ids of callers with a fast clock, in milliseconds of the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fast_ms: Option<i64>,
    /// The newest time in ids that the system derived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) derived_ms: Option<i64>,
    /// The most that one of them was ahead of its commit's `recorded_at`.
    pub(super) ahead_ms: i64,
    /// The newest of their commits.
    pub(super) newest: ListedId,
}

impl Hidden {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn take(&mut self, commit: ListedId, filter_ids: usize) {
        if let Some(time) = commit.timely_ms() {
            self.timely_ms = self.timely_ms.max(Some(time));
            return;
        }
        let bounds = Bounds::of(commit);
        match self.window.back_mut().filter(|newest| newest.ids < filter_ids) {
            Some(newest) => newest.take(bounds),
            None => {
                let mut newest =
                    Filtered { ids: 0, bounds: bounds.clone(), bloom: Bloom::default() };
                newest.take(bounds);
                self.window.push_back(newest);
            }
        }
        while self.window.len() > 2 {
            let left = self.window.pop_front().map(|left| left.bounds);
            self.older = match (self.older.take(), left) {
                (Some(older), Some(left)) => Some(older.union(left)),
                (older, left) => older.or(left),
            };
        }
    }
}

impl Filtered {
    pub(super) fn take(&mut self, commit: Bounds) {
        self.bloom.insert(&commit.newest.0);
        self.bounds = self.bounds.clone().union(commit);
        self.ids += 1;
    }

    pub(super) fn may_have(&self, command: &Id) -> bool {
        self.bounds.may_have(command) && self.bloom.may_have(command)
    }
}

impl Bounds {
    pub(super) fn of(newest: ListedId) -> Self {
        let (time, derived) = (time_ms(&newest.0), newest.0.is_of_system());
        Self {
            untimed: time.is_none(),
            fast_ms: time.filter(|_| !derived),
            derived_ms: time.filter(|_| derived),
            ahead_ms: time.map_or(0, |time| time.saturating_sub(newest.2).max(0)),
            newest,
        }
    }

    /// Whether the set may contain the id.
    pub(super) fn may_have(&self, command: &Id) -> bool {
        match time_ms(command) {
            None => self.untimed,
            Some(time) if command.is_of_system() => self.derived_ms >= Some(time),
            Some(time) => self.fast_ms >= Some(time),
        }
    }

    /// The union with a set of later commits.
    pub(super) fn union(self, later: Self) -> Self {
        Self {
            untimed: self.untimed || later.untimed,
            fast_ms: self.fast_ms.max(later.fast_ms),
            derived_ms: self.derived_ms.max(later.derived_ms),
            ahead_ms: self.ahead_ms.max(later.ahead_ms),
            newest: later.newest,
        }
    }
}

impl ListedId {
    /// The time of a timely id. A derived id is never timely: it may come hours after its cause.
    pub(super) fn timely_ms(&self) -> Option<i64> {
        time_ms(&self.0).filter(|time| !self.0.is_of_system() && *time <= self.2)
    }

    pub(super) fn mark(&self, stream: &StreamId) -> Option<Mark> {
        let recorded_at = DateTime::from_timestamp_millis(self.2)?;
        Some(Mark {
            stream: stream.clone(),
            version: self.1,
            recorded_at,
            command_id: self.0.clone(),
            hash: None,
        })
    }
}

pub(super) fn time_ms(id: &Id) -> Option<i64> {
    id.time().map(|time| time.timestamp_millis())
}
