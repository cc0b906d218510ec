//! Events, and the commits in which they are appended.

use crate::{CommandMetadata, Hash};
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The largest version of an event: exact in a JSON number, and below the sort key of snapshots.
pub const MAX_VERSION: u64 = 9_007_199_254_740_991;

/// The first character of the store's own event types. Models do not use it.
pub(crate) const OF_STORE: char = '$';

/// An event that is not stored yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewEvent {
    /// What happened, in the past tense: `OrderPlaced`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The version of the shape of `data`.
    pub schema: u32,
    /// The facts, as JSON text that is stored byte for byte.
    pub data: Box<RawValue>,
}

/// A stored event.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its place in the stream, from 1.
    pub version: u64,
    /// What happened, with its facts.
    pub body: NewEvent,
}

/// The events of one command, stored together or not at all.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The version of the first event.
    pub version: u64,
    /// The command's metadata.
    pub metadata: CommandMetadata,
    /// When the store wrote it, in milliseconds; never earlier than the commit before.
    pub recorded_at: DateTime<Utc>,
    /// At least one event; versions are consecutive.
    pub events: Vec<Event>,
    /// The chain hash: covers everything above and the hash of the commit before.
    pub hash: Hash,
}

/// A commit before it has a version, a time and a hash.
#[derive(Debug, Clone)]
pub struct NewCommit {
    /// The command's metadata.
    pub metadata: CommandMetadata,
    /// What happened: at least one event.
    pub events: Vec<NewEvent>,
}

impl NewEvent {
    /// Whether the event is the store's own, with a type that begins with `$`. Models and
    /// projections skip it.
    pub fn is_of_store(&self) -> bool {
        self.event_type.starts_with(OF_STORE)
    }
}

impl Commit {
    /// The version of the last event.
    pub fn last_version(&self) -> u64 {
        self.events.last().map_or(self.version, |event| event.version)
    }
}

pub(crate) fn number(events: impl IntoIterator<Item = NewEvent>, first: u64) -> Vec<Event> {
    (first..).zip(events).map(|(version, body)| Event { version, body }).collect()
}

/// The time in the stored precision: milliseconds.
pub(crate) fn storable(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(3)
}

/// The time as every answer formats it: RFC 3339, UTC, milliseconds.
pub fn time_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Fingerprint, Id, StreamId};

    pub(crate) fn metadata(command: &str) -> CommandMetadata {
        CommandMetadata {
            command_id: Id::new(command).unwrap(),
            fingerprint: Fingerprint::of(&[command.as_bytes()]),
            correlation_id: Id::new("correlation").unwrap(),
            causation_id: None,
            actor: Id::new("tester").unwrap(),
            trace_parent: None,
        }
    }

    pub(crate) fn event(data: &str) -> NewEvent {
        NewEvent {
            event_type: "Noted".into(),
            schema: 1,
            data: RawValue::from_string(data.into()).unwrap(),
        }
    }

    pub(crate) fn stream() -> StreamId {
        StreamId::new("note-1").unwrap()
    }

    pub(crate) fn commit(command: &str, version: u64, data: &[&str], previous: &Hash) -> Commit {
        let new = NewCommit {
            metadata: metadata(command),
            events: data.iter().map(|data| event(data)).collect(),
        };
        Commit::chain(
            new,
            version,
            DateTime::from_timestamp_millis(1_790_000_000_123).unwrap(),
            previous,
        )
    }
}
