//! Who reads what. Nothing of the audit trail is read before the reading is recorded.

use crate::models::ACCESS;
use chrono::{DateTime, Utc};
use domain::access::{self, AccessEvent, AccessLog, ReadAuditTrail};
use eventstore::{CommandHandler, Envelope, EventStore, Hash, Id, Request, StreamId};
use projections::Projector;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::SystemTime;
use uuid::Uuid;

/// Bytes of an actor's SHA-256 that name the stream of its readings.
const DIGEST_BYTES: usize = 8;

/// The audit trail of a store. It answers nothing itself: [`AuditTrail::open`] records who reads what, and gives what
/// answers. Cheap to clone.
#[derive(Clone)]
pub struct AuditTrail {
    store: EventStore,
    projector: Projector,
    access: CommandHandler<AccessLog, AccessEvent, Infallible>,
}

/// The audit trail, opened by a reading that is recorded.
#[derive(Clone)]
pub struct OpenTrail {
    pub(super) store: EventStore,
    pub(super) projector: Projector,
}

/// Who reads, and for which business process.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Who.
    pub actor: Id,
    /// The business process; that of the reading alone if there is none.
    pub correlation_id: Option<Id>,
    /// The W3C `traceparent` of the request, where it had one.
    pub trace_parent: Option<Id>,
}

/// The kinds of questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// What happened in a stream.
    History,
    /// Whether it is still what was written.
    Verify,
    /// Events by actor, type, command, correlation and time.
    Search,
    /// The tree of causes.
    Trace,
    /// The state as of a version or a time.
    At,
    /// What changed between two states.
    Diff,
    /// Events as a file.
    Export,
}

/// The reading cannot be recorded: then nothing is answered.
#[derive(Debug, thiserror::Error)]
#[error("that the audit trail is read cannot be recorded, and what is not recorded is not answered")]
pub struct NotRecorded(#[source] Box<dyn std::error::Error + Send + Sync>);

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
        }
    }
}

impl AuditTrail {
    /// The audit trail of the store. The projector knows the index in which commits of all streams are found.
    pub fn new(store: EventStore, projector: Projector) -> Self {
        let access = CommandHandler::new(store.clone(), ACCESS);
        Self { store, projector, access }
    }

    /// Records that the reader asks that, in the stream of the reader's readings of today (UTC), and opens the trail.
    /// `about` are the question's parameters as they were given; they must have been checked, so that only questions are
    /// recorded that can be answered.
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
        let request = request(reader, &command, SystemTime::now().into())?;
        let recorded = self.access.handle(request, move |log| access::decide(log, &command)).await;
        recorded.map_err(|error| NotRecorded(error.into()))?;
        Ok(OpenTrail { store: self.store.clone(), projector: self.projector.clone() })
    }
}

impl OpenTrail {
    /// The store, for whoever verifies its streams.
    pub fn store(&self) -> &EventStore {
        &self.store
    }
}

/// A reading is a command of its own: asked again, it is recorded again.
fn request(reader: &Reader, command: &ReadAuditTrail, now: DateTime<Utc>) -> Result<Request, NotRecorded> {
    let actor = reader.actor.as_str();
    let stream = StreamId::new(access::stream(&now.date_naive().to_string(), &digest(actor)));
    let asked = serde_json::to_vec(command).map_err(|error| NotRecorded(error.into()))?;
    let command_id = Id::from(Uuid::now_v7());
    let envelope = Envelope {
        fingerprint: Hash::of(&[actor.as_bytes(), &asked]),
        correlation_id: reader.correlation_id.clone().unwrap_or_else(|| command_id.clone()),
        command_id,
        causation_id: None,
        actor: reader.actor.clone(),
        trace_parent: reader.trace_parent.clone(),
    };
    let stream = stream.map_err(|error| NotRecorded(error.into()))?;
    Ok(Request { stream, envelope, expected_version: None, creates: false })
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
        let reader = Reader { actor: Id::new("operator:ann").unwrap(), correlation_id: None, trace_parent: None };
        let command = ReadAuditTrail { call: "history".into(), about: BTreeMap::new() };
        let at = DateTime::from_timestamp(1_795_305_600, 0).unwrap();
        let first = request(&reader, &command, at).unwrap();
        // printf operator:ann | sha256sum
        assert_eq!(first.stream.as_str(), "access-2026-11-22.875af8c8912dff32");
        assert_eq!(first.envelope.correlation_id, first.envelope.command_id);
        assert_ne!(request(&reader, &command, at).unwrap().envelope.command_id, first.envelope.command_id);
    }
}
