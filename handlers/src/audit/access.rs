//! Readings of the audit trail: each is recorded, in one stream per actor and day.

use std::collections::BTreeMap;
use std::convert::Infallible;

use eventstore::{EventCodec, Model, SnapshotCodec};
use serde::{Deserialize, Serialize};

// ---------------------------------------------------------------- stream name

/// The category of the streams of readings.
pub const CATEGORY: &str = "access";

/// The stream of one actor's readings of one day: `access-{YYYY-MM-DD}.{digest}`. It has the
/// actor's digest, because an actor's name may be no valid part of a stream's name.
pub fn stream(day: &str, actor_digest: &str) -> String {
    format!("{CATEGORY}-{day}.{actor_digest}")
}

// --------------------------------------------------------------------- events

/// A reading of the audit trail.
///
/// **This is the storage format**, and old events must stay readable. Any change of shape (a field
/// added, renamed or dropped, another JSON type) is a new schema version. It needs an upcaster in
/// [`EVENTS`] and golden files in `domain/golden/`, which has every shape that was ever stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum AccessEvent {
    /// The audit trail was read.
    AuditTrailRead {
        /// The kind of query, such as `history` or `export`.
        call: String,
        /// The parameters of the query, as they were given.
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

/// Empty, because no decision depends on earlier readings. Serialized as the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AccessLog {}

/// The codec of the events.
pub const EVENTS: EventCodec<AccessEvent> = EventCodec::new(&[]);

/// The model of readings for the store's command handler.
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

/// Records a reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadAuditTrail {
    /// The kind of query.
    pub call: String,
    /// The parameters of the query, as they were given.
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
    fn every_reading_is_recorded_with_its_parameters() {
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
