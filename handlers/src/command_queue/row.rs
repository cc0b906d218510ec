//! The status row of a command.

use chrono::{DateTime, Utc};
use eventstore::{CommandMetadata, CommandRequest, Fingerprint, Id, StreamId, time_text};
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// How long a row is stored after its last change, in seconds: 30 days. Longer than a message can
/// be in the queue and then in the dead-letter queue, 14 days each. So no message outlives its row,
/// and no answered command is evaluated again.
const RETENTION_S: i64 = 30 * 24 * 60 * 60;

/// After this time, in seconds, a marker is sent for a pending row. If clocks differ, it is sent a
/// little early or late, which is harmless.
const WAITS_LONG_S: u64 = 60;

/// The name of the hash key.
pub(super) const KEY: &str = "command";
/// The name of the attribute by which DynamoDB removes rows: seconds since 1970.
pub(super) const EXPIRES: &str = "expires_at_s";

/// The command of a row. Markers carry it: fields may be added, none renamed or dropped.
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
pub(super) struct AnswerRound {
    /// Its number, from 1.
    #[serde(rename = "round")]
    pub(super) number: u64,
    /// The id of the send that began it; empty if an older program wrote it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) begun_by: String,
}

/// The status of a command that is answered later. This is the storage format: fields may be added,
/// none renamed or dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StatusRow {
    pub(super) command: String,
    pub(crate) stream: StreamId,
    pub(super) fingerprint: Fingerprint,
    pub(crate) correlation_id: Id,
    /// The current round of answers.
    #[serde(flatten)]
    pub(super) round: AnswerRound,
    #[serde(flatten)]
    pub(crate) answer: CommandProgress,
    changed_at: String,
    expires_at_s: i64,
}

/// How far a command is in a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(crate) enum CommandProgress {
    /// It waits, or is being handled.
    Pending,
    /// It was handled: the stream's version after it, and whether it recorded events.
    Done { version: u64, recorded: bool },
    /// It was answered with a final problem.
    Refused { problem: String },
    /// It failed with a problem that may pass; its message is in the dead-letter queue.
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

    /// Command ids are unique for each sender. Ids have no line breaks, so two pairs never make the
    /// same key.
    pub(super) fn key_of(actor: &Id, command_id: &Id) -> String {
        format!("{actor}\n{command_id}")
    }

    /// Its row in that round.
    pub(super) fn row(&self, round: &AnswerRound, answer: CommandProgress) -> StatusRow {
        let now = now();
        StatusRow {
            command: self.key.clone(),
            stream: self.stream.clone(),
            fingerprint: self.fingerprint,
            correlation_id: self.correlation_id.clone(),
            round: round.clone(),
            answer,
            changed_at: time_text(now),
            expires_at_s: now.timestamp().saturating_add(RETENTION_S),
        }
    }
}

impl AnswerRound {
    /// The first one.
    pub(super) fn first(begun_by: &str) -> Self {
        Self { number: 1, begun_by: begun_by.to_owned() }
    }

    /// The next one.
    pub(super) fn next(&self, begun_by: &str) -> Self {
        Self { number: self.number.saturating_add(1), begun_by: begun_by.to_owned() }
    }
}

impl StatusRow {
    /// Its command.
    pub(super) fn subject(&self) -> Subject {
        Subject {
            key: self.command.clone(),
            stream: self.stream.clone(),
            fingerprint: self.fingerprint,
            correlation_id: self.correlation_id.clone(),
        }
    }

    /// The request by which the event store finds the command.
    pub(crate) fn request(&self, actor: Id, command_id: Id) -> CommandRequest {
        let (fingerprint, correlation_id) = (self.fingerprint, self.correlation_id.clone());
        let (causation_id, trace_parent) = (None, None);
        let metadata = CommandMetadata {
            command_id,
            fingerprint,
            correlation_id,
            causation_id,
            actor,
            trace_parent,
        };
        CommandRequest {
            stream: self.stream.clone(),
            metadata,
            expected_version: None,
            creates: false,
        }
    }

    /// Whether it is pending, and was written more than a minute ago.
    pub(super) fn waits_long(&self) -> bool {
        let written_at_s = self.expires_at_s.saturating_sub(RETENTION_S);
        self.answer == CommandProgress::Pending
            && now().timestamp().abs_diff(written_at_s) > WAITS_LONG_S
    }

    pub(super) fn is_about(&self, subject: &Subject) -> bool {
        self.command == subject.key
            && self.stream == subject.stream
            && self.fingerprint == subject.fingerprint
    }

    /// Whether it has expired. DynamoDB removes it up to two days later.
    pub(super) fn is_over(&self) -> bool {
        self.expires_at_s < now().timestamp()
    }

    /// Whether a message of that round has nothing left to do.
    pub(super) fn settles(&self, subject: &Subject, round: &AnswerRound) -> bool {
        self.is_about(subject)
            && match self.answer {
                CommandProgress::Done { .. } => true,
                CommandProgress::Refused { .. } => self.round.number >= round.number,
                CommandProgress::Pending | CommandProgress::Failed { .. } => {
                    self.round.number > round.number
                }
            }
    }
}

pub(super) fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}
