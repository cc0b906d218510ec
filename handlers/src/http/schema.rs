//! What goes in and out as JSON, as the OpenAPI document describes it.

use crate::problem::Problem;
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

/// Whether the API answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    pub(crate) status: &'static str,
}
