//! Queues on the local SQS, and a mapping that delivers them.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use crate::harness::stack::serve_queues;
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use aws_sdk_sqs::types::QueueAttributeName;
use handlers::delivery::QueueMapping;
use ledgerfold::clients::{Clients, Endpoints};
use ledgerfold::local::engines::access_key::AccessKey;
use tempfile::TempDir;

use super::event_table::Failure;
use super::{Running, eventually};

/// A separate SQS for each test. It ends with the runtime of the test.
pub(super) struct LocalQueues {
    pub(super) sqs: aws_sdk_sqs::Client,
    _folder: TempDir,
}

impl LocalQueues {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = loopback_sqs::Server::open(
            &folder.path().join("sqs.db"),
            loopback_sqs::Config::default(),
        )
        .unwrap();
        let endpoint = serve_queues(server).await;
        let sqs =
            Clients::loopback(&Endpoints::of_one(&endpoint, AccessKey::generate().unwrap())).sqs;
        Self { sqs, _folder: folder }
    }

    /// Creates a FIFO queue with these additional attributes. Returns its address.
    pub(super) async fn queue(
        &self,
        name: &str,
        attributes: &[(QueueAttributeName, String)],
    ) -> String {
        let mut all = HashMap::from([(QueueAttributeName::FifoQueue, "true".to_owned())]);
        all.extend(attributes.iter().cloned());
        let request =
            self.sqs.create_queue().queue_name(format!("{name}.fifo")).set_attributes(Some(all));
        request.send().await.unwrap().queue_url.unwrap()
    }

    /// Sends messages of one group, one after the other; the body is also the deduplication id.
    pub(super) async fn send(&self, queue_url: &str, group: &str, bodies: &[&str]) {
        for body in bodies {
            let message = self
                .sqs
                .send_message()
                .queue_url(queue_url)
                .message_group_id(group)
                .message_body(*body);
            message.message_deduplication_id(*body).send().await.unwrap();
        }
    }

    /// Waits until the queue holds that many messages, visible or not.
    pub(super) async fn holds(&self, queue_url: &str, messages: usize) {
        let wanted = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        eventually(&format!("{messages} messages in {queue_url}"), || async {
            let request = self.sqs.get_queue_attributes().queue_url(queue_url);
            let counts = request
                .set_attribute_names(Some(wanted.to_vec()))
                .send()
                .await
                .unwrap()
                .attributes
                .unwrap();
            let held: usize = counts.values().map(|count| count.parse::<usize>().unwrap()).sum();
            (held == messages).then_some(())
        })
        .await;
    }

    pub(super) fn run<H, F>(&self, mapping: QueueMapping, handler: H) -> Running
    where
        H: Fn(SqsEvent) -> F + Send + Sync + 'static,
        F: Future<Output = Result<SqsBatchResponse, Failure>> + Send + 'static,
    {
        Running::start(|stop| mapping.run(self.sqs.clone(), handler, stop))
    }
}

/// A mapping whose failed messages are redelivered at once.
pub(super) fn mapping(queue_url: &str) -> QueueMapping {
    QueueMapping { retry_after: Some(Duration::ZERO), ..QueueMapping::new(queue_url) }
}

pub(super) fn bodies(event: &SqsEvent) -> Vec<String> {
    event.records.iter().map(|message| message.body.clone().unwrap()).collect()
}

pub(super) fn all_done() -> Result<SqsBatchResponse, Failure> {
    Ok(SqsBatchResponse::default())
}

/// A response that names the messages with these bodies as failed.
pub(super) fn failed(event: &SqsEvent, failed: &[&str]) -> Result<SqsBatchResponse, Failure> {
    let mut response = SqsBatchResponse::default();
    for message in &event.records {
        if failed.contains(&message.body.as_deref().unwrap()) {
            response.add_failure(message.message_id.clone().unwrap());
        }
    }
    Ok(response)
}
