//! What operators send and get as JSON. Answers are written by the types of the engine; those named `…View` describe them.

use super::extract::Example;
use chrono::{DateTime, Utc};
use eventstore::StreamId;
use projections::rebuild::{DEFAULT_SEGMENTS, MAX_SEGMENTS};
use serde::Deserialize;
use serde_json::{Number, Value, json};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// How a job is cut.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"segments": 4}))]
pub(crate) struct JobBody {
    /// Into how many segments, which workers share; 4 if nothing is said.
    #[serde(default)]
    #[schema(value_type = u32, required = false, default = 4, minimum = 1, maximum = 64)]
    pub(crate) segments: Segments,
}

/// Into how many segments a job is cut.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "serde_json::Number")]
pub(crate) struct Segments(pub(crate) u32);

impl Default for Segments {
    fn default() -> Self {
        Self(DEFAULT_SEGMENTS)
    }
}

impl TryFrom<Number> for Segments {
    type Error = String;

    fn try_from(number: Number) -> Result<Self, String> {
        let fits = whole(&number).filter(|number| (1..=MAX_SEGMENTS).contains(number));
        fits.map(Self).ok_or_else(|| format!("must be a whole number from 1 to {MAX_SEGMENTS}"))
    }
}

/// A whole number. As JSON Schema says, `4.0` is one.
fn whole(number: &Number) -> Option<u32> {
    let fits = |number: &f64| number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number);
    let from_fraction = || number.as_f64().filter(fits).and_then(|number| format!("{number:.0}").parse().ok());
    number.as_u64().map_or_else(from_fraction, |number| u32::try_from(number).ok())
}

/// A generation's number.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "serde_json::Number")]
pub(crate) struct GenerationNumber(pub(crate) u32);

impl TryFrom<Number> for GenerationNumber {
    type Error = &'static str;

    fn try_from(number: Number) -> Result<Self, &'static str> {
        whole(&number).map(Self).ok_or("must be a whole number, 0 or more")
    }
}

/// What is set going again.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({}))]
pub(crate) struct ResumeBody {
    /// Only this stream; without it the job and every parked stream.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^[a-z][a-z0-9_]*-[!-~]+$", max_length = 100)]
    pub(crate) stream: Option<StreamId>,
    /// Where an earlier call ended: its `next_cursor`. The job is not looked at again. An empty
    /// one begins.
    #[serde(default)]
    pub(crate) cursor: Option<String>,
}

/// Whether to switch to what is not complete.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"accept_incomplete": false}))]
pub(crate) struct SwitchBody {
    /// Also to a generation in which streams stand still.
    #[serde(default)]
    pub(crate) accept_incomplete: bool,
}

/// What is given up.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"generation": 2}))]
pub(crate) struct DropBody {
    /// The generation's number; without it the one that is not read.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 4_294_967_295_u32)]
    pub(crate) generation: Option<GenerationNumber>,
}

/// A step that says all by its name.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({}))]
pub(crate) struct NothingMore {}

impl Example for JobBody {
    fn example() -> Value {
        json!({"segments": 8})
    }
}

impl Example for ResumeBody {
    fn example() -> Value {
        json!({"stream": "order-1"})
    }
}

impl Example for SwitchBody {
    fn example() -> Value {
        json!({"accept_incomplete": false})
    }
}

impl Example for DropBody {
    fn example() -> Value {
        json!({"generation": 2})
    }
}

impl Example for NothingMore {
    fn example() -> Value {
        json!({})
    }
}

/// Every projection.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct ProjectionsView {
    /// The projections.
    projections: Vec<ProjectionView>,
}

/// How a projection stands.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct ProjectionView {
    /// Its name.
    name: String,
    /// Whether it has rows that can be made anew.
    read_model: bool,
    /// The generation that is read.
    active: u32,
    /// The generation beside it.
    other: Option<OtherView>,
    /// What is being worked on.
    job: Option<JobView>,
    /// What the last job came to.
    report: Option<ReportView>,
    /// The shape of the rows that this program writes, as `orders/1`.
    shape: String,
    /// The shape of the generation that is read; null while nobody has written it. Where it is not the program's, this program
    /// leaves that generation to others: it falls behind until a rebuild is switched to.
    active_shape: Option<String>,
    /// The shape of the generation beside it.
    other_shape: Option<String>,
    /// How many streams stand still, in all generations; 500 at most are counted in each.
    parked: u64,
    /// How far it is behind; null where a step was taken and its queues did not tell.
    lag: Option<LagView>,
}

/// A generation that is not read.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct OtherView {
    /// Its number.
    number: u32,
    /// What it is good for.
    #[schema(pattern = "^(building|complete|incomplete|previous|removing)$")]
    state: String,
}

/// How far a job has come.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct JobView {
    /// Its number.
    number: u64,
    /// What is done.
    #[schema(pattern = "^(rebuild|reconcile|remove)$")]
    kind: String,
    /// Which time the streams are gone through, from 0.
    pass: u32,
    /// Whether it stands still because somebody wanted it to.
    paused: bool,
    /// When it began.
    started_at: DateTime<Utc>,
    /// Into how many segments it is cut.
    segments: u32,
    /// How many of them are done in this pass.
    segments_done: u32,
    /// What was met in this pass.
    tally: TallyView,
    /// How many items the table has, about; null where that is not known.
    items_expected: Option<u64>,
    /// Items a second, in this pass.
    items_per_second: f64,
    /// How long this pass will take from now, in seconds; null where that cannot be told.
    seconds_left: Option<u64>,
}

/// What was met.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct TallyView {
    /// Items of commits read.
    batches: u64,
    /// Commits read.
    commits: u64,
    /// Events read.
    events: u64,
    /// Streams whose first commit was read.
    streams: u64,
    /// Of those, how many have something in the generation that is filled or checked.
    present: u64,
    /// Streams that were behind, and should not have been.
    behind: u64,
    /// Streams that stand still because of an event that cannot be applied.
    parked: u64,
    /// Rows removed.
    removed: u64,
    /// Events that the projection ignores on purpose, by type.
    ignored: BTreeMap<String, u64>,
    /// Items of the event table that cannot be read.
    damaged: u64,
    /// What is wrong with some of them, 10 at most.
    damages: Vec<String>,
    /// Streams of which more is applied than there is, as after the table of events was restored.
    ahead: u64,
    /// Streams of which other commits are applied than those that are there.
    other_chain: u64,
    /// Some of both, 10 at most.
    strays: Vec<String>,
}

/// What a job came to.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct ReportView {
    /// The job's number.
    job: u64,
    /// What was done.
    #[schema(pattern = "^(rebuild|reconcile|remove)$")]
    kind: String,
    /// The generation that was filled or removed; null for a pass over all of them.
    generation: Option<u32>,
    /// Whether every stream has reached its end in every generation that was gone through.
    complete: bool,
    /// When it began.
    started_at: DateTime<Utc>,
    /// When it ended.
    ended_at: DateTime<Utc>,
    /// How often the streams were gone through.
    passes: u32,
    /// What the backfill met, of a rebuild; else what the first pass met.
    first_pass: TallyView,
    /// What the last pass met.
    last_pass: TallyView,
}

/// How far a projection is behind.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct LagView {
    /// Messages in its queue, waiting or in flight, about: at least so many commits are not applied yet.
    messages: u64,
    /// Messages in its dead-letter queue, about.
    dead_letters: u64,
    /// How long ago the newest event that is known to be applied had been recorded, in seconds; 0 when the queue is empty.
    seconds: Option<u64>,
}

/// A page of the streams that stand still.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct ParkedView {
    /// The streams.
    streams: Vec<ParkedStreamView>,
    /// Where to go on. There may be one on a page with fewer streams than asked for, even with none.
    next_cursor: Option<String>,
}

/// A stream that stands still.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct ParkedStreamView {
    /// The stream.
    stream: String,
    /// The generation in which it stands still.
    generation: u32,
    /// The version of the event that cannot be applied, where that is known.
    version: Option<u64>,
    /// Why not.
    error: String,
    /// When it was parked.
    parked_at: DateTime<Utc>,
}

/// What was set going again.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct ResumptionView {
    /// The job that goes on, if one was under way.
    job: Option<u64>,
    /// The streams that stood still, each in its generation.
    streams: Vec<ResumedStreamView>,
    /// Where the next call goes on; nothing when all were looked at.
    next_cursor: Option<String>,
}

/// What became of a stream that stood still.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct ResumedStreamView {
    /// The stream.
    stream: String,
    /// The generation.
    generation: u32,
    /// The version at which it stood still, where that is known.
    version: Option<u64>,
    /// What became of it; a process manager is told of its streams and goes on with them by itself.
    #[schema(pattern = "^(caught_up|parked|announced)$")]
    state: String,
    /// Why it still stands still.
    reason: Option<String>,
}

/// What a redrive came to.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct RedrivenView {
    /// How many messages were sent again.
    sent: u64,
    /// Those that stay, with the reason.
    stays: Vec<StaysView>,
    /// How many are in the dead-letter queue afterwards, about.
    left: u64,
    /// Whether the time of the call was up before all were looked at.
    more: bool,
}

/// A message that stays in the dead-letter queue.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct StaysView {
    /// The message's id.
    message_id: String,
    /// Its group.
    group: String,
    /// Why it stays.
    reason: String,
}
