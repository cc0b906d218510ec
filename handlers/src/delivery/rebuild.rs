//! The queue of jobs: calls to go on with a rebuild, a reconciliation or a removal, and their worker.
//!
//! A call says which slice of which segment comes next. Its worker does the slice, which notes how far it has come, and only
//! then sends the calls for what follows. If they cannot be sent the call fails, comes again, finds its slice done and answers
//! with the same calls; the queue drops those that it has by their deduplication ids. So a worker may die anywhere.

use crate::delivery::parking::PARKED_AT_RECEIVE;
use crate::delivery::queue::{Outgoing, Queue, QueueError};
use crate::delivery::sqs_batch::receives;
use crate::operations::Operations;
use crate::telemetry::{Metric, count};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use aws_sdk_sqs::Client;
use projections::rebuild::{RebuildError, SegmentTask};
use std::sync::Arc;
use std::time::Duration;

/// How long a worker goes on with a slice: less than a tenth of the time for which its call is its own.
const SLICE: Duration = Duration::from_secs(5);

/// The queue of calls, as its senders see it.
#[derive(Debug, Clone)]
pub struct Jobs {
    queue: Queue,
}

impl Jobs {
    /// The queue at that address.
    pub fn new(sqs: Client, queue_url: impl Into<String>) -> Self {
        Self { queue: Queue::new(sqs, queue_url) }
    }

    pub(crate) fn of(queue: Queue) -> Self {
        Self { queue }
    }

    /// Sends calls. A call that is sent twice is done once.
    ///
    /// # Errors
    /// [`RebuildError::Queue`]: some were not sent.
    pub async fn send(&self, wakes: &[SegmentTask]) -> Result<(), RebuildError> {
        let messages = wakes.iter().map(outgoing).collect::<Result<Vec<_>, _>>();
        let messages = messages.map_err(|error| RebuildError::Queue(Arc::new(error)))?;
        self.queue.send(&messages).await.map_err(not_sent)
    }
}

pub(crate) fn not_sent(error: QueueError) -> RebuildError {
    RebuildError::Queue(Arc::new(error))
}

fn outgoing(wake: &SegmentTask) -> Result<Outgoing, serde_json::Error> {
    Ok(Outgoing { body: serde_json::to_string(wake)?, group: wake.group(), deduplication_id: wake.deduplication_id() })
}

/// The worker: handles the messages of the queue of jobs.
#[derive(Clone)]
pub struct RebuildHandler {
    operations: Operations,
    slice: Duration,
}

/// Why a call cannot be followed. It goes to the dead-letter queue in the end; `resume` of its projection calls again.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("it has no body")]
    Empty,
    #[error("it is no call to go on with a job")]
    Json(#[from] serde_json::Error),
    #[error("there is no projection {0:?}")]
    Unknown(String),
    #[error("the slice could not be done")]
    Work(#[from] RebuildError),
}

impl RebuildHandler {
    /// A worker on slices of about five seconds.
    pub fn new(operations: Operations) -> Self {
        Self { operations, slice: SLICE }
    }

    /// The same with slices of about that length; how far a job has come is told slice by slice.
    #[must_use]
    pub fn with_slice(self, slice: Duration) -> Self {
        Self { slice, ..self }
    }

    /// Handles a batch of calls, one after the other; give it one at a time, for its timeout. The answer names those that
    /// failed: each by itself, since no call needs the one before it.
    pub async fn handle(&self, event: SqsEvent) -> SqsBatchResponse {
        let mut response = SqsBatchResponse::default();
        for message in &event.records {
            count(Metric::Messages);
            if let Err(error) = self.follow(message).await {
                count(Metric::Unhandled);
                tell(message, &error);
                response.add_failure(message.message_id.clone().unwrap_or_default());
            }
        }
        response
    }

    async fn follow(&self, message: &SqsMessage) -> Result<(), CallError> {
        let wake: SegmentTask = serde_json::from_str(message.body.as_deref().ok_or(CallError::Empty)?)?;
        let projection = self.operations.app().consumer(&wake.projection).copied();
        let projection = projection.ok_or_else(|| CallError::Unknown(wake.projection.clone()))?;
        Ok(self.operations.work(&projection, &wake, self.slice).await?)
    }
}

/// What will be the same next time is reported when it comes first; what may pass, when the patience with it ends.
fn tell(message: &SqsMessage, error: &CallError) {
    let (message_id, body, receives) = (message.message_id.as_deref(), message.body.as_deref(), receives(message));
    let reported_at = match error {
        CallError::Empty | CallError::Json(_) | CallError::Unknown(_) => 1,
        CallError::Work(_) => PARKED_AT_RECEIVE,
    };
    let error: &(dyn std::error::Error + Send + Sync) = error;
    if receives == reported_at {
        tracing::error!(message_id, body, receives, error, "a call of a job cannot be followed");
    } else {
        tracing::warn!(message_id, body, receives, error, "a call of a job cannot be followed");
    }
}
