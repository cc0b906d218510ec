//! Commits as JSON, in items of the table and in messages.

use super::item::VERSION;
use super::packed_trace::PackedTrace;
use crate::stream::commit::number;
use crate::{
    Batch, CommandMetadata, Commit, CorruptStream, Damage, Fingerprint, Hash, Id, MAX_VERSION,
    NewEvent, StreamId,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

impl Batch {
    /// The format of [`Batch::commits_json`], which messages with commits name. Format 1 had longer
    /// names, and hexadecimal hashes.
    pub const COMMITS_FORMAT: u64 = 2;

    /// The commits as JSON text, for messages to consumers.
    ///
    /// # Errors
    /// None for a batch that the store read or wrote.
    pub fn commits_json(&self) -> Result<String, serde_json::Error> {
        to_json(&self.commits)
    }

    /// Parses commits from the JSON of [`Batch::commits_json`].
    ///
    /// # Errors
    /// [`CorruptStream`] when they are not such commits.
    pub fn from_commits_json(
        stream: StreamId,
        version: u64,
        json: &str,
    ) -> Result<Self, CorruptStream> {
        let damaged = |damage| CorruptStream { stream: stream.to_string(), version, damage };
        if !(1..=MAX_VERSION).contains(&version) {
            return Err(damaged(Damage::Attribute(VERSION)));
        }
        let commits =
            from_json(json, version).map_err(|error| damaged(Damage::Json(error.to_string())))?;
        if commits.is_empty() || commits.iter().any(|commit| commit.events.is_empty()) {
            return Err(damaged(Damage::Empty));
        }
        Ok(Self { stream, commits })
    }
}

/// A commit as JSON in an item. This is the storage format: fields may be added, but not renamed or
/// dropped. Names are short and defaults are left out, because each byte counts towards the write
/// unit of 1 KB.
#[derive(Serialize, Deserialize)]
struct StoredCommit {
    /// The command's id.
    id: Id,
    fp: Fingerprint,
    /// The correlation id, if it is not the command's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    correlation: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<Id>,
    actor: Id,
    /// The trace parent, if it is a canonical one of version 00.
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

/// An event as JSON in an item. Schema version 1 is left out.
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

/// The commits of a batch as stored JSON.
fn to_json(commits: &[Commit]) -> Result<String, serde_json::Error> {
    let stored: Vec<StoredCommit> = commits.iter().cloned().map(StoredCommit::from).collect();
    serde_json::to_string(&stored)
}

/// Parses what [`to_json`] wrote, and numbers the events from the first version.
fn from_json(text: &str, first_version: u64) -> Result<Vec<Commit>, serde_json::Error> {
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
        let Self { id, fp, correlation, cause, actor, trace, trace_parent, at, hash, events } =
            self;
        let metadata = CommandMetadata {
            correlation_id: correlation.unwrap_or_else(|| id.clone()),
            command_id: id,
            fingerprint: fp,
            causation_id: cause,
            actor,
            trace_parent: trace.map(PackedTrace::unpack).or(trace_parent),
        };
        let events = events.into_iter().map(|StoredEvent { event_type, schema, data }| NewEvent {
            event_type,
            schema,
            data,
        });
        Commit { version, metadata, recorded_at: at, events: number(events, version), hash }
    }
}

impl From<Commit> for StoredCommit {
    fn from(commit: Commit) -> Self {
        let CommandMetadata {
            command_id,
            fingerprint,
            correlation_id,
            causation_id,
            actor,
            trace_parent,
        } = commit.metadata;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NewCommit;
    use crate::stream::commit::tests::{commit, event, metadata, stream};
    use crate::stream::hash_chain::genesis;
    use proptest::prelude::*;

    /// The storage format: a change of a name or text here needs a new format number.
    #[test]
    fn a_commit_is_stored_in_this_form() {
        let mut plain = commit("c", 1, &["1"], &genesis(&stream()));
        plain.metadata.correlation_id = plain.metadata.command_id.clone();
        let hash = crate::stream::hash::to_base64(plain.hash.as_bytes());
        let expected = format!(
            r#"[{{"id":"c","fp":"PwZXAGToRL9ZqmHS_6U0KA","actor":"tester","at":1790000000123,"hash":"{hash}","events":[{{"type":"Noted","data":1}}]}}]"#
        );
        assert_eq!(to_json(&[plain]).unwrap(), expected);
        let mut full = commit("c", 1, &["1"], &genesis(&stream()));
        full.events[0].body.schema = 2;
        full.metadata.causation_id = Some(Id::new("order-1:1").unwrap());
        full.metadata.trace_parent = Some(Id::new("another-form").unwrap());
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
        let some = [
            None,
            Some(id("order-1:1")),
            Some(id("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")),
        ];
        for (causation_id, trace_parent) in
            some.iter().flat_map(|a| some.iter().map(move |b| (a.clone(), b.clone())))
        {
            for correlation in ["c", "d"] {
                let (causation_id, trace_parent) = (causation_id.clone(), trace_parent.clone());
                let metadata = CommandMetadata {
                    causation_id,
                    trace_parent,
                    correlation_id: id(correlation),
                    ..metadata("c")
                };
                let new = NewCommit { metadata: metadata.clone(), events: vec![event("1")] };
                let commit = Commit::chain(
                    new,
                    1,
                    DateTime::from_timestamp_millis(-1).unwrap(),
                    &genesis(&stream()),
                );
                let read = from_json(&to_json(&[commit]).unwrap(), 1).unwrap();
                assert_eq!(read[0].metadata, metadata);
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
