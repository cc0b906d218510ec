//! Messages as SQS delivers them to a Lambda function.

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use eventstore::Batch;
use handlers::{NotificationMessage, ProjectorHandler};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A message of a FIFO queue.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) group: String,
    pub(crate) body: Option<String>,
    /// The receive count, this time included.
    pub(crate) receives: u32,
}

impl Message {
    pub(crate) fn new(group: &str, body: &str) -> Self {
        let id = format!("message-{}", NEXT_ID.fetch_add(1, Ordering::Relaxed));
        Self { id, group: group.to_owned(), body: Some(body.to_owned()), receives: 1 }
    }

    /// The message of fan-out for the batch.
    pub(crate) fn of(batch: &Batch) -> Self {
        Self::new(batch.stream.as_str(), &body_of(batch))
    }

    /// The message of fan-out for a batch that is too large for it.
    pub(crate) fn address_of(batch: &Batch) -> Self {
        let mut announcement = NotificationMessage::address(batch.stream.clone(), batch.version());
        announcement.last_version = batch.last_version();
        Self::new(batch.stream.as_str(), &serde_json::to_string(&announcement).unwrap())
    }

    fn json(&self) -> Value {
        json!({
            "messageId": self.id,
            "receiptHandle": "receipt",
            "body": self.body,
            "attributes": {"ApproximateReceiveCount": self.receives.to_string(), "MessageGroupId": self.group},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-west-1:000000000000:a.fifo",
            "awsRegion": "eu-west-1",
        })
    }
}

pub(crate) fn body_of(batch: &Batch) -> String {
    serde_json::to_string(&NotificationMessage::of(batch).unwrap()).unwrap()
}

/// A message for each batch.
pub(crate) fn messages_of<'a>(batches: impl IntoIterator<Item = &'a Batch>) -> Vec<Message> {
    batches.into_iter().map(Message::of).collect()
}

pub(crate) fn ids<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Vec<String> {
    messages.into_iter().map(|message| message.id.clone()).collect()
}

/// Gives the messages to the handler in one event. Returns the ids to redeliver, in the order of
/// the messages.
pub(crate) async fn deliver(handler: &ProjectorHandler, messages: &[Message]) -> Vec<String> {
    told_again(messages, handler.handle(event_of(messages)).await)
}

/// The messages as one event of Lambda.
pub(crate) fn event_of(messages: &[Message]) -> SqsEvent {
    let records: Vec<Value> = messages.iter().map(Message::json).collect();
    serde_json::from_value(json!({ "Records": records })).unwrap()
}

/// The ids of the messages to redeliver, in the order of the messages.
pub(crate) fn told_again(messages: &[Message], response: SqsBatchResponse) -> Vec<String> {
    let failed: Vec<String> =
        response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
    assert!(
        failed.iter().all(|id| messages.iter().any(|message| message.id == *id)),
        "{failed:?} were not delivered"
    );
    let again = messages.iter().filter(|message| failed.contains(&message.id));
    ids(again)
}
