//! The queue of jobs: tasks of a rebuild, a reconciliation or a removal, and their worker.
//!
//! A task names the next slice of a segment. Its worker does the slice, stores the progress, and
//! only then sends the next tasks. If they cannot be sent, the task fails and is redelivered. It
//! finds its slice done and sends the same tasks; the queue drops duplicates by their deduplication
//! ids. So a worker may die at any point.

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

/// How long a worker works on a slice: less than a tenth of the visibility timeout.
const SLICE: Duration = Duration::from_secs(5);

/// The queue of tasks, for its senders.
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

    /// Sends tasks. A task that is sent twice is done once.
    ///
    /// # Errors
    /// [`RebuildError::Queue`]: some were not sent.
    pub async fn send(&self, tasks: &[SegmentTask]) -> Result<(), RebuildError> {
        let messages = tasks.iter().map(outgoing).collect::<Result<Vec<_>, _>>();
        let messages = messages.map_err(|error| RebuildError::Queue(Arc::new(error)))?;
        self.queue.send(&messages).await.map_err(not_sent)
    }
}

pub(crate) fn not_sent(error: QueueError) -> RebuildError {
    RebuildError::Queue(Arc::new(error))
}

fn outgoing(task: &SegmentTask) -> Result<Outgoing, serde_json::Error> {
    Ok(Outgoing {
        body: serde_json::to_string(task)?,
        group: task.group(),
        deduplication_id: task.deduplication_id(),
    })
}

/// The worker: handles the messages of the queue of jobs.
#[derive(Clone)]
pub struct RebuildHandler {
    operations: Operations,
    slice: Duration,
}

/// Why a task failed. In the end it is a dead letter; `resume` of its projection sends it again.
#[derive(Debug, thiserror::Error)]
enum TaskError {
    #[error("it has no body")]
    Empty,
    #[error("it is no task of a job")]
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

    /// The same with slices of about that length; each slice updates the progress of the job.
    #[must_use]
    pub fn with_slice(self, slice: Duration) -> Self {
        Self { slice, ..self }
    }

    /// Handles a batch of tasks in order; use a batch size of one, because of the timeout. The
    /// answer has only the failed tasks: none needs the one before it.
    pub async fn handle(&self, event: SqsEvent) -> SqsBatchResponse {
        let mut response = SqsBatchResponse::default();
        for message in &event.records {
            count(Metric::Messages);
            if let Err(error) = self.handle_task(message).await {
                count(Metric::Unhandled);
                log_failed(message, &error);
                response.add_failure(message.message_id.clone().unwrap_or_default());
            }
        }
        response
    }

    async fn handle_task(&self, message: &SqsMessage) -> Result<(), TaskError> {
        let task: SegmentTask =
            serde_json::from_str(message.body.as_deref().ok_or(TaskError::Empty)?)?;
        let projection = self.operations.app().consumer(&task.projection).copied();
        let projection = projection.ok_or_else(|| TaskError::Unknown(task.projection.clone()))?;
        Ok(self.operations.work(&projection, &task, self.slice).await?)
    }
}

/// Logs a failure. A permanent one is reported at the first receive, another one at the fifth.
fn log_failed(message: &SqsMessage, error: &TaskError) {
    let (message_id, body, receives) =
        (message.message_id.as_deref(), message.body.as_deref(), receives(message));
    let reported_at = match error {
        TaskError::Empty | TaskError::Json(_) | TaskError::Unknown(_) => 1,
        TaskError::Work(_) => PARKED_AT_RECEIVE,
    };
    let error: &(dyn std::error::Error + Send + Sync) = error;
    if receives == reported_at {
        tracing::error!(message_id, body, receives, error, "a task of a job failed");
    } else {
        tracing::warn!(message_id, body, receives, error, "a task of a job failed");
    }
}
