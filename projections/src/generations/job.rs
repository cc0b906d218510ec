//! What is being worked on, in how many parts, and how far each part has come.

use crate::audit_index::RemoveCursor;
use crate::generations::Generations;
use chrono::{DateTime, Utc};
use eventstore::ScanCursor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Work over all streams or all rows, cut into segments that any number of workers share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its number; a projection's jobs are counted.
    pub number: u64,
    /// What is done.
    pub kind: JobKind,
    /// Into how many segments the work is cut.
    pub segments: u32,
    /// Which time the streams are gone through: of a rebuild, 0 is the backfill, and what follows proves it.
    pub pass: u32,
    /// Whether it stands still because somebody wanted it to.
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
    /// Fills a new generation from the store, then goes through all streams until none is behind.
    Rebuild,
    /// Goes through all streams and catches up those that are behind.
    Reconcile,
    /// Removes the rows of a generation.
    Remove,
}

impl Job {
    /// The generation whose shape a worker must have: the one that is filled, or the one that is read.
    pub(crate) fn fills(&self, generations: &Generations) -> Option<u32> {
        match self.kind {
            JobKind::Rebuild => generations.other.map(|other| other.number),
            JobKind::Reconcile => Some(generations.active),
            JobKind::Remove => None,
        }
    }
}

/// A call to go on with a segment: what travels in the queue. JSON; fields may be added, none renamed or dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wake {
    /// Whose job it is.
    pub projection: String,
    /// The job's number.
    pub job: u64,
    /// The pass.
    pub pass: u32,
    /// The segment, from 0.
    pub segment: u32,
    /// The slice of the segment that comes next, from 0.
    pub slice: u64,
    /// How often the job was resumed.
    pub resumed: u32,
}

impl Wake {
    /// What is worked on by one worker at a time.
    pub fn group(&self) -> String {
        format!("{}:{}:{}", self.projection, self.job, self.segment)
    }

    /// The same call again is the same id.
    pub fn deduplication_id(&self) -> String {
        format!("{}:{}:{}:{}", self.group(), self.pass, self.slice, self.resumed)
    }
}

/// How far a segment of a pass has come: a row, replaced by each slice under a condition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Slices done so far.
    pub(crate) slice: u64,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) done: bool,
    pub(crate) tally: Tally,
}

/// Where a segment goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Cursor {
    /// Behind that item of the event table.
    Events(ScanCursor),
    /// Behind that entry of the audit index.
    Entries(RemoveCursor),
    /// Behind that row of the read-model table, or at its beginning.
    Rows(Option<String>),
}

/// What was met in the segments so far.
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
    /// Of those, how many have something in the generation that is filled or checked.
    pub present: u64,
    /// Streams that were behind, and should not have been.
    pub behind: u64,
    /// Streams that stand still because of an event that cannot be applied, once for each page on which they are met.
    pub parked: u64,
    /// Rows removed.
    pub removed: u64,
    /// Events that were ignored on purpose, by type.
    pub ignored: BTreeMap<String, u64>,
    /// Items of the event table that cannot be read, of streams that are followed or of none.
    #[serde(default)]
    pub damaged: u64,
    /// What is wrong with some of them, 10 at most.
    #[serde(default)]
    pub damages: Vec<String>,
    /// Streams of which more is applied than there is, as after the table of events was restored to an earlier moment.
    #[serde(default)]
    pub ahead: u64,
    /// Streams of which other commits are applied than those that are there.
    #[serde(default)]
    pub other_chain: u64,
    /// Some of both, each with the version up to which it is applied, 10 at most.
    #[serde(default)]
    pub strays: Vec<String>,
}

/// How many damaged items are named, and how many streams that do not fit to what is applied.
const MAX_NAMED: usize = 10;

impl Tally {
    /// Whether nothing stands still, nothing is damaged, and what is applied is what is there.
    pub(crate) fn is_sound(&self) -> bool {
        [self.parked, self.damaged, self.ahead, self.other_chain].iter().all(|count| *count == 0)
    }

    /// Both together.
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

/// What a job came to. Kept until the next one ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The job's number.
    #[serde(default)]
    pub job: u64,
    /// What was done.
    pub kind: JobKind,
    /// The generation that was filled or removed; none for a pass over all of them.
    pub generation: Option<u32>,
    /// Whether every stream has reached its end in every generation that was gone through, and every item could be read.
    pub complete: bool,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// How often the streams were gone through, a backfill included.
    pub passes: u32,
    /// What the backfill met, of a rebuild; else what the first pass met.
    pub first_pass: Tally,
    /// What the last pass met.
    pub last_pass: Tally,
}
