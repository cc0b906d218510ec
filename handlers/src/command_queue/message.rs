//! The messages of the command queue.

use super::row::{AnswerRound, StatusRow, Subject};
use crate::app::{App, Command, UnreadableCommand};
use eventstore::{CommandMetadata, CommandRequest, Hash, StreamId};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version of the message's form. It changes when a field changes its meaning; fields may be
/// added. Version 1 had another fingerprint.
const VERSION: u64 = 2;
/// Characters that SQS rejects in a message and the JSON writer does not escape, with their
/// escapes.
const NEVER_CARRIED: [(char, &str); 2] = [('\u{fffe}', r"\ufffe"), ('\u{ffff}', r"\uffff")];

/// A command on its way to the worker.
#[derive(Debug, Clone, Serialize)]
pub(super) struct CommandMessage {
    v: u64,
    /// Which round of answers it belongs to.
    #[serde(flatten)]
    pub(super) round: AnswerRound,
    /// The stream, which is also the message's group.
    pub(super) stream: StreamId,
    /// Stored as `envelope`.
    #[serde(rename = "envelope")]
    pub(super) metadata: CommandMetadata,
    /// The stream's version, if the caller expects one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expected_version: Option<u64>,
    pub(super) command: Command,
    /// Whether the API made the id, because the sender gave none.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) id_made_here: bool,
}

/// The message as it is received: only the app knows the command's type.
#[derive(Deserialize)]
struct ReceivedMessage {
    #[serde(flatten)]
    round: AnswerRound,
    stream: StreamId,
    #[serde(rename = "envelope")]
    metadata: CommandMetadata,
    #[serde(default)]
    expected_version: Option<u64>,
    /// Older programs did not write it.
    #[serde(default)]
    id_made_here: bool,
}

/// The command, read separately: serde cannot take raw JSON beside a flattened field.
#[derive(Deserialize)]
struct ReceivedCommand {
    command: Box<RawValue>,
}

/// Sent after the messages of a command that waits long: a FIFO queue delivers it when none of them
/// is left.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Marker {
    v: u64,
    /// The round that waits.
    #[serde(flatten)]
    pub(super) round: AnswerRound,
    /// The command.
    pub(super) behind: Subject,
}

/// A message of the queue.
#[derive(Debug, Clone)]
pub(super) enum QueueMessage {
    Command(Box<CommandMessage>),
    Marker(Box<Marker>),
}

/// The fields of every version.
#[derive(Deserialize)]
struct Versioned {
    v: u64,
    /// Only markers have it.
    behind: Option<IgnoredAny>,
}

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnreadableMessage {
    #[error("it has no body")]
    Empty,
    #[error("it is no message of a command")]
    Json(#[from] serde_json::Error),
    #[error("it has version {0}, and this program reads only version {VERSION}")]
    Version(u64),
    #[error("its command cannot be read")]
    Command(#[from] UnreadableCommand),
    #[error("its command is for streams of category {category:?}, and {stream} is none")]
    Stream { category: &'static str, stream: StreamId },
}

impl CommandMessage {
    pub(super) fn new(request: CommandRequest, command: Command, id_made_here: bool) -> Self {
        let CommandRequest { stream, metadata, expected_version, .. } = request;
        Self {
            v: VERSION,
            round: AnswerRound::first(""),
            stream,
            metadata,
            expected_version,
            command,
            id_made_here,
        }
    }

    fn read(app: &App, body: &str) -> Result<Self, UnreadableMessage> {
        let ReceivedMessage { round, stream, metadata, expected_version, id_made_here } =
            serde_json::from_str(body)?;
        let ReceivedCommand { command } = serde_json::from_str(body)?;
        let command = app.read_queued_command(&command)?;
        let category = command.category();
        if stream.category() != category {
            return Err(UnreadableMessage::Stream { category, stream });
        }
        Ok(Self { v: VERSION, round, stream, metadata, expected_version, command, id_made_here })
    }

    /// Its text in that round. Characters that SQS rejects can only be within JSON strings, where
    /// they are escaped.
    pub(super) fn text(&mut self, round: AnswerRound) -> serde_json::Result<String> {
        self.round = round;
        let text = serde_json::to_string(self)?;
        Ok(NEVER_CARRIED
            .iter()
            .fold(text, |text, (refused, escape)| text.replace(*refused, escape)))
    }

    /// The key of its row.
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
    /// The marker for a row.
    pub(super) fn behind(row: &StatusRow) -> Self {
        Self { v: VERSION, round: row.round.clone(), behind: row.subject() }
    }

    /// Its text. Ids and streams have no characters that SQS rejects.
    pub(super) fn text(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// The queue drops further markers of the round for five minutes.
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
