//! What a process asks for, why, and what comes of it.

use super::error::ProcessError;
use crate::app::canonical_json::CanonicalJson;
use crate::app::command_id::fingerprint;
use chrono::{DateTime, Utc};
use eventstore::{CommandMetadata, CommandRequest, Commit, Id, StreamId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use uuid::Uuid;

/// An event's place, and the business process that it belongs to: what a command that it causes takes over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The stream.
    pub stream: StreamId,
    /// The event's version in it.
    pub version: u64,
    /// When its commit was recorded: whole milliseconds.
    #[serde(rename = "at", with = "chrono::serde::ts_milliseconds")]
    pub recorded_at: DateTime<Utc>,
    /// The business process.
    #[serde(rename = "correlation")]
    pub correlation_id: Id,
    /// The W3C `traceparent` of the request that it comes from.
    #[serde(default, rename = "trace", skip_serializing_if = "Option::is_none")]
    pub trace_parent: Option<Id>,
}

/// Displayed as `{stream}:{version}`: the causation id of commands.
impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.stream, self.version)
    }
}

impl Told {
    /// An event of a commit.
    pub(super) fn of(stream: &StreamId, commit: &Commit, version: u64) -> Self {
        let CommandMetadata { correlation_id, trace_parent, .. } = commit.metadata.clone();
        Self { stream: stream.clone(), version, recorded_at: commit.recorded_at, correlation_id, trace_parent }
    }
}

/// What came of an ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The command was handled, or there was nothing to do.
    Done,
    /// The command was refused. The refusal is recorded: the same ask will never be accepted.
    Refused {
        /// A stable word for programs.
        code: String,
        /// The same for people.
        reason: String,
    },
}

/// A command that a process asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// What the process calls it.
    pub name: String,
    /// The stream that it addresses.
    pub stream: String,
    /// The command: `{"type", "data"}`.
    pub command: Value,
    cause: Option<Told>,
    named_in_full: bool,
}

/// Asks a stream for something. The command is a value of an enum with `#[serde(tag = "type", content = "data")]`.
///
/// It is caused by the event that is reacted to; after an answer, by what caused that ask.
pub fn ask<C: Serialize>(name: impl Into<String>, stream: impl Into<String>, command: &C) -> Ask {
    // What cannot be written is no command: the runner refuses it before anything is kept.
    let command = serde_json::to_value(command).unwrap_or_default();
    Ask { name: name.into(), stream: stream.into(), command, cause: None, named_in_full: false }
}

impl Ask {
    /// The same, caused by another event than the one that is reacted to.
    #[must_use]
    pub fn because(self, told: &Told) -> Self {
        Self { cause: Some(told.clone()), ..self }
    }

    /// The same, and cause, stream and name together say all that the command says: its id is made of these three only. For
    /// commands whose ids were made so before; of any other ask the id follows from instance and command too.
    #[must_use]
    pub fn named_in_full(self) -> Self {
        Self { named_in_full: true, ..self }
    }

    /// The event that causes it, where it names one.
    pub(super) fn cause(&self) -> Option<&Told> {
        self.cause.as_ref()
    }
}

/// An ask that is not answered yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenAsk {
    pub(super) ask: Ask,
    pub(super) cause: Told,
    pub(super) stream: StreamId,
    pub(super) id: Id,
}

/// An open ask as rows have it, below its cause.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredAsk {
    name: String,
    stream: String,
    command: Value,
    #[serde(default, skip_serializing_if = "is_false")]
    named_in_full: bool,
}

pub(super) fn is_false(flag: &bool) -> bool {
    !flag
}

impl OpenAsk {
    /// Takes an ask of the process's instance of that key; it has that cause, if it names no other.
    pub(super) fn of(process: &str, key: &str, mut ask: Ask, cause: &Told) -> Result<Self, ProcessError> {
        if command_type(&ask.command).is_none() {
            return Err(ProcessError::NoCommand(ask.name));
        }
        let cause = ask.cause.take().unwrap_or_else(|| cause.clone());
        let stream = StreamId::new(ask.stream.as_str())?;
        let id = command_id(process, key, &ask, &cause)?;
        Ok(Self { ask, cause, stream, id })
    }

    pub(super) fn stored(&self) -> StoredAsk {
        let Ask { name, stream, command, named_in_full, .. } = self.ask.clone();
        StoredAsk { name, stream, command, named_in_full }
    }

    /// The command as the event store takes it.
    pub(super) fn request(&self, process: &str) -> Result<CommandRequest, ProcessError> {
        let actor = Id::new(process)?;
        let name = command_type(&self.ask.command).unwrap_or_default();
        // As command queues carry it: so it was before the runner, and an ask that is sent again is the same command.
        let asked = json!({ self.stream.category(): self.ask.command });
        let metadata = CommandMetadata {
            command_id: self.id.clone(),
            fingerprint: fingerprint(name, &actor, &CanonicalJson::of(&asked).map_err(ProcessError::Json)?),
            correlation_id: self.cause.correlation_id.clone(),
            causation_id: Some(Id::new(self.cause.to_string())?),
            actor,
            trace_parent: self.cause.trace_parent.clone(),
        };
        Ok(CommandRequest::new(self.stream.clone(), metadata))
    }
}

impl StoredAsk {
    pub(super) fn ask(self, cause: &Told) -> Ask {
        let Self { name, stream, command, named_in_full } = self;
        Ask { name, stream, command, cause: Some(cause.clone()), named_in_full }
    }
}

fn command_type(command: &Value) -> Option<&str> {
    command.get("type")?.as_str()
}

/// The same for ever for the same ask: a UUIDv7 of the cause's time, whose other bits are a hash of process, instance, cause
/// and ask. Its time lets the event store rule it out among the commands before.
fn command_id(process: &str, key: &str, ask: &Ask, cause: &Told) -> Result<Id, ProcessError> {
    let Ask { name, stream, command, .. } = ask;
    let text = if ask.named_in_full {
        format!("{cause} {stream} {name}")
    } else {
        serde_json::to_string(&(key, cause.to_string(), stream, name, command)).map_err(ProcessError::Json)?
    };
    // Never to change: another namespace would ask for everything anew.
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("https://ledgerfold.dev/{process}").as_bytes());
    // The bytes that are left out bear the version and variant of the UUIDv5, and are not all hash.
    let [a, b, c, d, e, f, _, _, _, g, h, i, j, ..] = Uuid::new_v5(&namespace, text.as_bytes()).into_bytes();
    let time_ms = u64::try_from(cause.recorded_at.timestamp_millis()).unwrap_or_default();
    let random = [a, b, c, d, e, f, g, h, i, j];
    Ok(Id::of_process(uuid::Builder::from_unix_timestamp_millis(time_ms, &random).into_uuid()))
}
