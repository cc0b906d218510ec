//! A row of the table of commands: what became of one.

use chrono::{DateTime, Utc};
use eventstore::{CommandMetadata, CommandRequest, Fingerprint, Id, StreamId, time_text};
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// How long a row is kept behind its last change, in seconds: 30 days. Longer than its message can lie in the queue and then in the
/// dead-letter queue, 14 days each, so that no message outlives its row, and decides again what was answered.
const KEPT_FOR_S: i64 = 30 * 24 * 60 * 60;

/// A row that waits longer than this, in seconds, is looked after by a marker behind its messages. It is only a hint: where clocks
/// differ, a marker is sent too early or a minute late, and what it says is true all the same.
const WAITS_LONG_S: u64 = 60;

/// The name of the hash key.
pub(super) const KEY: &str = "command";
/// The name of the attribute by which DynamoDB removes rows: seconds since 1970.
pub(super) const EXPIRES: &str = "expires_at_s";

/// Which command a row is about. Markers carry it: fields may be added, none renamed or dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Subject {
    #[serde(rename = "command")]
    pub(super) key: String,
    pub(super) stream: StreamId,
    pub(super) fingerprint: Fingerprint,
    pub(super) correlation_id: Id,
}

/// A round of answers to a command. Rows and messages carry it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Round {
    /// Which one, from 1.
    #[serde(rename = "round")]
    pub(super) number: u64,
    /// The id of the send that began it; empty in what an older program wrote.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) begun_by: String,
}

/// What is known of a command that is answered later. This is the storage format: fields may be added, none renamed or dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StatusRow {
    pub(super) command: String,
    pub(crate) stream: StreamId,
    pub(super) fingerprint: Fingerprint,
    pub(crate) correlation_id: Id,
    /// Which round of answers it is in.
    #[serde(flatten)]
    pub(super) round: Round,
    #[serde(flatten)]
    pub(crate) answer: Answer,
    changed_at: String,
    expires_at_s: i64,
}

/// What became of a command in a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It waits, or is being handled.
    Pending,
    /// It was handled: the stream's version behind it, and whether it recorded events.
    Done { version: u64, recorded: bool },
    /// It was answered with a problem that is final.
    Refused { problem: String },
    /// It was given up with a problem that may pass; operators find its message in the dead-letter queue.
    Failed { problem: String },
}

impl Subject {
    pub(super) fn new(stream: &StreamId, metadata: &CommandMetadata) -> Self {
        Self {
            key: Self::key_of(&metadata.actor, &metadata.command_id),
            stream: stream.clone(),
            fingerprint: metadata.fingerprint,
            correlation_id: metadata.correlation_id.clone(),
        }
    }

    /// A command id means something for its sender only. Ids have no line breaks, so that no two pairs make the same key.
    pub(super) fn key_of(actor: &Id, command_id: &Id) -> String {
        format!("{actor}\n{command_id}")
    }

    /// Its row in that round.
    pub(super) fn row(&self, round: &Round, answer: Answer) -> StatusRow {
        let now = now();
        StatusRow {
            command: self.key.clone(),
            stream: self.stream.clone(),
            fingerprint: self.fingerprint,
            correlation_id: self.correlation_id.clone(),
            round: round.clone(),
            answer,
            changed_at: time_text(now),
            expires_at_s: now.timestamp().saturating_add(KEPT_FOR_S),
        }
    }
}

impl Round {
    /// The first one.
    pub(super) fn first(begun_by: &str) -> Self {
        Self { number: 1, begun_by: begun_by.to_owned() }
    }

    /// The one behind it.
    pub(super) fn next(&self, begun_by: &str) -> Self {
        Self { number: self.number.saturating_add(1), begun_by: begun_by.to_owned() }
    }
}

impl StatusRow {
    /// Which command it is about.
    pub(super) fn subject(&self) -> Subject {
        Subject {
            key: self.command.clone(),
            stream: self.stream.clone(),
            fingerprint: self.fingerprint,
            correlation_id: self.correlation_id.clone(),
        }
    }

    /// The command as the event store knows it, without what it decides.
    pub(crate) fn request(&self, actor: Id, command_id: Id) -> CommandRequest {
        let (fingerprint, correlation_id) = (self.fingerprint, self.correlation_id.clone());
        let (causation_id, trace_parent) = (None, None);
        let metadata = CommandMetadata { command_id, fingerprint, correlation_id, causation_id, actor, trace_parent };
        CommandRequest { stream: self.stream.clone(), metadata, expected_version: None, creates: false }
    }

    /// Whether it waits, and was not written just now.
    pub(super) fn waits_long(&self) -> bool {
        let written_at_s = self.expires_at_s.saturating_sub(KEPT_FOR_S);
        self.answer == Answer::Pending && now().timestamp().abs_diff(written_at_s) > WAITS_LONG_S
    }

    pub(super) fn is_about(&self, subject: &Subject) -> bool {
        self.command == subject.key && self.stream == subject.stream && self.fingerprint == subject.fingerprint
    }

    /// Whether its time is over. DynamoDB removes it up to two days later.
    pub(super) fn is_over(&self) -> bool {
        self.expires_at_s < now().timestamp()
    }

    /// Whether a message of that round has nothing more to bring about.
    pub(super) fn settles(&self, subject: &Subject, round: &Round) -> bool {
        self.is_about(subject)
            && match self.answer {
                Answer::Done { .. } => true,
                Answer::Refused { .. } => self.round.number >= round.number,
                Answer::Pending | Answer::Failed { .. } => self.round.number > round.number,
            }
    }
}

pub(super) fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}
