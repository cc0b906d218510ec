//! Work on a stream that goes on in another call, because the time of this one is over.
//!
//! The message would come again by itself, but each receive counts: after twenty it is a dead letter, and at the fifth an event
//! that fails for another reason would be parked without patience. So the stream is announced anew, in its own group of the
//! consumer's own queue, and the message is done with. A message is only a wake-up call: one that stands before the new one
//! goes on with the same gap, and one that finds nothing to do is done at once.
//!
//! The new message's deduplication id is made of the last message of the stream in the batch. Who dies before the batch is
//! acknowledged gets the same batch again: what he had sent stands behind it in the group, so it is either not in the batch,
//! and is not sent twice; or it is the batch's last message, and a new one is sent.

use crate::delivery::notification::NotificationMessage;
use crate::delivery::queue::{Outgoing, Queue, QueueError};
use aws_sdk_sqs::Client;
use eventstore::StreamId;

/// Where a consumer's streams are announced anew.
#[derive(Debug, Clone)]
pub struct Continuations {
    queue: Queue,
}

/// A stream whose work goes on.
pub(crate) struct Unfinished {
    pub(crate) stream: StreamId,
    /// The version that it is announced at.
    pub(crate) version: u64,
    /// The last message of the stream in the batch.
    pub(crate) message_id: String,
}

/// A stream could not be announced anew: its messages come again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContinuationError {
    #[error("the announcement is no JSON")]
    Json(#[from] serde_json::Error),
    #[error("the queue did not take the announcement")]
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

    /// Announces the stream anew.
    pub(crate) async fn send(&self, unfinished: &Unfinished) -> Result<(), ContinuationError> {
        let Unfinished { stream, version, message_id } = unfinished;
        let body = serde_json::to_string(&NotificationMessage::address(stream.clone(), *version))?;
        let deduplication_id = format!("on:{message_id}");
        Ok(self.queue.send(&[Outgoing { body, group: stream.to_string(), deduplication_id }]).await?)
    }
}
