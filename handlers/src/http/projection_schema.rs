//! JSON of the operations on projections. The engine's own types write the responses; types named
//! `…View` describe them.

use super::extract::BodyExample;
use chrono::{DateTime, Utc};
use eventstore::StreamId;
use projections::rebuild::{DEFAULT_SEGMENTS, MAX_SEGMENTS};
use serde::Deserialize;
use serde_json::{Number, Value, json};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// How a job is divided.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"segments": 4}))]
pub(crate) struct JobBody {
    /// How many segments workers share; 4 by default.
    #[serde(default)]
    #[schema(value_type = u32, required = false, default = 4, minimum = 1, maximum = 64)]
    pub(crate) segments: Segments,
}

/// The number of segments of a job.
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

/// A whole number. JSON Schema counts `4.0` as one.
fn whole(number: &Number) -> Option<u32> {
    let fits = |number: &f64| number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number);
    let from_fraction =
        || number.as_f64().filter(fits).and_then(|number| format!("{number:.0}").parse().ok());
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

/// What to resume.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({}))]
pub(crate) struct ResumeBody {
    /// Only this stream. Without it, the job and all parked streams.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^[a-z][a-z0-9_]*-[!-~]+$", max_length = 100)]
    pub(crate) stream: Option<StreamId>,
    /// The `next_cursor` of an earlier response, to continue with parked streams only. An empty
    /// cursor begins.
    #[serde(default)]
    pub(crate) cursor: Option<String>,
}

/// What to accept in the generation to switch to.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"accept_incomplete": false, "accept_new_positions": false}))]
pub(crate) struct SwitchBody {
    /// Accept a generation in which streams are parked.
    #[serde(default)]
    pub(crate) accept_incomplete: bool,
    /// Accept that positions change. Only the journal has positions that readers store.
    #[serde(default)]
    pub(crate) accept_new_positions: bool,
}

/// What to accept in the generation to roll back to.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"accept_new_positions": false}))]
pub(crate) struct RollbackBody {
    /// Accept that positions change. Only the journal has positions that readers store.
    #[serde(default)]
    pub(crate) accept_new_positions: bool,
}

/// Which generation to drop.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"generation": 2}))]
pub(crate) struct DropBody {
    /// The generation's number. Without it, the standby generation.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 4_294_967_295_u32)]
    pub(crate) generation: Option<GenerationNumber>,
}

/// The body of a step without options.
#[derive(Deserialize, ToSchema)]
#[schema(as = NothingMore, example = json!({}))]
pub(crate) struct EmptyBody {}

impl BodyExample for JobBody {
    fn example() -> Value {
        json!({"segments": 8})
    }
}

impl BodyExample for ResumeBody {
    fn example() -> Value {
        json!({"stream": "order-1"})
    }
}

impl BodyExample for SwitchBody {
    fn example() -> Value {
        json!({"accept_incomplete": false, "accept_new_positions": false})
    }
}

impl BodyExample for RollbackBody {
    fn example() -> Value {
        json!({"accept_new_positions": false})
    }
}

impl BodyExample for DropBody {
    fn example() -> Value {
        json!({"generation": 2})
    }
}

impl BodyExample for EmptyBody {
    fn example() -> Value {
        json!({})
    }
}

/// All projections.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct ProjectionsView {
    /// The projections.
    projections: Vec<ProjectionView>,
}

/// The status of a projection.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct ProjectionView {
    /// Its name.
    name: String,
    /// Whether it is a read model, which can be rebuilt.
    read_model: bool,
    /// The active generation: the one that is read.
    active: u32,
    /// The standby generation.
    other: Option<OtherView>,
    /// The job under way.
    job: Option<JobView>,
    /// The result of the last job.
    report: Option<ReportView>,
    /// The shape of rows that this program writes, as `orders/1`.
    shape: String,
    /// The shape of the active generation; null if nothing has been written to it. If it is not
    /// this program's shape, this program does not write to it: it falls behind until a rebuilt
    /// generation becomes active.
    active_shape: Option<String>,
    /// The shape of the standby generation.
    other_shape: Option<String>,
    /// How many streams are parked, in all generations. At most 500 are counted in each.
    parked: u64,
    /// How far it is behind; null if a step was taken but its queues could not be counted.
    lag: Option<LagView>,
}

/// The standby generation.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct OtherView {
    /// Its number.
    number: u32,
    /// Its state.
    #[schema(pattern = "^(building|complete|incomplete|previous|removing)$")]
    state: String,
}

/// A job and its progress.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct JobView {
    /// Its number.
    number: u64,
    /// What it does.
    #[schema(pattern = "^(rebuild|reconcile|remove)$")]
    kind: String,
    /// The number of the pass over all streams, from 0.
    pass: u32,
    /// Whether an operator paused it.
    paused: bool,
    /// When it began.
    started_at: DateTime<Utc>,
    /// The number of its segments.
    segments: u32,
    /// How many segments are done in this pass.
    segments_done: u32,
    /// Counts of this pass.
    tally: TallyView,
    /// About how many items the table has; null if unknown.
    items_expected: Option<u64>,
    /// Items per second, in this pass.
    items_per_second: f64,
    /// How long this pass will still take, in seconds; null if unknown.
    seconds_left: Option<u64>,
}

/// Counts of a pass.
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
    /// How many of those have rows in the generation that is filled or checked.
    present: u64,
    /// Streams that were unexpectedly behind.
    behind: u64,
    /// Streams that are parked, since an event cannot be applied.
    parked: u64,
    /// Rows removed.
    removed: u64,
    /// Events that the projection ignores on purpose, by type.
    ignored: BTreeMap<String, u64>,
    /// Items of the event table that cannot be read.
    damaged: u64,
    /// Why, for at most 10 of them.
    damages: Vec<String>,
    /// Streams whose rows are ahead of the stream, as after the event table was restored.
    ahead: u64,
    /// Streams whose rows come from other commits than the stream has.
    other_chain: u64,
    /// At most 10 of both.
    strays: Vec<String>,
}

/// The result of a job.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct ReportView {
    /// The job's number.
    job: u64,
    /// What it did.
    #[schema(pattern = "^(rebuild|reconcile|remove)$")]
    kind: String,
    /// The generation that was filled or removed; null for a pass over all generations.
    generation: Option<u32>,
    /// Whether each stream was applied up to its end, in each generation of the job.
    complete: bool,
    /// When it began.
    started_at: DateTime<Utc>,
    /// When it ended.
    ended_at: DateTime<Utc>,
    /// The number of passes over all streams.
    passes: u32,
    /// Counts of the first pass; for a rebuild, the backfill.
    first_pass: TallyView,
    /// Counts of the last pass.
    last_pass: TallyView,
}

/// How far a projection is behind.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct LagView {
    /// About how many messages its queue has, with those in flight. At least as many commits are
    /// not applied yet.
    messages: u64,
    /// About how many messages its dead-letter queue has.
    dead_letters: u64,
    /// The age of the newest event that is known to be applied, in seconds; 0 if the queue is
    /// empty.
    seconds: Option<u64>,
}

/// A page of parked streams.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct ParkedView {
    /// The streams.
    streams: Vec<ParkedStreamView>,
    /// The cursor of the next page. A page with few streams or none may have one, too.
    next_cursor: Option<String>,
}

/// A parked stream.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct ParkedStreamView {
    /// The stream.
    stream: String,
    /// The generation in which it is parked.
    generation: u32,
    /// The version of the event that cannot be applied, if known.
    version: Option<u64>,
    /// Why it cannot be applied.
    error: String,
    /// When it was parked.
    parked_at: DateTime<Utc>,
}

/// What was resumed.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct ResumptionView {
    /// The job that was resumed, if there is one.
    job: Option<u64>,
    /// The parked streams of this call, each in its generation.
    streams: Vec<ResumedStreamView>,
    /// The cursor for the next call; null after the last parked stream.
    next_cursor: Option<String>,
}

/// The result for a parked stream.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct ResumedStreamView {
    /// The stream.
    stream: String,
    /// The generation.
    generation: u32,
    /// The version at which it was parked, if known.
    version: Option<u64>,
    /// `caught_up`, still `parked`, or `announced`: a process gets a notification and resumes it
    /// later.
    #[schema(pattern = "^(caught_up|parked|announced)$")]
    state: String,
    /// Why it is still parked.
    reason: Option<String>,
}

/// The result of a redrive.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct RedrivenView {
    /// How many messages were moved to the queue.
    sent: u64,
    /// The messages that stay, with the reason.
    stays: Vec<StaysView>,
    /// About how many messages the dead-letter queue has afterwards.
    left: u64,
    /// Whether the call ran out of time before the last message.
    more: bool,
}

/// A message that stays in the dead-letter queue.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) struct StaysView {
    /// The message's id.
    message_id: String,
    /// Its message group.
    group: String,
    /// Why it stays.
    reason: String,
}
