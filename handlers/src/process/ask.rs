//! Asks: the commands of a process, their cause and their answers.

use super::error::ProcessError;
use crate::app::canonical_json::CanonicalJson;
use crate::app::command_id::fingerprint;
use chrono::{DateTime, Utc};
use eventstore::{CommandMetadata, CommandRequest, Commit, Id, StreamId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use uuid::Uuid;

/// The origin of an event: stream, version and correlation. A command that it causes takes them
/// over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventOrigin {
    /// The stream.
    pub stream: StreamId,
    /// The event's version in it.
    pub version: u64,
    /// When its commit was recorded: whole milliseconds.
    #[serde(rename = "at", with = "chrono::serde::ts_milliseconds")]
    pub recorded_at: DateTime<Utc>,
    /// The correlation id.
    #[serde(rename = "correlation")]
    pub correlation_id: Id,
    /// The W3C `traceparent` of the request that made the event.
    #[serde(default, rename = "trace", skip_serializing_if = "Option::is_none")]
    pub trace_parent: Option<Id>,
}

/// Displayed as `{stream}:{version}`: the causation id of commands.
impl fmt::Display for EventOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.stream, self.version)
    }
}

impl EventOrigin {
    /// An event of a commit.
    pub(super) fn of(stream: &StreamId, commit: &Commit, version: u64) -> Self {
        let CommandMetadata { correlation_id, trace_parent, .. } = commit.metadata.clone();
        Self {
            stream: stream.clone(),
            version,
            recorded_at: commit.recorded_at,
            correlation_id,
            trace_parent,
        }
    }
}

/// The answer to an ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AskAnswer {
    /// The command was handled, or there was nothing to do.
    Done,
    /// The command was refused. The refusal is recorded: the same ask is always refused.
    Refused {
        /// A stable code for programs.
        code: String,
        /// The reason for people.
        reason: String,
    },
}

/// A command that a process decided to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Its name within the process.
    pub name: String,
    /// The stream that it addresses.
    pub stream: String,
    /// The command: `{"type", "data"}`.
    pub command: Value,
    cause: Option<EventOrigin>,
    named_in_full: bool,
}

/// A command to a stream. It is a value of an enum with `#[serde(tag = "type", content = "data")]`.
///
/// Its cause is the event of the reaction; in the reaction to an answer, the cause of that ask.
pub fn ask<C: Serialize>(name: impl Into<String>, stream: impl Into<String>, command: &C) -> Ask {
    // Null if it cannot be serialized: the runner rejects it before it stores anything.
    let command = serde_json::to_value(command).unwrap_or_default();
    Ask { name: name.into(), stream: stream.into(), command, cause: None, named_in_full: false }
}

impl Ask {
    /// The same, with another event as its cause.
    #[must_use]
    pub fn because(self, origin: &EventOrigin) -> Self {
        Self { cause: Some(origin.clone()), ..self }
    }

    /// The same, but its id is computed only from cause, stream and name, which must identify the
    /// command. For ids that older programs made. Other ids are computed from instance and command,
    /// too.
    #[must_use]
    pub fn named_in_full(self) -> Self {
        Self { named_in_full: true, ..self }
    }

    /// The event that it names as its cause.
    pub(super) fn cause(&self) -> Option<&EventOrigin> {
        self.cause.as_ref()
    }
}

/// An ask without an answer yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenAsk {
    pub(super) ask: Ask,
    pub(super) cause: EventOrigin,
    pub(super) stream: StreamId,
    pub(super) id: Id,
}

/// An open ask as it is stored, below its cause.
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
    /// Opens an ask of the instance with that key. `cause` applies if the ask names no other.
    pub(super) fn of(
        process: &str,
        key: &str,
        mut ask: Ask,
        cause: &EventOrigin,
    ) -> Result<Self, ProcessError> {
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
        // The form of command queues: older programs sent it so, and a repeated ask must have the
        // same fingerprint.
        let asked = json!({ self.stream.category(): self.ask.command });
        let metadata = CommandMetadata {
            command_id: self.id.clone(),
            fingerprint: fingerprint(
                name,
                &actor,
                &CanonicalJson::of(&asked).map_err(ProcessError::Json)?,
            ),
            correlation_id: self.cause.correlation_id.clone(),
            causation_id: Some(Id::new(self.cause.to_string())?),
            actor,
            trace_parent: self.cause.trace_parent.clone(),
        };
        Ok(CommandRequest::new(self.stream.clone(), metadata))
    }
}

impl StoredAsk {
    pub(super) fn ask(self, cause: &EventOrigin) -> Ask {
        let Self { name, stream, command, named_in_full } = self;
        Ask { name, stream, command, cause: Some(cause.clone()), named_in_full }
    }
}

fn command_type(command: &Value) -> Option<&str> {
    command.get("type")?.as_str()
}

/// A UUIDv7 of the cause's time; its other bits are a hash of process, instance, cause and ask. So
/// it never changes. By its time the event store knows that no earlier commit has it.
fn command_id(
    process: &str,
    key: &str,
    ask: &Ask,
    cause: &EventOrigin,
) -> Result<Id, ProcessError> {
    let Ask { name, stream, command, .. } = ask;
    let text = if ask.named_in_full {
        format!("{cause} {stream} {name}")
    } else {
        serde_json::to_string(&(key, cause.to_string(), stream, name, command))
            .map_err(ProcessError::Json)?
    };
    // Must never change: with another namespace every open ask would be sent as a new command.
    let namespace =
        Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("https://ledgerfold.dev/{process}").as_bytes());
    // The bytes that are left out have the version and variant of the UUIDv5.
    let [a, b, c, d, e, f, _, _, _, g, h, i, j, ..] =
        Uuid::new_v5(&namespace, text.as_bytes()).into_bytes();
    let time_ms = u64::try_from(cause.recorded_at.timestamp_millis()).unwrap_or_default();
    let random = [a, b, c, d, e, f, g, h, i, j];
    Ok(Id::of_process(uuid::Builder::from_unix_timestamp_millis(time_ms, &random).into_uuid()))
}
