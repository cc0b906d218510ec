//! Commands that are answered later (`Prefer: respond-async`): a status row for each, and a FIFO
//! queue.
//!
//! ```text
//! POST ──▶ row `pending` ──▶ message (group = stream) ──▶ 202            each of the three is safe to repeat
//! worker ──▶ reads the row ──▶ handles the command ──▶ row `done | refused | failed` ──▶ deletes the message
//! ```
//!
//! - The row is written first, so the status of every queued command can be read. If the API dies
//!   before it sends the message, the row is pending; the caller got no answer and sends the
//!   command again.
//! - Each send has its own deduplication id. With the same id, SQS would drop a second message for
//!   five minutes even if the first one is gone (dead-lettered or purged), and the row would be
//!   pending for ever. So SQS drops only the SDK's retries of one send. The worker finds other
//!   duplicates by the row.
//! - A command's answer ends a *round*. A send after a refusal or failure begins the next round: a
//!   refused command is evaluated again. A late message of an answered round begins none. Nor does
//!   a send from before the refusal, because the caller relies on the answer `refused`.
//! - `done` comes from the event store, and is never overwritten. Before another status is
//!   returned, the store is read: another send, or a put whose answer was lost, may have recorded
//!   the command.
//! - A row may be pending without a message, for example after a purge. Time does not show it: a
//!   message may wait for days. So a read of a row that is pending long sends a *marker* to the
//!   same group. The queue delivers it when no message of the command is left before it, and the
//!   worker marks the command failed.

mod length;
mod message;
mod problem;
mod row;
mod status_table;
mod statuses;
mod worker;

pub use status_table::CommandTableError;
pub use statuses::CommandStatuses;
pub use worker::CommandWorker;

pub(crate) use row::{CommandProgress, StatusRow};

use crate::app::Command;
use crate::delivery::queue::{Outgoing, Queue, QueueError};
use aws_sdk_sqs::Client;
use eventstore::{CommandRequest, Id, StreamId};
use length::Length;
use message::{CommandMessage, Marker};
use row::{AnswerRound, Subject};
use statuses::{Begun, SendOnce};
use std::sync::Arc;
use std::time::Duration;

/// The limits of a command queue.
#[derive(Debug, Clone, Copy)]
pub struct QueueLimits {
    /// The most commands that wait or are being handled. They are counted at most once a second, so
    /// several senders may exceed the limit by what they send in a second.
    pub messages: u64,
    /// The most waiting commands of one actor, as this process counts them.
    pub messages_of_actor: u64,
    /// The most bytes of a message. SQS accepts 1 MiB, and accepted 256 KiB until August 2025.
    pub message_bytes: usize,
    /// The time within which a send must read its row: only then is a stored refusal proven to be
    /// older than the send. Later the sender must send again. No sender gives up one send and gets
    /// the answer of the next in so short a time.
    pub proof_time: Duration,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            messages: 10_000,
            messages_of_actor: 2_500,
            message_bytes: 256 * 1024,
            proof_time: Duration::from_secs(1),
        }
    }
}

/// The command queue for its senders, with the table of statuses. Clones share their counts.
#[derive(Clone)]
pub struct CommandQueue {
    statuses: CommandStatuses,
    queue: Queue,
    length: Arc<Length>,
    message_bytes: usize,
    proof_time: Duration,
}

/// Why a command was not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("its message has {bytes} bytes, and the command queue accepts at most {limit}")]
    TooLarge { bytes: usize, limit: usize },
    #[error("{limit} commands wait already")]
    Full { limit: u64 },
    #[error("{share} commands of the actor wait already")]
    ShareFull { share: u64 },
    #[error("the id was used for another command, to {stream}")]
    Reused { stream: StreamId },
    #[error("the command was refused, and it is unknown whether before or after this send")]
    Unsure,
    #[error("{attempts} attempts conflicted with other sends of the same command")]
    Contention { attempts: u32 },
    #[error("the command is no JSON")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Statuses(#[from] CommandTableError),
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl CommandQueue {
    /// The queue at that address, with that table.
    pub fn new(statuses: CommandStatuses, sqs: Client, queue_url: impl Into<String>) -> Self {
        Self::of(statuses, Queue::new(sqs, queue_url))
    }

    pub(crate) fn of(statuses: CommandStatuses, queue: Queue) -> Self {
        let QueueLimits { message_bytes, proof_time, .. } = QueueLimits::default();
        let length = Arc::new(Length::new(queue.clone(), &QueueLimits::default()));
        Self { statuses, length, queue, message_bytes, proof_time }
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(self, limits: QueueLimits) -> Self {
        let length = Arc::new(Length::new(self.queue.clone(), &limits));
        Self { length, message_bytes: limits.message_bytes, proof_time: limits.proof_time, ..self }
    }

    /// Accepts a command, to be handled later. Safe to repeat: a command that is done is not sent
    /// again. `id_made_here` if its sender gave no id.
    pub(crate) async fn send(
        &self,
        request: CommandRequest,
        command: Command,
        id_made_here: bool,
    ) -> Result<(), SendError> {
        let send = SendOnce::now(self.proof_time);
        let mut message = CommandMessage::new(request, command, id_made_here);
        // The longest form of the message: a later round has more digits.
        let longest = AnswerRound { number: u64::MAX, begun_by: send.id.clone() };
        let (bytes, limit) = (message.text(longest)?.len(), self.message_bytes);
        if bytes > limit {
            return Err(SendError::TooLarge { bytes, limit });
        }
        // Admitted before the row is written, so that a rejected command leaves no row.
        self.length.admit(Some(&message.metadata.actor)).await?;
        match self.statuses.begin(&message.subject(), &send).await? {
            Begun::Answered => Ok(()),
            Begun::Waits { round } => {
                let (body, group) = (message.text(round)?, message.stream.to_string());
                Ok(self.queue.send(&[Outgoing { body, group, deduplication_id: send.id }]).await?)
            }
        }
    }

    /// The status row of an actor's command; none if there is none (any more). Sends a marker if
    /// the command waits long.
    pub(crate) async fn status(
        &self,
        actor: &Id,
        command_id: &Id,
    ) -> Result<Option<StatusRow>, CommandTableError> {
        let row = self.statuses.find_fresh(&Subject::key_of(actor, command_id)).await?;
        if let Some(row) = row.as_ref().filter(|row| row.waits_long())
            && let Err(error) = self.send_marker(row).await
        {
            // The next read of the status sends one.
            let error: &(dyn std::error::Error + Send + Sync) = &error;
            tracing::warn!(error, stream = %row.stream, "no marker could be sent for a command that waits long");
        }
        Ok(row)
    }

    /// Sends a marker after the messages of a command that waits.
    async fn send_marker(&self, row: &StatusRow) -> Result<(), SendError> {
        self.length.admit(None).await?;
        let marker = Marker::behind(row);
        let (body, group, deduplication_id) =
            (marker.text()?, row.stream.to_string(), marker.deduplication_id());
        Ok(self.queue.send(&[Outgoing { body, group, deduplication_id }]).await?)
    }
}
