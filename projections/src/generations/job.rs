//! Jobs and their reports, as the row of generations stores them.

use crate::generations::Generations;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Work on all streams or all rows, divided into segments that any number of workers share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its number; each projection counts its jobs.
    pub number: u64,
    /// What it does.
    pub kind: JobKind,
    /// The number of segments.
    pub segments: u32,
    /// The number of the pass over all streams, from 0. Pass 0 of a rebuild is the backfill; later
    /// passes verify it.
    pub pass: u32,
    /// Whether an operator paused it.
    pub paused: bool,
    /// How often it was resumed.
    pub resumed: u32,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When this pass began.
    pub pass_started_at: DateTime<Utc>,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Fills a new generation from the store, then checks all streams until none is behind.
    Rebuild,
    /// Checks all streams and catches up those that are behind.
    Reconcile,
    /// Removes the rows of a generation.
    Remove,
}

impl Job {
    /// The generation whose shape a worker must have: the one being built, or the active one.
    pub(crate) fn fills(&self, generations: &Generations) -> Option<u32> {
        match self.kind {
            JobKind::Rebuild => generations.other.map(|other| other.number),
            JobKind::Reconcile => Some(generations.active),
            JobKind::Remove => None,
        }
    }
}

/// Counts of a pass so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Items of commits read.
    pub batches: u64,
    /// Commits read.
    pub commits: u64,
    /// Events read.
    pub events: u64,
    /// Streams whose first commit was read.
    pub streams: u64,
    /// Of those, streams with a position in the generation that is filled or checked.
    pub present: u64,
    /// Streams that were behind a commit from before the job.
    pub behind: u64,
    /// Parked streams; a stream counts once for each page that has commits of it.
    pub parked: u64,
    /// Rows removed.
    pub removed: u64,
    /// Events that were ignored on purpose, by type.
    pub ignored: BTreeMap<String, u64>,
    /// Unreadable items of the event table, in followed streams or without a stream.
    #[serde(default)]
    pub damaged: u64,
    /// Why some of them are unreadable; at most 10.
    #[serde(default)]
    pub damages: Vec<String>,
    /// Streams that end before their position, as after a restore of the event table.
    #[serde(default)]
    pub ahead: u64,
    /// Streams with another commit at their position.
    #[serde(default)]
    pub other_chain: u64,
    /// Some of both, each with its position; at most 10.
    #[serde(default)]
    pub strays: Vec<String>,
}

/// How many unreadable items, and how many diverged streams, are named.
const MAX_NAMED: usize = 10;

impl Tally {
    /// Whether no stream is parked, corrupt or diverged.
    pub(crate) fn is_sound(&self) -> bool {
        [self.parked, self.damaged, self.ahead, self.other_chain].iter().all(|count| *count == 0)
    }

    /// The sum of both.
    #[must_use]
    pub(crate) fn plus(mut self, other: &Self) -> Self {
        self.batches += other.batches;
        self.commits += other.commits;
        self.events += other.events;
        self.streams += other.streams;
        self.present += other.present;
        self.behind += other.behind;
        self.parked += other.parked;
        self.removed += other.removed;
        for (event_type, count) in &other.ignored {
            *self.ignored.entry(event_type.clone()).or_default() += count;
        }
        self.damaged += other.damaged;
        self.damages.extend(other.damages.iter().cloned());
        self.damages.truncate(MAX_NAMED);
        self.ahead += other.ahead;
        self.other_chain += other.other_chain;
        self.strays.extend(other.strays.iter().cloned());
        self.strays.truncate(MAX_NAMED);
        self
    }
}

/// The result of a job, stored until the next one ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The job's number.
    #[serde(default)]
    pub job: u64,
    /// What it did.
    pub kind: JobKind,
    /// The generation that was filled or removed; none after a reconciliation.
    pub generation: Option<u32>,
    /// Whether every stream is applied to its end in every checked generation, and every item is
    /// readable.
    pub complete: bool,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// The number of passes, a backfill included.
    pub passes: u32,
    /// The counts of the first pass: the backfill of a rebuild.
    pub first_pass: Tally,
    /// The counts of the last pass.
    pub last_pass: Tally,
}
