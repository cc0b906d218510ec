//! Commands that are answered later (`Prefer: respond-async`): a row that says what became of each, and a FIFO queue.
//!
//! ```text
//! POST ──▶ row `pending` ──▶ message (group = stream) ──▶ 202            each of the three may be done again
//! worker ──▶ looks at the row ──▶ handles the command ──▶ row `done | refused | failed` ──▶ message is done with
//! ```
//!
//! - The row comes first: what is in the queue can always be asked for. A process that dies between the two leaves a row that
//!   waits; its caller got no answer, and sends the command again, which sends the message.
//! - Each send of the same command sends a message of its own. The queue would drop a second one with the same deduplication id
//!   for five minutes even if the first is gone, to the dead-letter queue or by an operator's purge, and the row would wait for
//!   ever. So only what the SDK repeats of one send is dropped there; whatever else is doubled, the worker knows by the row.
//! - A command's answer ends a *round*. Sent again after a refusal or a failure it begins the next one, as a refused command is
//!   decided again when it is sent again. A message of an answered round that comes late begins none, and neither does a send
//!   that came before the refusal: whoever was told `refused` relies on it.
//! - `done` is what the event store says, and nothing overwrites it. Whoever tells anything else of an answered command asks the
//!   store first: the command may have been recorded by another send, or by a put whose answer was lost.
//! - A row may wait for an answer that nobody will give: its message was lost, or died while the table was down. No clock tells,
//!   for a message may wait for days. So whoever reads a row that waits long sends a *marker* into the same group. The queue gives
//!   it out when no message of the command is left in front of it, and the worker then notes that the command is given up.

mod length;
mod message;
mod problem;
mod row;
mod statuses;
mod worker;

pub use statuses::{CommandStatuses, CommandTableError};
pub use worker::CommandWorker;

pub(crate) use row::{Answer, StatusRow};

use crate::app::Command;
use crate::delivery::queue::{Outgoing, Queue, QueueError};
use aws_sdk_sqs::Client;
use eventstore::{CommandRequest, Id, StreamId};
use length::Length;
use message::{CommandMessage, Marker};
use row::{Round, Subject};
use statuses::{Begun, SendOnce};
use std::sync::Arc;
use std::time::Duration;

/// What one command queue takes.
#[derive(Debug, Clone, Copy)]
pub struct QueueLimits {
    /// Commands that wait or are being handled. It is counted once a second at most, so that several senders together may go
    /// beyond it by what they send in a second.
    pub messages: u64,
    /// How many of them one actor may have waiting, counted over the senders of this process.
    pub messages_of_actor: u64,
    /// Bytes of one message; SQS takes 1 MiB, and took 256 KiB until August 2025.
    pub message_bytes: usize,
    /// How soon after a send came its row must be seen, so that a refusal which stands there counts as one from before. Later,
    /// the sender is asked to send again. No sender has given up on a send and was told about the next one in so short a time.
    pub looks_within: Duration,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            messages: 10_000,
            messages_of_actor: 2_500,
            message_bytes: 256 * 1024,
            looks_within: Duration::from_secs(1),
        }
    }
}

/// The command queue as its senders know it, with the table of what became of commands. Clones share what they have counted.
#[derive(Clone)]
pub struct CommandQueue {
    statuses: CommandStatuses,
    queue: Queue,
    length: Arc<Length>,
    message_bytes: usize,
    looks_within: Duration,
}

/// Why a command was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("its message has {bytes} bytes, and the command queue takes {limit} at most")]
    TooLarge { bytes: usize, limit: usize },
    #[error("{limit} commands wait already")]
    Full { limit: u64 },
    #[error("{share} commands of the actor wait already")]
    ShareFull { share: u64 },
    #[error("the id is that of another command, to {stream}")]
    Reused { stream: StreamId },
    #[error("the command was refused, and it is not known whether before this send of it")]
    Unsure,
    #[error("{attempts} attempts lost to others that sent the same command")]
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
        let QueueLimits { message_bytes, looks_within, .. } = QueueLimits::default();
        let length = Arc::new(Length::new(queue.clone(), &QueueLimits::default()));
        Self { statuses, length, queue, message_bytes, looks_within }
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(self, limits: QueueLimits) -> Self {
        let length = Arc::new(Length::new(self.queue.clone(), &limits));
        Self { length, message_bytes: limits.message_bytes, looks_within: limits.looks_within, ..self }
    }

    /// Takes a command, to be handled later. Safe to repeat; one that is done already is not sent again. `id_made_here` says
    /// that its sender gave no id.
    pub(crate) async fn send(
        &self,
        request: CommandRequest,
        command: Command,
        id_made_here: bool,
    ) -> Result<(), SendError> {
        let send = SendOnce::now(self.looks_within);
        let mut message = CommandMessage::new(request, command, id_made_here);
        // As long as it can become: a later round has more digits.
        let longest = Round { number: u64::MAX, begun_by: send.id.clone() };
        let (bytes, limit) = (message.text(longest)?.len(), self.message_bytes);
        if bytes > limit {
            return Err(SendError::TooLarge { bytes, limit });
        }
        // Counted before the row is written, so that none is left of a command that nobody has taken.
        self.length.admit(Some(&message.metadata.actor)).await?;
        match self.statuses.begin(&message.subject(), &send).await? {
            Begun::Answered => Ok(()),
            Begun::Waits { round } => {
                let (body, group) = (message.text(round)?, message.stream.to_string());
                Ok(self.queue.send(&[Outgoing { body, group, deduplication_id: send.id }]).await?)
            }
        }
    }

    /// What became of a sender's command, as its row says; nothing where it is not known (any more). One that waits long is
    /// looked after.
    pub(crate) async fn status(&self, actor: &Id, command_id: &Id) -> Result<Option<StatusRow>, CommandTableError> {
        let row = self.statuses.find_fresh(&Subject::key_of(actor, command_id)).await?;
        if let Some(row) = row.as_ref().filter(|row| row.waits_long())
            && let Err(error) = self.look_after(row).await
        {
            // It waits all the same, and whoever asks next looks after it.
            let error: &(dyn std::error::Error + Send + Sync) = &error;
            tracing::warn!(error, stream = %row.stream, "no marker was sent behind a command that waits long");
        }
        Ok(row)
    }

    /// Sends a marker behind the messages of a command that waits.
    async fn look_after(&self, row: &StatusRow) -> Result<(), SendError> {
        self.length.admit(None).await?;
        let marker = Marker::behind(row);
        let (body, group, deduplication_id) = (marker.text()?, row.stream.to_string(), marker.deduplication_id());
        Ok(self.queue.send(&[Outgoing { body, group, deduplication_id }]).await?)
    }
}
