//! Who has read the audit trail: each reading is recorded, in a stream for each actor and day.

use std::collections::BTreeMap;
use std::convert::Infallible;

use eventstore::{EventCodec, Model, SnapshotCodec};
use serde::{Deserialize, Serialize};

// ---------------------------------------------------------------- stream name

/// The category of the streams of readings.
pub const CATEGORY: &str = "access";

/// The stream of one actor's readings of one day: `access-{YYYY-MM-DD}.{digest}`. The digest stands for the actor, whose
/// name may have characters and lengths that a stream's name has not.
pub fn stream(day: &str, actor_digest: &str) -> String {
    format!("{CATEGORY}-{day}.{actor_digest}")
}

// --------------------------------------------------------------------- events

/// What was read of the audit trail.
///
/// **This is the storage format.** What is written here is read for ever. Any other shape (a field added, renamed or
/// dropped, another JSON type) is a new schema version: a line in [`EVENTS`], which lifts what is
/// stored, and golden files in `domain/golden/`, where every shape that was ever stored is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum AccessEvent {
    /// Somebody asked the audit trail.
    AuditTrailRead {
        /// The question's kind, such as `history` or `export`.
        call: String,
        /// The question's parameters, as they were given.
        about: BTreeMap<String, String>,
    },
}

impl AccessEvent {
    /// Every type of event in a stream of readings.
    pub const TYPES: [&'static str; 1] = ["AuditTrailRead"];

    /// The event's type, as it is stored.
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::AuditTrailRead { .. } => "AuditTrailRead",
        }
    }
}

// ---------------------------------------------------------------------- state

/// What decisions need to know of earlier readings: nothing. It serialises, so that it can be kept as a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AccessLog {}

/// How they are stored.
pub const EVENTS: EventCodec<AccessEvent> = EventCodec::new(&[]);

/// Readings of the audit trail, as the store's command loop knows them.
pub(crate) const ACCESS: Model<AccessLog, AccessEvent> = Model {
    initial: AccessLog::default,
    evolve,
    encode: |event| EVENTS.encode(event),
    decode: |event| EVENTS.decode(event),
    snapshot: Some(SnapshotCodec::json("access/1")),
};

// --------------------------------------------------------------------- evolve

/// The log after an event.
pub fn evolve(log: AccessLog, _: &AccessEvent) -> AccessLog {
    log
}

// ------------------------------------------------------------------- commands

/// Somebody reads the audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadAuditTrail {
    /// The question's kind.
    pub call: String,
    /// The question's parameters, as they were given.
    pub about: BTreeMap<String, String>,
}

// --------------------------------------------------------------------- decide

/// Every reading is recorded; none is refused here.
///
/// # Errors
/// None.
pub fn decide(_: &AccessLog, command: &ReadAuditTrail) -> Result<Vec<AccessEvent>, Infallible> {
    let ReadAuditTrail { call, about } = command.clone();
    Ok(vec![AccessEvent::AuditTrailRead { call, about }])
}

#[cfg(test)]
mod specs {
    use super::*;

    #[test]
    fn every_reading_is_recorded_with_what_it_was_about() {
        let about = BTreeMap::from([("stream".to_owned(), "order-1".to_owned())]);
        let read = ReadAuditTrail { call: "history".to_owned(), about: about.clone() };
        let recorded = AccessEvent::AuditTrailRead { call: "history".to_owned(), about };
        let log = evolve(AccessLog {}, &recorded);
        assert_eq!(decide(&log, &read), Ok(vec![recorded]), "again and again");
    }

    #[test]
    fn a_stream_is_of_an_actor_and_a_day() {
        assert_eq!(stream("2026-11-22", "0123456789abcdef"), "access-2026-11-22.0123456789abcdef");
    }
}
