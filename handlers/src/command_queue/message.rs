//! A message of the command queue.

use super::row::Subject;
use crate::bookshop::Command;
use eventstore::{Envelope, Request, StreamId};
use serde::{Deserialize, Serialize};

/// The version of the message's shape. Another meaning of what is there is another version; fields may be added.
/// Version 1 had another fingerprint.
const VERSION: u64 = 2;
/// The characters that SQS refuses in a message and JSON does not escape by itself, with their escapes.
const NEVER_CARRIED: [(char, &str); 2] = [('\u{fffe}', r"\ufffe"), ('\u{ffff}', r"\uffff")];

/// A command on its way to the worker, as it came in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CommandMessage {
    v: u64,
    /// Which round of answers it belongs to, from 1.
    pub(super) round: u64,
    /// The stream that it addresses, which is also the message's group.
    pub(super) stream: StreamId,
    /// Who, why, and its id.
    pub(super) envelope: Envelope,
    /// The version at which the caller knows the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expected_version: Option<u64>,
    pub(super) command: Command,
}

/// What every version of a message has.
#[derive(Deserialize)]
struct Versioned {
    v: u64,
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
    #[error("its command is for streams of category {category:?}, and {stream} is none")]
    Stream { category: &'static str, stream: StreamId },
}

impl CommandMessage {
    pub(super) fn new(request: Request, command: Command) -> Self {
        let Request { stream, envelope, expected_version, .. } = request;
        Self { v: VERSION, round: 1, stream, envelope, expected_version, command }
    }

    pub(super) fn read(body: Option<&str>) -> Result<Self, UnreadableMessage> {
        let body = body.ok_or(UnreadableMessage::Empty)?;
        let Versioned { v } = serde_json::from_str(body)?;
        if v != VERSION {
            return Err(UnreadableMessage::Version(v));
        }
        let message: Self = serde_json::from_str(body)?;
        let category = message.command.category();
        if message.stream.category() != category {
            return Err(UnreadableMessage::Stream { category, stream: message.stream });
        }
        Ok(message)
    }

    /// Its text in that round. All that SQS refuses can only stand within JSON's strings, where an escape means the same.
    pub(super) fn text(&mut self, round: u64) -> serde_json::Result<String> {
        self.round = round;
        let text = serde_json::to_string(self)?;
        Ok(NEVER_CARRIED.iter().fold(text, |text, (refused, escape)| text.replace(*refused, escape)))
    }

    /// What its row is about.
    pub(super) fn subject(&self) -> Subject {
        Subject::new(&self.stream, &self.envelope)
    }

    /// The command as the event store takes it.
    pub(super) fn request(&self) -> Request {
        Request {
            stream: self.stream.clone(),
            envelope: self.envelope.clone(),
            expected_version: self.expected_version,
            creates: self.command.creates(),
        }
    }
}
