//! Models Lambda's event source mapping of a FIFO queue.
//!
//! The embedded engine with the case's clock provides groups, visibility, receive counts,
//! deduplication and the dead-letter queue. This model adds Lambda's part: batch size, concurrency
//! and the handling of responses. FIFO queues have no batching window.

use super::Outcome;
use super::clock::Clock;
use super::policy::FifoPolicy;
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName,
};
use handlers::delivery::queue_event;
use serde_json::json;
use std::collections::BTreeSet;

/// A queue, and its messages in flight.
pub(crate) struct FifoSource {
    sqs: Client,
    pub(crate) url: String,
    arn: String,
    pub(crate) policy: FifoPolicy,
    running: usize,
    /// When undeleted messages become visible.
    visible_at_ms: BTreeSet<u64>,
    /// Whether a message may have arrived since the queue was empty.
    stirred: bool,
}

/// An invocation's batch.
#[derive(Debug)]
pub(crate) struct FifoBatch {
    pub(crate) messages: Vec<Message>,
    pub(crate) event: SqsEvent,
}

impl FifoSource {
    /// A mapping of the queue, which gets the attributes of the policy.
    pub(crate) async fn on(sqs: Client, url: &str, policy: FifoPolicy) -> Self {
        let attributes =
            sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
        let attributes = attributes.send().await.unwrap().attributes.unwrap();
        let redrive: serde_json::Value =
            serde_json::from_str(&attributes[&QueueAttributeName::RedrivePolicy]).unwrap();
        let dead = &redrive["deadLetterTargetArn"];
        let redrive = json!({"deadLetterTargetArn": dead, "maxReceiveCount": policy.max_receives});
        let request = sqs.set_queue_attributes().queue_url(url);
        let request = request.attributes(QueueAttributeName::RedrivePolicy, redrive.to_string());
        let visibility_s = (policy.visibility_ms / 1_000).to_string();
        request
            .attributes(QueueAttributeName::VisibilityTimeout, visibility_s)
            .send()
            .await
            .unwrap();
        let (url, arn) = (url.to_owned(), attributes[&QueueAttributeName::QueueArn].clone());
        Self { sqs, url, arn, policy, running: 0, visible_at_ms: BTreeSet::new(), stirred: true }
    }

    /// Notes that a message may have arrived.
    pub(crate) fn stir(&mut self) {
        self.stirred = true;
    }

    /// The next batch, if there are messages and the concurrency allows it.
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
        let request = self
            .sqs
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(self.policy.batch_size);
        let request = request
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .wait_time_seconds(0);
        request.send().await.unwrap().messages.unwrap_or_default()
    }

    /// Ends a batch: handled messages are deleted, others become visible after their timeout.
    pub(crate) async fn answer(&mut self, batch: FifoBatch, outcome: &Outcome<SqsBatchResponse>) {
        self.running -= 1;
        let Outcome::Answered(response) = outcome else { return };
        let failed: BTreeSet<&str> = response
            .batch_item_failures
            .iter()
            .map(|failure| failure.item_identifier.as_str())
            .collect();
        let known: BTreeSet<&str> = batch.messages.iter().filter_map(Message::message_id).collect();
        if !failed.is_subset(&known) {
            return;
        }
        let done =
            batch.messages.iter().filter(|message| !failed.contains(message.message_id().unwrap()));
        let entries: Vec<_> = done.enumerate().map(|(id, message)| entry(id, message)).collect();
        if entries.is_empty() {
            return;
        }
        // If a message is visible again, its deletion fails and it is handled again.
        let request =
            self.sqs.delete_message_batch().queue_url(&self.url).set_entries(Some(entries));
        request.send().await.unwrap();
        self.stirred = true;
    }

    /// When the next message becomes visible.
    pub(crate) fn wakes_at_ms(&self) -> Option<u64> {
        if self.running >= self.policy.max_concurrency {
            None
        } else {
            self.visible_at_ms.first().copied()
        }
    }
}

fn entry(id: usize, message: &Message) -> DeleteMessageBatchRequestEntry {
    let entry = DeleteMessageBatchRequestEntry::builder().id(id.to_string());
    entry.set_receipt_handle(message.receipt_handle.clone()).build().unwrap()
}
