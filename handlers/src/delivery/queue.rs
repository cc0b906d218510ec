//! A FIFO queue: send, receive, count.

use crate::app::identity;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::operation::get_queue_url::GetQueueUrlError;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, Message,
    MessageSystemAttributeName, QueueAttributeName, SendMessageBatchRequestEntry as Entry,
};
use eventstore::ErrorSource;
use std::sync::Arc;

/// The most messages of a request (SQS's limit).
pub(crate) const MAX_ENTRIES: usize = 10;
/// The wait time of a receive, in seconds. Without it SQS may return nothing although messages
/// wait.
const WAIT_S: i32 = 1;
/// The visibility timeout of received messages, in seconds: more than ten of them need.
const TAKEN_S: i32 = 60;

/// A FIFO queue.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    sqs: Client,
    url: String,
}

/// How many messages a queue has, about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageCounts {
    /// Messages that wait.
    pub(crate) waiting: u64,
    /// Received messages that are invisible.
    pub(crate) in_flight: u64,
}

/// A message to send.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    /// JSON.
    pub(crate) body: String,
    /// Handled in order within the group.
    pub(crate) group: String,
    /// The queue drops a second message of the group with it for five minutes; 128 characters at
    /// most.
    pub(crate) deduplication_id: String,
}

/// Why a request to a queue failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueueError {
    /// There is none.
    #[error("there is no queue {queue:?}: `{} tables create` makes it", identity().name)]
    Missing {
        /// Its name.
        queue: String,
        /// SQS's answer.
        #[source]
        source: ErrorSource,
    },
    /// No answer, no rights, or a limit.
    #[error("a request to queue {queue:?} failed")]
    Failed {
        /// Its name or address.
        queue: String,
        /// SQS's answer.
        #[source]
        source: ErrorSource,
    },
    /// It rejected some of the messages, and accepted the others.
    #[error("queue {queue:?} did not take {count} messages, the first for {code}")]
    Refused {
        /// Its address.
        queue: String,
        /// How many.
        count: usize,
        /// SQS's code for the first.
        code: String,
    },
}

impl Queue {
    /// The queue at that address.
    pub(crate) fn new(sqs: Client, url: impl Into<String>) -> Self {
        Self { sqs, url: url.into() }
    }

    /// The queue of that name.
    pub(crate) async fn named(sqs: Client, name: &str) -> Result<Self, QueueError> {
        let queue = name.to_owned();
        match sqs.get_queue_url().queue_name(name).send().await {
            Ok(answer) => match answer.queue_url {
                Some(url) => Ok(Self { sqs, url }),
                None => {
                    Err(QueueError::Failed { queue, source: plain("the answer has no queue URL") })
                }
            },
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(GetQueueUrlError::is_queue_does_not_exist) =>
            {
                Err(QueueError::Missing { queue, source: Arc::new(error) })
            }
            Err(error) => Err(QueueError::Failed { queue, source: Arc::new(error) }),
        }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sends messages, ten at a time.
    pub(crate) async fn send(&self, messages: &[Outgoing]) -> Result<(), QueueError> {
        for messages in messages.chunks(MAX_ENTRIES) {
            let entries = messages.iter().enumerate().map(|(id, message)| message.entry(id));
            let entries =
                entries.collect::<Result<Vec<_>, _>>().map_err(|error| self.failed(error))?;
            let answer = self
                .sqs
                .send_message_batch()
                .queue_url(&self.url)
                .set_entries(Some(entries))
                .send()
                .await;
            let answer = answer.map_err(|error| self.failed(error))?;
            self.all_accepted(answer.failed())?;
        }
        Ok(())
    }

    /// Takes up to ten messages for a minute; none when the queue has been empty for a second.
    pub(crate) async fn take(&self) -> Result<Vec<Message>, QueueError> {
        self.receive(MAX_ENTRIES, TAKEN_S).await
    }

    /// Receives at most so many messages, which become invisible for that time; none when the queue
    /// has been empty for a second.
    pub(crate) async fn receive(
        &self,
        most: usize,
        invisible_s: i32,
    ) -> Result<Vec<Message>, QueueError> {
        let most = i32::try_from(most.min(MAX_ENTRIES)).unwrap_or(1);
        let request = self.sqs.receive_message().queue_url(&self.url).max_number_of_messages(most);
        let request = request.wait_time_seconds(WAIT_S).visibility_timeout(invisible_s);
        let answer =
            request.message_system_attribute_names(MessageSystemAttributeName::All).send().await;
        Ok(answer.map_err(|error| self.failed(error))?.messages.unwrap_or_default())
    }

    /// Removes a message that was taken.
    pub(crate) async fn delete(&self, message: &Message) -> Result<(), QueueError> {
        let request = self.sqs.delete_message().queue_url(&self.url);
        let answer = request.set_receipt_handle(message.receipt_handle.clone()).send().await;
        answer.map(drop).map_err(|error| self.failed(error))
    }

    /// Makes received messages visible again, ten at a time. All are tried. The error is the first
    /// one.
    pub(crate) async fn give_back(&self, receipt_handles: &[String]) -> Result<(), QueueError> {
        let mut given_back = Ok(());
        for handles in receipt_handles.chunks(MAX_ENTRIES) {
            given_back = given_back.and(self.give_back_ten(handles).await);
        }
        given_back
    }

    async fn give_back_ten(&self, receipt_handles: &[String]) -> Result<(), QueueError> {
        let entries = receipt_handles.iter().enumerate().map(|(id, handle)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(id.to_string());
            entry.receipt_handle(handle).visibility_timeout(0).build()
        });
        let entries = entries.collect::<Result<Vec<_>, _>>().map_err(|error| self.failed(error))?;
        let request = self.sqs.change_message_visibility_batch().queue_url(&self.url);
        let answer = request.set_entries(Some(entries)).send().await;
        self.all_accepted(answer.map_err(|error| self.failed(error))?.failed())
    }

    fn all_accepted(&self, refused: &[BatchResultErrorEntry]) -> Result<(), QueueError> {
        let Some(first) = refused.first() else { return Ok(()) };
        let (count, code) = (refused.len(), first.code().to_owned());
        Err(QueueError::Refused { queue: self.url.clone(), count, code })
    }

    /// How many messages are in it, about: waiting and in flight.
    pub(crate) async fn count(&self) -> Result<u64, QueueError> {
        let MessageCounts { waiting, in_flight } = self.counts().await?;
        Ok(waiting + in_flight)
    }

    /// The same, apart.
    pub(crate) async fn counts(&self) -> Result<MessageCounts, QueueError> {
        let counted = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let request = self
            .sqs
            .get_queue_attributes()
            .queue_url(&self.url)
            .set_attribute_names(Some(counted.to_vec()));
        let attributes = request
            .send()
            .await
            .map_err(|error| self.failed(error))?
            .attributes
            .unwrap_or_default();
        let number =
            |name| attributes.get(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let [waiting, in_flight] = counted.each_ref().map(number);
        Ok(MessageCounts { waiting, in_flight })
    }

    fn failed(&self, source: impl std::error::Error + Send + Sync + 'static) -> QueueError {
        QueueError::Failed { queue: self.url.clone(), source: Arc::new(source) }
    }
}

impl Outgoing {
    fn entry(&self, id: usize) -> Result<Entry, BuildError> {
        let entry = Entry::builder()
            .id(id.to_string())
            .message_body(&self.body)
            .message_group_id(&self.group);
        entry.message_deduplication_id(&self.deduplication_id).build()
    }
}

fn plain(text: &'static str) -> ErrorSource {
    Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(text))
}
