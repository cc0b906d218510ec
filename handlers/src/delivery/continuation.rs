//! Continues a stream in another call, when the time of this one is over.
//!
//! SQS would redeliver the message, but receives are counted: after twenty it is a dead letter, and
//! at the fifth an event that fails for another reason is parked at once. So a new notification of
//! the stream is sent to the consumer's queue, and this message is done. A message is only a
//! wake-up call: one before the new message continues the same gap, and one without work is done at
//! once.
//!
//! The deduplication id of the new message comes from the stream's last message in the batch. After
//! a crash before the batch is acknowledged, the batch is redelivered. The new message follows it
//! in the group. If it is not in the batch, it is not sent again; if it is the batch's last
//! message, another one is sent.

use crate::delivery::notification::NotificationMessage;
use crate::delivery::queue::{Outgoing, Queue, QueueError};
use aws_sdk_sqs::Client;
use eventstore::StreamId;

/// Sends notifications that continue a consumer's streams.
#[derive(Debug, Clone)]
pub struct Continuations {
    queue: Queue,
}

/// A stream with work left.
pub(crate) struct Unfinished {
    pub(crate) stream: StreamId,
    /// The version to notify.
    pub(crate) version: u64,
    /// The last message of the stream in the batch.
    pub(crate) message_id: String,
}

/// The notification could not be sent: the messages of the stream are redelivered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContinuationError {
    #[error("the notification is no JSON")]
    Json(#[from] serde_json::Error),
    #[error("the queue did not accept the notification")]
    Queue(#[from] QueueError),
}

impl Continuations {
    /// Through the consumer's own queue.
    pub fn new(sqs: Client, queue_url: impl Into<String>) -> Self {
        Self { queue: Queue::new(sqs, queue_url) }
    }

    pub(crate) fn of(queue: Queue) -> Self {
        Self { queue }
    }

    /// Sends the notification.
    pub(crate) async fn send(&self, unfinished: &Unfinished) -> Result<(), ContinuationError> {
        let Unfinished { stream, version, message_id } = unfinished;
        let body = serde_json::to_string(&NotificationMessage::address(stream.clone(), *version))?;
        let deduplication_id = format!("on:{message_id}");
        Ok(self
            .queue
            .send(&[Outgoing { body, group: stream.to_string(), deduplication_id }])
            .await?)
    }
}
