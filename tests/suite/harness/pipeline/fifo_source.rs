//! A FIFO queue as Lambda's event source mapping reads it.
//!
//! The queue is the embedded engine on the case's clock: groups, visibility, receive counts, deduplication and the
//! dead-letter queue are its own. Here is what Lambda adds: how much it takes, how many functions run at once, and what it
//! makes of an answer. There is no batching window on a FIFO queue: what is there is handed out.

use super::Outcome;
use super::clock::Clock;
use super::policy::FifoPolicy;
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName};
use handlers::delivery::queue_event;
use serde_json::json;
use std::collections::BTreeSet;

/// A queue, and what of it is with functions.
pub(crate) struct FifoSource {
    sqs: Client,
    pub(crate) url: String,
    arn: String,
    pub(crate) policy: FifoPolicy,
    running: usize,
    /// When messages that were taken and not deleted come back.
    visible_at_ms: BTreeSet<u64>,
    /// Something may have come since the queue was last found empty.
    stirred: bool,
}

/// What is handed to the function.
#[derive(Debug)]
pub(crate) struct FifoBatch {
    pub(crate) messages: Vec<Message>,
    pub(crate) event: SqsEvent,
}

impl FifoSource {
    /// A mapping of that queue, which gets the attributes that the policy says.
    pub(crate) async fn on(sqs: Client, url: &str, policy: FifoPolicy) -> Self {
        let attributes = sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
        let attributes = attributes.send().await.unwrap().attributes.unwrap();
        let redrive: serde_json::Value = serde_json::from_str(&attributes[&QueueAttributeName::RedrivePolicy]).unwrap();
        let dead = &redrive["deadLetterTargetArn"];
        let redrive = json!({"deadLetterTargetArn": dead, "maxReceiveCount": policy.max_receives});
        let request = sqs.set_queue_attributes().queue_url(url);
        let request = request.attributes(QueueAttributeName::RedrivePolicy, redrive.to_string());
        let visibility_s = (policy.visibility_ms / 1_000).to_string();
        request.attributes(QueueAttributeName::VisibilityTimeout, visibility_s).send().await.unwrap();
        let (url, arn) = (url.to_owned(), attributes[&QueueAttributeName::QueueArn].clone());
        Self { sqs, url, arn, policy, running: 0, visible_at_ms: BTreeSet::new(), stirred: true }
    }

    /// Somebody may have sent something.
    pub(crate) fn stir(&mut self) {
        self.stirred = true;
    }

    /// The next batch for a function, if there is something and a function may be called.
    pub(crate) async fn next_batch(&mut self, clock: &Clock) -> Option<FifoBatch> {
        let now_ms = clock.now_ms();
        let later = self.visible_at_ms.split_off(&(now_ms + 1));
        self.stirred |= !std::mem::replace(&mut self.visible_at_ms, later).is_empty();
        if !self.stirred || self.running >= self.policy.max_concurrency {
            return None;
        }
        let messages = self.receive().await;
        if messages.is_empty() {
            self.stirred = false;
            return None;
        }
        self.running += 1;
        self.visible_at_ms.insert(now_ms + self.policy.visibility_ms);
        let event = queue_event::event(&messages, &self.arn).unwrap();
        Some(FifoBatch { messages, event })
    }

    async fn receive(&self) -> Vec<Message> {
        let request = self.sqs.receive_message().queue_url(&self.url).max_number_of_messages(self.policy.batch_size);
        let request = request.message_system_attribute_names(MessageSystemAttributeName::All).wait_time_seconds(0);
        request.send().await.unwrap().messages.unwrap_or_default()
    }

    /// What became of a batch: what is done is deleted, the rest comes back when its visibility timeout is over.
    pub(crate) async fn answer(&mut self, batch: FifoBatch, outcome: &Outcome<SqsBatchResponse>) {
        self.running -= 1;
        let Outcome::Answered(response) = outcome else { return };
        let failed: BTreeSet<&str> =
            response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
        let known: BTreeSet<&str> = batch.messages.iter().filter_map(Message::message_id).collect();
        if !failed.is_subset(&known) {
            return;
        }
        let done = batch.messages.iter().filter(|message| !failed.contains(message.message_id().unwrap()));
        let entries: Vec<_> = done.enumerate().map(|(id, message)| entry(id, message)).collect();
        if entries.is_empty() {
            return;
        }
        // One that has come back already is refused, and will be handled again.
        let request = self.sqs.delete_message_batch().queue_url(&self.url).set_entries(Some(entries));
        request.send().await.unwrap();
        self.stirred = true;
    }

    /// When something comes back, if nothing comes in between.
    pub(crate) fn wakes_at_ms(&self) -> Option<u64> {
        if self.running >= self.policy.max_concurrency { None } else { self.visible_at_ms.first().copied() }
    }
}

fn entry(id: usize, message: &Message) -> DeleteMessageBatchRequestEntry {
    let entry = DeleteMessageBatchRequestEntry::builder().id(id.to_string());
    entry.set_receipt_handle(message.receipt_handle.clone()).build().unwrap()
}
