//! What goes in and out as JSON, as the OpenAPI document describes it.

use super::problem::Problem;
use crate::audit::DamagedCommit;
use eventstore::{Commit, Event, time_text};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::{IntoParams, IntoResponses, ToSchema};

/// The headers that every command takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes headers")]
pub(crate) struct CommandHeaders {
    /// The command's id: 1 to 128 visible ASCII characters, a UUIDv7 at best, and none that begins with `~`. Without it there is
    /// no retry safety. With `respond-async` it is not `.` or `..`, and has none of `/`, `?`, `#` and `%`.
    #[param(rename = "Idempotency-Key", pattern = "^[!-}][!-~]{0,127}$")]
    key: Option<String>,
    /// The version at which the caller knows the stream, in quotes; elsewhere, nothing is written.
    #[param(rename = "If-Match", pattern = "^\"[0-9]{1,19}\"$")]
    version: Option<String>,
    /// The business process that the command belongs to; the command's id if nothing is said.
    #[param(rename = "X-Correlation-Id", pattern = "^[!-~]{1,128}$")]
    correlation_id: Option<String>,
    /// `respond-async`: the answer may come later (RFC 7240). Other preferences are passed over.
    #[param(rename = "Prefer", example = "respond-async")]
    preferences: Option<String>,
}

/// A command was handled.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) enum CommandOutcome {
    /// Done, now or by an earlier try.
    #[response(status = 200)]
    Done(CommandAnswer),
}

/// A command over several streams was handled.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) enum AcrossOutcome {
    /// Done, now or by an earlier try.
    #[response(status = 200)]
    Done(AcrossAnswer),
}

/// A command was taken, to be answered later.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) enum CommandTaken {
    /// Taken, because `Prefer: respond-async` was asked for (`Preference-Applied` says so): what becomes of it stands at `Location`.
    #[response(status = 202)]
    Taken(TakenCommand),
}

/// What a command recorded.
#[derive(Serialize, ToSchema)]
pub(crate) struct CommandAnswer {
    /// The stream that it addressed.
    #[schema(example = "order-6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e")]
    pub(crate) stream: String,
    /// The stream's version behind the command.
    pub(crate) version: u64,
    /// The command's id: its Idempotency-Key.
    pub(crate) command_id: String,
    /// The business process that it belongs to.
    pub(crate) correlation_id: String,
    /// What happened; nothing when there was nothing to do.
    pub(crate) events: Vec<RecordedEvent>,
}

/// What a command over several streams recorded.
#[derive(Serialize, ToSchema)]
pub(crate) struct AcrossAnswer {
    /// The command's id: its Idempotency-Key.
    pub(crate) command_id: String,
    /// The business process that it belongs to.
    pub(crate) correlation_id: String,
    /// What happened in each stream that has an event of it; nothing when there was nothing to do.
    pub(crate) streams: Vec<CommandAnswer>,
}

/// A command that is answered later.
#[derive(Serialize, ToSchema)]
pub(crate) struct TakenCommand {
    /// The stream that it addresses.
    #[schema(example = "order-6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e")]
    pub(crate) stream: String,
    /// The command's id: its Idempotency-Key.
    pub(crate) command_id: String,
    /// The business process that it belongs to.
    pub(crate) correlation_id: String,
}

/// What became of a command that is answered later.
#[derive(Serialize, ToSchema)]
pub(crate) struct CommandStatus {
    /// The command's id: its Idempotency-Key.
    pub(crate) command_id: String,
    /// `pending`: it waits, or is being handled. `done`: see `result`. `refused`: the request's own problem, which is final until
    /// it is sent again. `failed`: given up for a problem that may pass; send it again, or tell the operators. Whatever is not
    /// `pending` was asked of the store at this moment.
    #[schema(pattern = "^(pending|done|refused|failed)$")]
    pub(crate) status: &'static str,
    /// What it would have been answered at once, where it is done.
    pub(crate) result: Option<CommandAnswer>,
    /// The problem that it would have been answered at once, where it is refused or failed.
    #[schema(value_type = Option<Problem>)]
    pub(crate) problem: Option<Box<RawValue>>,
}

/// An event as a command's answer shows it.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordedEvent {
    /// Its place in the stream.
    pub(crate) version: u64,
    /// What happened.
    #[serde(rename = "type")]
    pub(crate) event_type: String,
    /// When it was recorded, RFC 3339.
    pub(crate) recorded_at: String,
    /// The facts.
    #[schema(value_type = Object)]
    pub(crate) data: Box<RawValue>,
}

/// A page of a stream's history.
#[derive(Serialize, ToSchema)]
pub(crate) struct History {
    /// The stream.
    pub(crate) stream: String,
    /// Its end.
    pub(crate) head: StreamHead,
    /// Its events, oldest first.
    pub(crate) events: Vec<AuditedEvent>,
    /// The version at which the next page begins.
    pub(crate) next_from: Option<u64>,
    /// The last version of this history. Asked for with the next page, it lets the walk end though the stream grows.
    pub(crate) to: u64,
}

/// The end of a stream.
#[derive(Serialize, ToSchema)]
pub(crate) struct StreamHead {
    /// The version of the last event.
    pub(crate) version: u64,
    /// The chain hash of the last commit.
    pub(crate) hash: String,
}

/// An event with who, when and why.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditedEvent {
    /// Its place in the stream.
    version: u64,
    /// What happened.
    #[serde(rename = "type")]
    event_type: String,
    /// The version of the shape of `data`.
    schema: u32,
    /// When it was recorded, RFC 3339.
    recorded_at: String,
    /// Who gave the command.
    actor: String,
    /// The command's id.
    command_id: String,
    /// The business process that the command belongs to.
    correlation_id: String,
    /// What caused the command.
    causation_id: Option<String>,
    /// The facts.
    #[schema(value_type = Object)]
    data: Box<RawValue>,
}

impl AuditedEvent {
    pub(crate) fn new(commit: &Commit, event: &Event) -> Self {
        let metadata = &commit.metadata;
        Self {
            version: event.version,
            event_type: event.body.event_type.clone(),
            schema: event.body.schema,
            recorded_at: time_text(commit.recorded_at),
            actor: metadata.actor.to_string(),
            command_id: metadata.command_id.to_string(),
            correlation_id: metadata.correlation_id.to_string(),
            causation_id: metadata.causation_id.as_ref().map(ToString::to_string),
            data: event.body.data.clone(),
        }
    }
}

/// A page of found events.
#[derive(Serialize, ToSchema)]
pub(crate) struct FoundEvents {
    /// The events, in the order that was asked for.
    pub(crate) events: Vec<FoundEvent>,
    /// The commits that would have been shown, and are not in their streams as they were written. Empty where `stream` was
    /// given: that stream is only read as far as it is whole.
    pub(crate) damaged: Vec<DamagedCommit>,
    /// Where to go on. There may be one on a page with fewer events than asked for, even with none.
    pub(crate) next_cursor: Option<String>,
}

/// An event with its stream.
#[derive(Serialize, ToSchema)]
pub(crate) struct FoundEvent {
    /// The stream.
    pub(crate) stream: String,
    /// The event.
    #[serde(flatten)]
    pub(crate) event: AuditedEvent,
}

/// Whether a stream is still what was written, as far as its chain and those who have seen its end can tell.
#[derive(Serialize, ToSchema)]
pub(crate) struct VerifyAnswer {
    /// The stream.
    pub(crate) stream: String,
    /// Whether every commit fits, and the stream reaches what its snapshot and its read models have seen.
    pub(crate) verified: bool,
    /// The commits that fit, from the first.
    pub(crate) commits: u64,
    /// The end of the part that fits.
    pub(crate) head: StreamHead,
    /// The first thing that does not fit.
    pub(crate) broken_at: Option<BrokenAt>,
}

/// Where a chain breaks.
#[derive(Serialize, ToSchema)]
pub(crate) struct BrokenAt {
    /// The version.
    pub(crate) version: u64,
    /// What is wrong there.
    pub(crate) reason: String,
}

/// Whether the API answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    pub(crate) status: &'static str,
}
