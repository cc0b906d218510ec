//! JSON of commands and their responses, as the OpenAPI document describes it.

use crate::problem::Problem;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::{IntoParams, IntoResponses, ToSchema};

/// The headers that every command takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes headers")]
pub(crate) struct CommandHeaderParameters {
    /// The command's id: 1 to 128 visible ASCII characters, best a UUIDv7. It must not begin with
    /// `~`. Without it, a retry is a second command. With `respond-async` it must not be `.` or
    /// `..`, nor contain `/`, `?`, `#` or `%`.
    #[param(rename = "Idempotency-Key", pattern = "^[!-}][!-~]{0,127}$")]
    key: Option<String>,
    /// The expected version of the stream, in quotes. At another version nothing is written.
    #[param(rename = "If-Match", pattern = "^\"[0-9]{1,19}\"$")]
    version: Option<String>,
    /// The business process that the command belongs to; by default, the command's id.
    #[param(rename = "X-Correlation-Id", pattern = "^[!-~]{1,128}$")]
    correlation_id: Option<String>,
    /// `respond-async`: the command may be answered later (RFC 7240). Other preferences are
    /// ignored.
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

/// A command was accepted and will be handled later.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes an answer")]
pub(crate) enum CommandAccepted {
    /// Accepted, because of `Prefer: respond-async`, as `Preference-Applied` says. `Location` has
    /// its status.
    #[response(status = 202)]
    Accepted(AcceptedCommand),
}

/// The result of a command.
#[derive(Serialize, ToSchema)]
pub(crate) struct CommandAnswer {
    /// The stream that it addressed.
    #[schema(example = "order-6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e")]
    pub(crate) stream: String,
    /// The stream's version after the command.
    pub(crate) version: u64,
    /// The command's id: its Idempotency-Key.
    pub(crate) command_id: String,
    /// The business process that it belongs to.
    pub(crate) correlation_id: String,
    /// The events; none if there was nothing to do.
    pub(crate) events: Vec<RecordedEvent>,
}

/// The result of a command over several streams.
#[derive(Serialize, ToSchema)]
pub(crate) struct AcrossAnswer {
    /// The command's id: its Idempotency-Key.
    pub(crate) command_id: String,
    /// The business process that it belongs to.
    pub(crate) correlation_id: String,
    /// The result for each stream that got events; none if there was nothing to do.
    pub(crate) streams: Vec<CommandAnswer>,
}

/// A command that is handled later.
#[derive(Serialize, ToSchema)]
#[schema(as = TakenCommand)]
pub(crate) struct AcceptedCommand {
    /// The stream that it addresses.
    #[schema(example = "order-6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e")]
    pub(crate) stream: String,
    /// The command's id: its Idempotency-Key.
    pub(crate) command_id: String,
    /// The business process that it belongs to.
    pub(crate) correlation_id: String,
}

/// The status of an asynchronous command.
#[derive(Serialize, ToSchema)]
pub(crate) struct CommandStatus {
    /// The command's id: its Idempotency-Key.
    pub(crate) command_id: String,
    /// `pending`: it waits, or is being handled. `done`: see `result`. `refused`: its own content
    /// is the problem. `failed`: it was given up because of a problem that may pass; send it again,
    /// or report it to the operators. Every status but `pending` was checked in the store just now.
    #[schema(pattern = "^(pending|done|refused|failed)$")]
    pub(crate) status: &'static str,
    /// The result, if it is done.
    pub(crate) result: Option<CommandAnswer>,
    /// The problem, if it is refused or failed.
    #[schema(value_type = Option<Problem>)]
    pub(crate) problem: Option<Box<RawValue>>,
}

/// An event.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordedEvent {
    /// Its version in the stream.
    pub(crate) version: u64,
    /// Its type.
    #[serde(rename = "type")]
    pub(crate) event_type: String,
    /// When it was recorded, RFC 3339.
    pub(crate) recorded_at: String,
    /// Its data.
    #[schema(value_type = Object)]
    pub(crate) data: Box<RawValue>,
}

/// Whether the API responds.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    pub(crate) status: &'static str,
}
