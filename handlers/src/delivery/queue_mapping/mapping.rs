//! Lambda's event source mapping of an SQS queue, on this machine: batches to one handler that
//! reports which messages it could not do; only those that it did are deleted.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::operation::get_queue_attributes::GetQueueAttributesError;
use aws_sdk_sqs::operation::receive_message::ReceiveMessageError;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::backoff::{Backoff, Outage, causes};
use super::invocation::{self, InvocationError};
use super::queue_answers;
use super::queue_event;

/// The most messages that one receive returns, and so one batch of a FIFO queue has.
const MAX_BATCH_SIZE: usize = 10;
/// Added to the poll's own length: the answer must have time to come.
const RECEIVE_MARGIN: Duration = Duration::from_secs(5);
/// A queue that answers "nothing" without having waited is not asked again at once.
const EMPTY_PAUSE: Duration = Duration::from_millis(25);

/// How one queue is delivered to one handler.
///
/// As on AWS: a message is deleted when the handler has done it, otherwise it becomes visible again
/// and counts towards the queue's `maxReceiveCount`; which messages of a FIFO group may come is the
/// queue's own business.
#[derive(Clone, Debug)]
pub struct QueueMapping {
    /// The queue.
    pub queue_url: String,
    /// Messages in a batch, at most; 1 to 10.
    pub batch_size: usize,
    /// Batches that are handled at the same time, at most (`MaximumConcurrency`); 1 or more.
    pub concurrency: usize,
    /// How long one call of the handler may take. The queue's visibility timeout must be longer, or
    /// a message comes again while it is being handled.
    pub timeout: Duration,
    /// How long a receive waits for a message, in whole seconds. A stop waits for it too, because a
    /// message that is received and then dropped would stay invisible until its visibility timeout.
    pub poll: Duration,
    /// When failed messages become visible again, in whole seconds. `None` leaves them to their
    /// visibility timeout, as Lambda does; that is minutes on most queues, too long for someone who
    /// waits in front of a laptop.
    pub retry_after: Option<Duration>,
    /// The pauses after receives that failed.
    pub backoff: Backoff,
    /// What can be seen of it from outside.
    pub activity: Activity,
}

impl QueueMapping {
    /// A mapping with Lambda's batch size, and one batch at a time.
    #[must_use]
    pub fn new(queue_url: impl Into<String>) -> Self {
        Self {
            queue_url: queue_url.into(),
            batch_size: MAX_BATCH_SIZE,
            concurrency: 1,
            timeout: Duration::from_secs(30),
            poll: Duration::from_secs(1),
            retry_after: None,
            backoff: Backoff::default(),
            activity: Activity::default(),
        }
    }

    /// Delivers until `stop`; the batches in flight are finished first.
    ///
    /// Failures, of the queue or of the handler, are logged and tried again; they never end the
    /// mapping.
    pub async fn run<H, F, E>(self, sqs: Client, handler: H, stop: CancellationToken)
    where
        H: Fn(SqsEvent) -> F + Send + Sync + 'static,
        F: Future<Output = Result<SqsBatchResponse, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let slots = Arc::new(Semaphore::new(self.concurrency.max(1)));
        let mut outage = Outage::with_backoff(&self.queue_url, self.backoff);
        let Some(queue_arn) = self.queue_arn(&sqs, &mut outage, &stop).await else { return };
        let delivery = Arc::new(BatchDelivery { mapping: self, sqs, queue_arn, handler });
        let mut batches = JoinSet::new();
        while let Some(Ok(slot)) = stop.run_until_cancelled(slots.clone().acquire_owned()).await {
            let messages = delivery.receive(&mut outage, &stop).await;
            if !messages.is_empty() {
                let (delivery, open) = (delivery.clone(), delivery.mapping.activity.begin_batch());
                batches.spawn(async move {
                    delivery.deliver(messages).await;
                    drop((open, slot));
                });
            }
            while batches.try_join_next().is_some() {}
        }
        while batches.join_next().await.is_some() {}
    }

    /// Asks until the queue answers, or `stop`.
    async fn queue_arn(
        &self,
        sqs: &Client,
        outage: &mut Outage,
        stop: &CancellationToken,
    ) -> Option<String> {
        loop {
            match queue_arn(sqs, &self.queue_url).await {
                Ok(arn) => {
                    outage.over();
                    self.activity.note_answer();
                    return Some(arn);
                }
                Err(error) => {
                    stop.run_until_cancelled(tokio::time::sleep(outage.failed(&error))).await?
                }
            }
        }
    }
}

/// What every batch of a mapping needs.
struct BatchDelivery<H> {
    mapping: QueueMapping,
    sqs: Client,
    queue_arn: String,
    handler: H,
}

impl<H> BatchDelivery<H> {
    /// One receive. It is never abandoned half way; on failure it pauses, and gives nothing.
    async fn receive(&self, outage: &mut Outage, stop: &CancellationToken) -> Vec<Message> {
        let asked = Instant::now();
        match self.poll().await {
            Ok(messages) => {
                outage.over();
                self.mapping.activity.note_answer();
                if messages.is_empty() && asked.elapsed() < EMPTY_PAUSE {
                    stop.run_until_cancelled(tokio::time::sleep(EMPTY_PAUSE)).await;
                }
                messages
            }
            Err(error) => {
                stop.run_until_cancelled(tokio::time::sleep(outage.failed(&error))).await;
                Vec::new()
            }
        }
    }

    async fn poll(&self) -> Result<Vec<Message>, SdkError<ReceiveMessageError>> {
        let attempt = self.mapping.poll.saturating_add(RECEIVE_MARGIN);
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(attempt).build();
        let messages = self.mapping.batch_size.clamp(1, MAX_BATCH_SIZE);
        let request = self
            .sqs
            .receive_message()
            .queue_url(&self.mapping.queue_url)
            .max_number_of_messages(i32::try_from(messages).unwrap_or(1))
            .wait_time_seconds(queue_answers::whole_seconds(self.mapping.poll))
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All")
            .customize()
            .config_override(aws_sdk_sqs::config::Builder::new().timeout_config(timeouts));
        Ok(request.send().await?.messages.unwrap_or_default())
    }
}

impl<H, F, E> BatchDelivery<H>
where
    H: Fn(SqsEvent) -> F,
    F: Future<Output = Result<SqsBatchResponse, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    /// Calls the handler with the messages, then settles them with the queue.
    async fn deliver(&self, messages: Vec<Message>) {
        let queue = &self.mapping.queue_url;
        let (done, failed) = match self.invoke(&messages).await {
            Ok(response) => queue_event::split(messages, &response),
            Err(error) => {
                tracing::warn!(
                    queue,
                    messages = messages.len(),
                    error = causes(&error),
                    "batch failed"
                );
                (Vec::new(), messages)
            }
        };
        queue_answers::delete(&self.sqs, queue, &done).await;
        if failed.is_empty() {
            return;
        }
        let ids: Vec<_> = failed.iter().filter_map(Message::message_id).collect();
        tracing::warn!(queue, messages = ids.join(" "), "messages failed, they will come again");
        if let Some(pause) = self.mapping.retry_after {
            queue_answers::make_visible(&self.sqs, queue, &failed, pause).await;
        }
    }

    async fn invoke(&self, messages: &[Message]) -> Result<SqsBatchResponse, InvocationError> {
        let event = queue_event::event(messages, &self.queue_arn);
        let event = event.map_err(|error| InvocationError::Failed(error.into()))?;
        invocation::invoke(&self.handler, event, self.mapping.timeout).await
    }
}

async fn queue_arn(
    sqs: &Client,
    queue_url: &str,
) -> Result<String, SdkError<GetQueueAttributesError>> {
    let request = sqs
        .get_queue_attributes()
        .queue_url(queue_url)
        .attribute_names(QueueAttributeName::QueueArn);
    let attributes = request.send().await?.attributes.unwrap_or_default();
    Ok(attributes.get(&QueueAttributeName::QueueArn).cloned().unwrap_or_default())
}
