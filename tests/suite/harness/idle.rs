//! A system on which nobody works: its engines, tables and queues, and no handler of anything.
#![cfg(test)]

use crate::harness::recorder::Recorder;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use eventstore::EventStore;
use handlers::{Names, Operations};
use ledgerfold::clients::Clients;
use ledgerfold::local::data_dir::DataDir;
use ledgerfold::local::stack::Stack;
use ledgerfold::resources;
use projections::Projector;
use std::sync::Arc;
use tempfile::TempDir;

pub(crate) struct Idle {
    stack: Stack,
    pub(crate) names: Names,
    folder: TempDir,
    /// Keeps what functions ask for, where a case looks at that.
    pub(crate) recorder: Option<Arc<Recorder>>,
}

impl Idle {
    pub(crate) async fn start() -> Self {
        Self::over(TempDir::new().unwrap()).await
    }

    /// Over a folder that has been worked on before.
    pub(crate) async fn over(folder: TempDir) -> Self {
        let stack = Stack::start(DataDir::open(folder.path()).unwrap()).await.unwrap();
        let names = Names::new("ledgerfold");
        resources::create(&bookshop::app(), &stack.clients, &names).await.unwrap();
        Self { stack, names, folder, recorder: None }
    }

    /// The same, and what functions ask for is kept.
    pub(crate) fn recorded_by(self, recorder: Arc<Recorder>) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    /// Stops the engines, so that somebody else can have the folder.
    pub(crate) async fn close(self) -> TempDir {
        self.stack.stop().await;
        self.folder
    }

    /// Where its data lie.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn clients(&self) -> &Clients {
        &self.stack.clients
    }

    pub(crate) fn store(&self) -> EventStore {
        self.clients().system(&bookshop::app(), &self.names).event_store()
    }

    pub(crate) fn projector(&self) -> Projector {
        self.clients().system(&bookshop::app(), &self.names).projector()
    }

    pub(crate) fn operations(&self) -> Operations {
        self.clients().system(&bookshop::app(), &self.names).operations(self.projector())
    }

    /// The environment in which its operator works.
    pub(crate) fn exports(&self) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ENDPOINT_URL_DYNAMODB", self.stack.dynamodb.endpoint()),
            ("AWS_ENDPOINT_URL_SQS", self.stack.sqs.endpoint()),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", &self.stack.endpoints.key.id),
            ("AWS_SECRET_ACCESS_KEY", &self.stack.endpoints.key.secret),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    async fn url(&self, queue: &str) -> String {
        self.clients().sqs.get_queue_url().queue_name(queue).send().await.unwrap().queue_url.unwrap()
    }

    /// Puts a message into a queue; its id.
    pub(crate) async fn send(&self, queue: &str, group: &str, body: &str) -> String {
        let request = self.clients().sqs.send_message().queue_url(self.url(queue).await).message_body(body);
        let id = uuid::Uuid::now_v7().to_string();
        let sent = request.message_group_id(group).message_deduplication_id(id).send().await.unwrap();
        sent.message_id.unwrap()
    }

    /// How many messages wait in a queue.
    pub(crate) async fn waiting(&self, queue: &str) -> usize {
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let request = self.clients().sqs.get_queue_attributes().queue_url(self.url(queue).await);
        let attributes = request.attribute_names(name.clone()).send().await.unwrap().attributes.unwrap();
        attributes[&name].parse().unwrap()
    }

    /// Takes and removes everything that waits in a queue.
    pub(crate) async fn take_all(&self, queue: &str) -> Vec<Message> {
        let (sqs, url) = (&self.clients().sqs, self.url(queue).await);
        let mut taken = Vec::new();
        loop {
            let request = sqs.receive_message().queue_url(&url).max_number_of_messages(10);
            let answer = request.message_system_attribute_names(MessageSystemAttributeName::All).send().await.unwrap();
            let messages = answer.messages.unwrap_or_default();
            if messages.is_empty() {
                return taken;
            }
            for message in messages {
                let handle = message.receipt_handle().unwrap();
                sqs.delete_message().queue_url(&url).receipt_handle(handle).send().await.unwrap();
                taken.push(message);
            }
        }
    }
}
