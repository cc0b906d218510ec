//! Events, and the commits in which they are appended.

use crate::log::packed_trace::PackedTrace;
use crate::stream::hash::Hasher;
use crate::{Envelope, Fingerprint, Hash, Id, StreamId};
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The largest version of an event: exact in a JSON number, and below the sort key that is kept for the snapshot.
pub const MAX_VERSION: u64 = 9_007_199_254_740_991;

/// An event on its way into a stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewEvent {
    /// What happened, in the past tense: `OrderPlaced`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The version of the shape of `data`.
    pub schema: u32,
    /// The facts, as JSON text that is kept to the byte.
    pub data: Box<RawValue>,
}

/// An event as it stands in its stream.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its place in the stream, from 1.
    pub version: u64,
    /// What happened, with its facts.
    pub body: NewEvent,
}

/// One command's events, as they stand in the stream: all of them or none.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The version of the first event.
    pub version: u64,
    /// Who and why.
    pub envelope: Envelope,
    /// When the store took it: milliseconds, never earlier than the commit before.
    pub recorded_at: DateTime<Utc>,
    /// The events, at least one; versions follow each other.
    pub events: Vec<Event>,
    /// The chain: covers everything above and the hash of the commit before.
    pub hash: Hash,
}

/// What a commit says, before the store has put it into a stream's chain.
#[derive(Debug, Clone)]
pub struct NewCommit {
    /// Who and why.
    pub envelope: Envelope,
    /// What happened: at least one event.
    pub events: Vec<NewEvent>,
}

impl Commit {
    /// The version of the last event.
    pub fn last_version(&self) -> u64 {
        self.events.last().map_or(self.version, |event| event.version)
    }

    /// Puts a new commit behind `previous`, the hash of the commit before it or [`genesis`].
    pub(crate) fn chain(new: NewCommit, version: u64, recorded_at: DateTime<Utc>, previous: &Hash) -> Self {
        let events = number(new.events, version);
        let hash = chain_hash(previous, version, &new.envelope, recorded_at, &events);
        Self { version, envelope: new.envelope, recorded_at, events, hash }
    }

    /// Whether the commit is what was written behind `previous`: the hash of the commit before it, or, of a stream's first
    /// commit, that of [`Head::empty`](crate::Head::empty).
    pub fn follows(&self, previous: &Hash) -> bool {
        chain_hash(previous, self.version, &self.envelope, self.recorded_at, &self.events) == self.hash
    }
}

fn number(events: impl IntoIterator<Item = NewEvent>, first: u64) -> Vec<Event> {
    (first..).zip(events).map(|(version, body)| Event { version, body }).collect()
}

/// The time in the precision that is stored: milliseconds.
pub(crate) fn storable(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(3)
}

/// What stands before a stream's first commit in the chain: it binds the chain to the stream's name.
pub(crate) fn genesis(stream: &StreamId) -> Hash {
    Hash::of(&[b"ledgerfold/stream/1", stream.as_str().as_bytes()])
}

/// SHA-256 over the previous hash and the canonical bytes of the commit: its fields in this order, each led by its length.
fn chain_hash(
    previous: &Hash,
    version: u64,
    envelope: &Envelope,
    recorded_at: DateTime<Utc>,
    events: &[Event],
) -> Hash {
    let mut hasher = Hasher::default();
    hasher.part(b"ledgerfold/commit/2");
    hasher.part(previous.as_bytes());
    hasher.number(version);
    hasher.part(envelope.command_id.as_str().as_bytes());
    hasher.part(envelope.fingerprint.as_bytes());
    hasher.part(envelope.correlation_id.as_str().as_bytes());
    hasher.optional(envelope.causation_id.as_ref().map(Id::as_str));
    hasher.part(envelope.actor.as_str().as_bytes());
    hasher.optional(envelope.trace_parent.as_ref().map(Id::as_str));
    hasher.part(&recorded_at.timestamp_millis().to_be_bytes());
    hasher.number(u64::try_from(events.len()).unwrap_or(u64::MAX));
    for NewEvent { event_type, schema, data } in events.iter().map(|event| &event.body) {
        hasher.part(event_type.as_bytes());
        hasher.number(u64::from(*schema));
        hasher.part(data.get().as_bytes());
    }
    hasher.finish()
}

/// The format of commits as JSON, in items and in messages. Format 1 had longer names, and hashes in hexadecimal digits.
pub(crate) const FORMAT: u64 = 2;

/// A commit as JSON in an item. This is the storage format: fields may be added, none renamed or dropped. Names are short and
/// what equals its default is left out, because each byte counts towards the write unit of 1 KB.
#[derive(Serialize, Deserialize)]
struct StoredCommit {
    /// The command's id.
    id: Id,
    fp: Fingerprint,
    /// The correlation id, where it is not the command's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    correlation: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<Id>,
    actor: Id,
    /// The trace parent, where it is a canonical one of version 00.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<PackedTrace>,
    /// Any other trace parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace_parent: Option<Id>,
    /// When it was recorded, in milliseconds since 1970.
    #[serde(with = "chrono::serde::ts_milliseconds")]
    at: DateTime<Utc>,
    hash: Hash,
    events: Vec<StoredEvent>,
}

/// An event as JSON in an item: the first schema version is left out.
#[derive(Serialize, Deserialize)]
struct StoredEvent {
    #[serde(rename = "type")]
    event_type: String,
    #[serde(default = "first_schema", skip_serializing_if = "is_first_schema")]
    schema: u32,
    data: Box<RawValue>,
}

fn first_schema() -> u32 {
    1
}

fn is_first_schema(schema: &u32) -> bool {
    *schema == first_schema()
}

/// The commits of a batch as the JSON text that is stored.
pub(crate) fn to_json(commits: &[Commit]) -> Result<String, serde_json::Error> {
    let stored: Vec<StoredCommit> = commits.iter().cloned().map(StoredCommit::from).collect();
    serde_json::to_string(&stored)
}

/// Reads what [`to_json`] wrote; the versions follow from that of the first event.
pub(crate) fn from_json(text: &str, first_version: u64) -> Result<Vec<Commit>, serde_json::Error> {
    let stored: Vec<StoredCommit> = serde_json::from_str(text)?;
    let mut version = first_version;
    let numbered = stored.into_iter().map(|stored| {
        let commit = stored.numbered(version);
        version = commit.last_version() + 1;
        commit
    });
    Ok(numbered.collect())
}

impl StoredCommit {
    fn numbered(self, version: u64) -> Commit {
        let Self { id, fp, correlation, cause, actor, trace, trace_parent, at, hash, events } = self;
        let envelope = Envelope {
            correlation_id: correlation.unwrap_or_else(|| id.clone()),
            command_id: id,
            fingerprint: fp,
            causation_id: cause,
            actor,
            trace_parent: trace.map(PackedTrace::unpack).or(trace_parent),
        };
        let events =
            events.into_iter().map(|StoredEvent { event_type, schema, data }| NewEvent { event_type, schema, data });
        Commit { version, envelope, recorded_at: at, events: number(events, version), hash }
    }
}

impl From<Commit> for StoredCommit {
    fn from(commit: Commit) -> Self {
        let Envelope { command_id, fingerprint, correlation_id, causation_id, actor, trace_parent } = commit.envelope;
        let trace = trace_parent.as_ref().and_then(PackedTrace::of);
        Self {
            correlation: Some(correlation_id).filter(|id| *id != command_id),
            id: command_id,
            fp: fingerprint,
            cause: causation_id,
            actor,
            trace_parent: trace_parent.filter(|_| trace.is_none()),
            trace,
            at: commit.recorded_at,
            hash: commit.hash,
            events: commit.events.into_iter().map(|event| event.body.into()).collect(),
        }
    }
}

impl From<NewEvent> for StoredEvent {
    fn from(NewEvent { event_type, schema, data }: NewEvent) -> Self {
        Self { event_type, schema, data }
    }
}

/// The time as every answer writes it: RFC 3339, UTC, milliseconds.
pub fn time_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn envelope(command: &str) -> Envelope {
        Envelope {
            command_id: Id::new(command).unwrap(),
            fingerprint: Fingerprint::of(&[command.as_bytes()]),
            correlation_id: Id::new("correlation").unwrap(),
            causation_id: None,
            actor: Id::new("tester").unwrap(),
            trace_parent: None,
        }
    }

    pub(crate) fn event(data: &str) -> NewEvent {
        NewEvent { event_type: "Noted".into(), schema: 1, data: RawValue::from_string(data.into()).unwrap() }
    }

    pub(crate) fn stream() -> StreamId {
        StreamId::new("note-1").unwrap()
    }

    pub(crate) fn commit(command: &str, version: u64, data: &[&str], previous: &Hash) -> Commit {
        let new = NewCommit { envelope: envelope(command), events: data.iter().map(|data| event(data)).collect() };
        Commit::chain(new, version, DateTime::from_timestamp_millis(1_790_000_000_123).unwrap(), previous)
    }

    #[test]
    fn every_field_is_under_the_hash() {
        let first = genesis(&stream());
        let whole = commit("c", 1, &["1", "2"], &first);
        assert!(whole.follows(&first));
        let changes: [fn(&mut Commit); 12] = [
            |c| c.version = 2,
            |c| c.envelope.command_id = Id::new("d").unwrap(),
            |c| c.envelope.fingerprint = Fingerprint::of(&[]),
            |c| c.envelope.correlation_id = Id::new("d").unwrap(),
            |c| c.envelope.causation_id = Some(Id::new("d").unwrap()),
            |c| c.envelope.actor = Id::new("d").unwrap(),
            |c| c.envelope.trace_parent = Some(Id::new("d").unwrap()),
            |c| c.recorded_at += chrono::TimeDelta::milliseconds(1),
            |c| c.events[0].body.event_type.push('x'),
            |c| c.events[0].body.schema = 2,
            |c| c.events[1].body.data = RawValue::from_string("3".into()).unwrap(),
            |c| c.events.truncate(1),
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut changed = whole.clone();
            change(&mut changed);
            assert!(!changed.follows(&first), "change {index} went unseen");
        }
        assert!(!whole.follows(&genesis(&StreamId::new("note-2").unwrap())));
    }

    /// The storage format: whoever changes a name or a text here gives the format a new number.
    #[test]
    fn a_commit_is_stored_in_this_form() {
        let mut plain = commit("c", 1, &["1"], &genesis(&stream()));
        plain.envelope.correlation_id = plain.envelope.command_id.clone();
        let hash = crate::stream::hash::to_base64(plain.hash.as_bytes());
        let expected = format!(
            r#"[{{"id":"c","fp":"PwZXAGToRL9ZqmHS_6U0KA","actor":"tester","at":1790000000123,"hash":"{hash}","events":[{{"type":"Noted","data":1}}]}}]"#
        );
        assert_eq!(to_json(&[plain]).unwrap(), expected);
        let mut full = commit("c", 1, &["1"], &genesis(&stream()));
        full.events[0].body.schema = 2;
        full.envelope.causation_id = Some(Id::new("order-1:1").unwrap());
        full.envelope.trace_parent = Some(Id::new("another-form").unwrap());
        let json = to_json(&[full]).unwrap();
        for part in [
            r#","correlation":"correlation","cause":"order-1:1","actor":"#,
            r#","trace_parent":"another-form","at":"#,
            r#"{"type":"Noted","schema":2,"data":1}"#,
        ] {
            assert!(json.contains(part), "{part} in {json}");
        }
    }

    #[test]
    fn json_keeps_whatever_an_envelope_has() {
        let id = |text: &str| Id::new(text).unwrap();
        let some = [None, Some(id("order-1:1")), Some(id("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"))];
        for (causation_id, trace_parent) in some.iter().flat_map(|a| some.iter().map(move |b| (a.clone(), b.clone()))) {
            for correlation in ["c", "d"] {
                let (causation_id, trace_parent) = (causation_id.clone(), trace_parent.clone());
                let envelope =
                    Envelope { causation_id, trace_parent, correlation_id: id(correlation), ..envelope("c") };
                let new = NewCommit { envelope: envelope.clone(), events: vec![event("1")] };
                let commit = Commit::chain(new, 1, DateTime::from_timestamp_millis(-1).unwrap(), &genesis(&stream()));
                let read = from_json(&to_json(&[commit]).unwrap(), 1).unwrap();
                assert_eq!(read[0].envelope, envelope);
                assert!(read[0].follows(&genesis(&stream())));
            }
        }
    }

    proptest! {
        #[test]
        fn json_keeps_a_commit_and_the_text_of_its_data(numbers in prop::collection::vec(any::<f64>(), 1..5), note in ".*") {
            let mut data: Vec<String> = numbers.iter().map(|n| format!("{{ \"n\" : {n:e} }}")).collect();
            data.push(serde_json::to_string(&note).unwrap());
            let data: Vec<&str> = data.iter().map(String::as_str).collect();
            let commit = commit("c", 7, &data, &genesis(&stream()));
            let read = from_json(&to_json(&[commit]).unwrap(), 7).unwrap();
            prop_assert!(read[0].follows(&genesis(&stream())));
            prop_assert_eq!(read[0].last_version(), 6 + u64::try_from(data.len()).unwrap());
            for (event, text) in read[0].events.iter().zip(data) {
                prop_assert_eq!(event.body.data.get(), text);
            }
        }
    }
}
