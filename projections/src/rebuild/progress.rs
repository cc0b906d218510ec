//! The work of a job in the rows: tasks that travel in the queue, and the progress of each segment.

use crate::generations::job::Tally;
use crate::tables::removal::RemoveCursor;
use eventstore::ScanCursor;
use serde::{Deserialize, Serialize};

/// A message to continue a segment. As JSON in the queue; fields may be added, none renamed or
/// dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentTask {
    /// The projection.
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

impl SegmentTask {
    /// The message group: one worker at a time works on a segment.
    pub fn group(&self) -> String {
        format!("{}:{}:{}", self.projection, self.job, self.segment)
    }

    /// The same for a repeated message.
    pub fn deduplication_id(&self) -> String {
        format!("{}:{}:{}:{}", self.group(), self.pass, self.slice, self.resumed)
    }
}

/// The progress of a segment in a pass: a row that each slice replaces by a conditional put.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Slices done so far.
    pub(crate) slice: u64,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) done: bool,
    pub(crate) tally: Tally,
}

/// Where a segment continues.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Cursor {
    /// After that item of the event table.
    Events(ScanCursor),
    /// After that item of the audit index or of the journal.
    Entries(RemoveCursor),
    /// After that row of the read-model table, or at its beginning.
    Rows(Option<String>),
}
