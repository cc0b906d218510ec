//! The messages of the command queue.

use super::row::{Round, StatusRow, Subject};
use crate::app::{App, Command, UnreadableCommand};
use eventstore::{CommandMetadata, CommandRequest, Hash, StreamId};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version of the message's shape. Another meaning of what is there is another version; fields may be added.
/// Version 1 had another fingerprint.
const VERSION: u64 = 2;
/// The characters that SQS refuses in a message and JSON does not escape by itself, with their escapes.
const NEVER_CARRIED: [(char, &str); 2] = [('\u{fffe}', r"\ufffe"), ('\u{ffff}', r"\uffff")];

/// A command on its way to the worker, as it came in.
#[derive(Debug, Clone, Serialize)]
pub(super) struct CommandMessage {
    v: u64,
    /// Which round of answers it belongs to.
    #[serde(flatten)]
    pub(super) round: Round,
    /// The stream that it addresses, which is also the message's group.
    pub(super) stream: StreamId,
    /// Who, why, and its id.
    #[serde(rename = "envelope")]
    pub(super) metadata: CommandMetadata,
    /// The version at which the caller knows the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expected_version: Option<u64>,
    pub(super) command: Command,
    /// Whether the API made the id, because the sender gave none.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) id_made_here: bool,
}

/// The same as it comes from the queue: only the app knows the command's type.
#[derive(Deserialize)]
struct Received {
    #[serde(flatten)]
    round: Round,
    stream: StreamId,
    #[serde(rename = "envelope")]
    metadata: CommandMetadata,
    #[serde(default)]
    expected_version: Option<u64>,
    /// Older programs did not say.
    #[serde(default)]
    id_made_here: bool,
}

/// What of it is read apart: a flattened field lets no text through as it is.
#[derive(Deserialize)]
struct ReceivedCommand {
    command: Box<RawValue>,
}

/// Stands behind the messages of a command that waits long: a FIFO queue gives it out when none of those is left.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Marker {
    v: u64,
    /// Which round of answers is looked after.
    #[serde(flatten)]
    pub(super) round: Round,
    /// Whose messages it stands behind.
    pub(super) behind: Subject,
}

/// What the queue carries.
#[derive(Debug, Clone)]
pub(super) enum QueueMessage {
    Command(Box<CommandMessage>),
    Marker(Box<Marker>),
}

/// What every version of a message has.
#[derive(Deserialize)]
struct Versioned {
    v: u64,
    /// Markers have it, and commands do not.
    behind: Option<IgnoredAny>,
}

/// Why a message is no command.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnreadableMessage {
    #[error("it has no body")]
    Empty,
    #[error("it is no message of a command")]
    Json(#[from] serde_json::Error),
    #[error("it has version {0}, and only version {VERSION} is known here")]
    Version(u64),
    #[error("its command cannot be read")]
    Command(#[from] UnreadableCommand),
    #[error("its command is for streams of category {category:?}, and {stream} is none")]
    Stream { category: &'static str, stream: StreamId },
}

impl CommandMessage {
    pub(super) fn new(request: CommandRequest, command: Command, id_made_here: bool) -> Self {
        let CommandRequest { stream, metadata, expected_version, .. } = request;
        Self { v: VERSION, round: Round::first(""), stream, metadata, expected_version, command, id_made_here }
    }

    fn read(app: &App, body: &str) -> Result<Self, UnreadableMessage> {
        let Received { round, stream, metadata, expected_version, id_made_here } = serde_json::from_str(body)?;
        let ReceivedCommand { command } = serde_json::from_str(body)?;
        let command = app.read_queued_command(&command)?;
        let category = command.category();
        if stream.category() != category {
            return Err(UnreadableMessage::Stream { category, stream });
        }
        Ok(Self { v: VERSION, round, stream, metadata, expected_version, command, id_made_here })
    }

    /// Its text in that round. All that SQS refuses can only stand within JSON's strings, where an escape means the same.
    pub(super) fn text(&mut self, round: Round) -> serde_json::Result<String> {
        self.round = round;
        let text = serde_json::to_string(self)?;
        Ok(NEVER_CARRIED.iter().fold(text, |text, (refused, escape)| text.replace(*refused, escape)))
    }

    /// What its row is about.
    pub(super) fn subject(&self) -> Subject {
        Subject::new(&self.stream, &self.metadata)
    }

    /// The command as the event store takes it.
    pub(super) fn request(&self) -> CommandRequest {
        CommandRequest {
            stream: self.stream.clone(),
            metadata: self.metadata.clone(),
            expected_version: self.expected_version,
            creates: self.command.creates(),
        }
    }
}

impl Marker {
    /// One that looks after a row.
    pub(super) fn behind(row: &StatusRow) -> Self {
        Self { v: VERSION, round: row.round.clone(), behind: row.subject() }
    }

    /// Its text. Ids and streams hold nothing that SQS refuses.
    pub(super) fn text(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// One in five minutes is enough for a round: the queue drops the others.
    pub(super) fn deduplication_id(&self) -> String {
        Hash::of(&[self.behind.key.as_bytes(), &self.round.number.to_be_bytes()]).to_string()
    }
}

impl QueueMessage {
    pub(super) fn read(app: &App, body: Option<&str>) -> Result<Self, UnreadableMessage> {
        let body = body.ok_or(UnreadableMessage::Empty)?;
        let Versioned { v, behind } = serde_json::from_str(body)?;
        match (v, behind) {
            (VERSION, None) => Ok(Self::Command(Box::new(CommandMessage::read(app, body)?))),
            (VERSION, Some(_)) => Ok(Self::Marker(Box::new(serde_json::from_str(body)?))),
            (v, _) => Err(UnreadableMessage::Version(v)),
        }
    }
}
