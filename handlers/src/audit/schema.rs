//! Answers of the audit trail as JSON, as the OpenAPI document describes them.

use super::DamagedCommit;
use eventstore::{Commit, Event, time_text};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

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
    /// The last version of this history. Send it with the next page, so that paging ends although
    /// the stream grows.
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

/// An event with its actor, time and cause.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditedEvent {
    /// Its place in the stream.
    version: u64,
    /// The event type.
    #[serde(rename = "type")]
    event_type: String,
    /// The schema version of `data`.
    schema: u32,
    /// When it was recorded, RFC 3339.
    recorded_at: String,
    /// The actor of the command.
    actor: String,
    /// The command's id.
    command_id: String,
    /// The correlation id.
    correlation_id: String,
    /// The causation id.
    causation_id: Option<String>,
    /// The event's data.
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
    /// The events, in the requested order.
    pub(crate) events: Vec<FoundEvent>,
    /// Matching commits that are missing or changed in their streams. Empty if `stream` is given:
    /// that stream is read only up to a corrupt item.
    pub(crate) damaged: Vec<DamagedCommit>,
    /// The next page. A short or empty page may have a next one.
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

/// The result of verifying a stream: its hash chain, and its end by the witnesses.
#[derive(Serialize, ToSchema)]
pub(crate) struct VerifyAnswer {
    /// The stream.
    pub(crate) stream: String,
    /// Whether every commit fits, and the stream reaches the versions of its snapshot and its read
    /// models.
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
    /// Why it does not fit.
    pub(crate) reason: String,
}
