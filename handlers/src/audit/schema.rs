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

/// A part of the journal.
#[derive(Serialize, ToSchema)]
pub(crate) struct TailEvents {
    /// The events that fit, in the order of the journal.
    pub(crate) events: Vec<PlacedEvent>,
    /// Commits that are missing or changed in their streams. After a restore of the table of
    /// events, the lost ones are here.
    pub(crate) damaged: Vec<DamagedCommit>,
    /// Send it as `after` to get what comes next.
    pub(crate) next: String,
    /// The end of the journal. If `next` is the same, nothing more is there yet.
    pub(crate) end: String,
}

/// An event with the position of its commit.
#[derive(Serialize, ToSchema)]
pub(crate) struct PlacedEvent {
    /// The position of its commit. Events of one commit have the same.
    pub(crate) position: u64,
    /// The stream.
    pub(crate) stream: String,
    /// The event.
    #[serde(flatten)]
    pub(crate) event: AuditedEvent,
}

/// A page of streams.
#[derive(Serialize, ToSchema)]
pub(crate) struct StreamList {
    /// The streams, by category and name.
    pub(crate) streams: Vec<StreamSummary>,
    /// The next page.
    pub(crate) next_cursor: Option<String>,
}

/// A stream.
#[derive(Serialize, ToSchema)]
pub(crate) struct StreamSummary {
    /// Its name.
    pub(crate) stream: String,
    /// The version of its last event in the journal.
    pub(crate) version: u64,
    /// The position of its last commit.
    pub(crate) position: u64,
}

/// The verification of a page of streams.
#[derive(Serialize, ToSchema)]
pub(crate) struct StreamsVerified {
    /// How many streams were verified.
    pub(crate) streams: u64,
    /// How many of their commits fit.
    pub(crate) commits: u64,
    /// The streams that do not fit.
    pub(crate) broken: Vec<BrokenStream>,
    /// The next page.
    pub(crate) next_cursor: Option<String>,
}

/// A stream that does not fit.
#[derive(Serialize, ToSchema)]
pub(crate) struct BrokenStream {
    /// Its name.
    pub(crate) stream: String,
    /// The version of the first commit that does not fit.
    pub(crate) version: u64,
    /// Why it does not fit.
    pub(crate) reason: String,
}
