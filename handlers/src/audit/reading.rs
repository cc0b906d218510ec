//! Records readings: the audit trail is read only after the reading is recorded.

use super::AuditError;
use super::access::{self, ACCESS, AccessEvent, AccessLog, ReadAuditTrail};
use crate::app::App;
use crate::app::canonical_json::CanonicalJson;
use crate::app::command_id::{fingerprint, new_id};
use chrono::{DateTime, Utc};
use eventstore::{
    CommandHandler, CommandMetadata, CommandRequest, EventStore, ExecuteError, Id, InvalidId,
    InvalidStreamId, StreamId,
};
use projections::Projector;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// Bytes of an actor's SHA-256 that name the stream of its readings.
const DIGEST_BYTES: usize = 8;

/// The audit trail of a store. [`AuditTrail::open`] records who reads what, and returns the
/// [`OpenTrail`] for queries. Cheap to clone.
#[derive(Clone)]
pub struct AuditTrail {
    app: App,
    store: EventStore,
    projector: Projector,
    access: CommandHandler<AccessLog, AccessEvent, Infallible>,
}

/// The audit trail after a reading was recorded.
#[derive(Clone)]
pub struct OpenTrail {
    pub(super) app: App,
    pub(super) store: EventStore,
    pub(super) projector: Projector,
}

/// The reader, with the context of the request.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The actor.
    pub actor: Id,
    /// The correlation id; a new one if there is none.
    pub correlation_id: Option<Id>,
    /// The W3C `traceparent` of the request, if it has one.
    pub trace_parent: Option<Id>,
}

/// The kinds of queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// The events of a stream.
    History,
    /// Verifies a stream.
    Verify,
    /// Events by actor, type, command, correlation and time.
    Search,
    /// The tree of causes.
    Trace,
    /// The state as of a version or a time.
    At,
    /// The difference between two states.
    Diff,
    /// Events as a file.
    Export,
    /// All commits from a position on.
    Tail,
    /// The names of streams.
    Streams,
}

/// The reading could not be recorded, so the query is not answered.
#[derive(Debug, thiserror::Error)]
pub enum NotRecorded {
    /// The store failed.
    #[error("the reading of the audit trail cannot be recorded, so the query is not answered")]
    Store(#[from] ExecuteError<Infallible>),
    /// The query cannot be serialized, which is a defect.
    #[error("the query is no JSON")]
    Json(#[from] serde_json::Error),
    /// The hour is no id: its year has more digits than fit.
    #[error("the reading of this hour has no id")]
    Id(#[from] InvalidId),
    /// Today has no stream: its year has more digits than fit.
    #[error("the stream of today's readings has no name")]
    Stream(#[from] InvalidStreamId),
}

impl Call {
    /// The kind as it is recorded.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Verify => "verify",
            Self::Search => "search",
            Self::Trace => "trace",
            Self::At => "at",
            Self::Diff => "diff",
            Self::Export => "export",
            Self::Tail => "tail",
            Self::Streams => "streams",
        }
    }
}

impl AuditTrail {
    /// The audit trail of the store. The projector knows the index in which commits of all streams
    /// are found.
    pub fn new(app: App, store: EventStore, projector: Projector) -> Self {
        let access = CommandHandler::new(store.clone(), ACCESS);
        Self { app, store, projector, access }
    }

    /// Records the reading in the stream of the reader's readings of today (UTC), and opens the
    /// trail. `about` are the parameters of the query as they were given. Check them before, so
    /// that only valid queries are recorded.
    ///
    /// If that stream is corrupt, the reading is recorded in a new stream: tampering must not lock
    /// out those who look for it.
    ///
    /// # Errors
    /// [`NotRecorded`].
    pub async fn open(
        &self,
        reader: &Reader,
        call: Call,
        about: BTreeMap<String, String>,
    ) -> Result<OpenTrail, NotRecorded> {
        let command = ReadAuditTrail { call: call.as_str().to_owned(), about };
        self.open_as(reader, &command, new_id(&self.store)).await
    }

    /// Opens the trail for a reader who follows it. That is recorded once an hour: else each
    /// reading would be one more commit to read.
    ///
    /// # Errors
    /// [`NotRecorded`].
    pub async fn open_to_follow(&self, reader: &Reader) -> Result<OpenTrail, NotRecorded> {
        let command =
            ReadAuditTrail { call: Call::Tail.as_str().to_owned(), about: BTreeMap::new() };
        let hour = self.store.now().format("tail-%Y-%m-%dT%H");
        self.open_as(reader, &command, Id::new(hour.to_string())?).await
    }

    async fn open_as(
        &self,
        reader: &Reader,
        command: &ReadAuditTrail,
        command_id: Id,
    ) -> Result<OpenTrail, NotRecorded> {
        let request = request(reader, command, command_id, self.store.now())?;
        match self.record(request.clone(), command).await {
            Err(error @ (ExecuteError::Corrupt(_) | ExecuteError::Unreadable(_))) => {
                let apart = apart(&request)?;
                log_corrupt(&request.stream, &error);
                self.record(CommandRequest { stream: apart, ..request }, command).await?;
            }
            recorded => recorded?,
        }
        Ok(OpenTrail {
            app: self.app.clone(),
            store: self.store.clone(),
            projector: self.projector.clone(),
        })
    }

    async fn record(
        &self,
        request: CommandRequest,
        command: &ReadAuditTrail,
    ) -> Result<(), ExecuteError<Infallible>> {
        let command = command.clone();
        self.access.handle(request, move |log| access::decide(log, &command)).await.map(|_| ())
    }
}

impl OpenTrail {
    /// Whether commits of all streams can be found.
    pub(super) fn has_index(&self) -> Result<(), AuditError> {
        if self.app.has_audit_index() { Ok(()) } else { Err(AuditError::NoIndex) }
    }

    /// The store, for verifying its streams.
    pub fn store(&self) -> &EventStore {
        &self.store
    }
}

/// Each reading has a new command id: a repeated query is recorded again.
fn request(
    reader: &Reader,
    command: &ReadAuditTrail,
    command_id: Id,
    now: DateTime<Utc>,
) -> Result<CommandRequest, NotRecorded> {
    let actor = reader.actor.as_str();
    let stream = StreamId::new(access::stream(&now.date_naive().to_string(), &digest(actor)))?;
    let metadata = CommandMetadata {
        fingerprint: fingerprint("ReadAuditTrail", &reader.actor, &asked(command)?),
        correlation_id: reader.correlation_id.clone().unwrap_or_else(|| command_id.clone()),
        command_id,
        causation_id: None,
        actor: reader.actor.clone(),
        trace_parent: reader.trace_parent.clone(),
    };
    Ok(CommandRequest { stream, metadata, expected_version: None, creates: false })
}

/// The stream of a reading whose usual stream is corrupt. Its name has the new command id, so it
/// cannot have been tampered with before.
fn apart(request: &CommandRequest) -> Result<StreamId, InvalidStreamId> {
    StreamId::new(format!("{}.{}", request.stream, request.metadata.command_id))
}

fn log_corrupt(stream: &StreamId, error: &ExecuteError<Infallible>) {
    let error: &dyn std::error::Error = error;
    tracing::error!(%stream, error, "a stream of readings is corrupt: the reading is recorded in another one");
}

fn asked(ReadAuditTrail { call, about }: &ReadAuditTrail) -> serde_json::Result<CanonicalJson> {
    CanonicalJson::of(&json!({ "call": call, "about": about }))
}

/// The first 16 hexadecimal digits of the actor's SHA-256.
fn digest(actor: &str) -> String {
    let hash = Sha256::digest(actor.as_bytes());
    hash.iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_goes_to_the_stream_of_its_actor_and_day() {
        let reader = Reader {
            actor: Id::new("operator:ann").unwrap(),
            correlation_id: None,
            trace_parent: None,
        };
        let command = ReadAuditTrail { call: "history".into(), about: BTreeMap::new() };
        let at = DateTime::from_timestamp(1_795_305_600, 0).unwrap();
        let command_id = Id::new("r-1").unwrap();
        let first = request(&reader, &command, command_id.clone(), at).unwrap();
        // printf operator:ann | sha256sum
        assert_eq!(first.stream.as_str(), "access-2026-11-22.875af8c8912dff32");
        assert_eq!(
            apart(&first).unwrap().as_str(),
            format!("{}.{}", first.stream, first.metadata.command_id)
        );
        assert_eq!(
            (&first.metadata.correlation_id, &first.metadata.command_id),
            (&command_id, &command_id)
        );
    }
}
