//! The engine under test, and the few calls that every case needs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use ledgerfold::clients::Clients;
use loopback_sqs::{Config, Server};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(super) use crate::harness::engine::EngineKind;
use crate::harness::engine::named;

/// The time limit of a wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// An SQS engine and a client for it.
pub(super) struct QueueEngine {
    pub(super) client: Client,
    pub(super) kind: EngineKind,
    embedded: Option<Embedded>,
}

struct Embedded {
    folder: TempDir,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
}

impl QueueEngine {
    /// The engine that the environment names, or the embedded one on a new file.
    pub(super) async fn start() -> Self {
        match named() {
            Some((endpoint, kind)) => {
                Self { client: client(&endpoint).await, kind, embedded: None }
            }
            None => Self::embedded(tempfile::tempdir().unwrap(), Config::default()).await,
        }
    }

    async fn embedded(folder: TempDir, config: Config) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::open(&folder.path().join("queues.db"), config).unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(server.serve_with_shutdown(listener, async move {
            // Dropping an engine stops it, too.
            let _ = stopped.await;
        }));
        let embedded = Some(Embedded { folder, stop, served });
        Self { client: client(&endpoint).await, kind: EngineKind::Embedded, embedded }
    }

    /// Stops the embedded engine; other engines go on running.
    pub(super) async fn stop(self) {
        if let Some(Embedded { stop, served, folder }) = self.embedded {
            drop(self.client);
            stop.send(()).unwrap();
            served.await.unwrap().unwrap();
            drop(folder);
        }
    }

    /// A second embedded engine on copies of the open files, as a killed process leaves them.
    pub(super) async fn as_if_killed(&self) -> Option<Self> {
        self.as_if_killed_with(Config::default()).await
    }

    /// The same, with other settings.
    pub(super) async fn as_if_killed_with(&self, config: Config) -> Option<Self> {
        let embedded = self.embedded.as_ref()?;
        let folder = tempfile::tempdir().unwrap();
        for file in files(embedded.folder.path()) {
            std::fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
        }
        Some(Self::embedded(folder, config).await)
    }

    /// A name that no other case uses.
    pub(super) fn name(&self, suffix: &str) -> String {
        format!("case-{:016x}{suffix}", fastrand::u64(..))
    }

    pub(super) async fn queue(&self) -> String {
        self.queue_with(&[]).await
    }

    pub(super) async fn queue_with(&self, attributes: &[(QueueAttributeName, &str)]) -> String {
        self.create(&self.name(""), attributes).await
    }

    /// A FIFO queue with content-based deduplication.
    pub(super) async fn fifo(&self) -> String {
        self.fifo_with(&[(QueueAttributeName::ContentBasedDeduplication, "true")]).await
    }

    pub(super) async fn fifo_with(&self, attributes: &[(QueueAttributeName, &str)]) -> String {
        let all = [&[(QueueAttributeName::FifoQueue, "true")], attributes].concat();
        self.create(&self.name(".fifo"), &all).await
    }

    pub(super) async fn create(
        &self,
        name: &str,
        attributes: &[(QueueAttributeName, &str)],
    ) -> String {
        let request = attributes
            .iter()
            .fold(self.client.create_queue().queue_name(name), |r, (name, value)| {
                r.attributes(name.clone(), *value)
            });
        request.send().await.unwrap().queue_url.unwrap()
    }

    pub(super) async fn attribute(&self, url: &str, name: QueueAttributeName) -> Option<String> {
        let request =
            self.client.get_queue_attributes().queue_url(url).attribute_names(name.clone());
        request.send().await.unwrap().attributes.unwrap_or_default().remove(&name)
    }

    pub(super) async fn set(&self, url: &str, name: QueueAttributeName, value: &str) {
        self.client
            .set_queue_attributes()
            .queue_url(url)
            .attributes(name, value)
            .send()
            .await
            .unwrap();
    }

    pub(super) async fn arn(&self, url: &str) -> String {
        self.attribute(url, QueueAttributeName::QueueArn).await.unwrap()
    }

    /// Sends and returns the message id.
    pub(super) async fn send(&self, url: &str, body: &str) -> String {
        self.client
            .send_message()
            .queue_url(url)
            .message_body(body)
            .send()
            .await
            .unwrap()
            .message_id
            .unwrap()
    }

    pub(super) async fn send_to_group(&self, url: &str, group: &str, body: &str) {
        let request =
            self.client.send_message().queue_url(url).message_body(body).message_group_id(group);
        request.send().await.unwrap();
    }

    /// Up to `most` messages, without waiting.
    pub(super) async fn receive(&self, url: &str, most: i32) -> Vec<Message> {
        self.receive_waiting(url, most, 0).await
    }

    pub(super) async fn receive_waiting(&self, url: &str, most: i32, wait_s: i32) -> Vec<Message> {
        let request = self.client.receive_message().queue_url(url).max_number_of_messages(most);
        let request = request.wait_time_seconds(wait_s).message_attribute_names("All");
        let request = request.message_system_attribute_names(MessageSystemAttributeName::All);
        request.send().await.unwrap().messages.unwrap_or_default()
    }

    /// Receives until there are `count` messages.
    pub(super) async fn await_messages(&self, url: &str, count: usize) -> Vec<Message> {
        let deadline = Instant::now() + PATIENCE;
        let mut messages = Vec::new();
        while messages.len() < count {
            assert!(Instant::now() < deadline, "only {} of {count} messages came", messages.len());
            messages.extend(self.receive_waiting(url, 10, 1).await);
        }
        messages
    }

    pub(super) async fn delete(&self, url: &str, message: &Message) {
        self.client
            .delete_message()
            .queue_url(url)
            .receipt_handle(handle(message))
            .send()
            .await
            .unwrap();
    }

    pub(super) async fn hide(&self, url: &str, message: &Message, seconds: i32) {
        let request =
            self.client.change_message_visibility().queue_url(url).receipt_handle(handle(message));
        request.visibility_timeout(seconds).send().await.unwrap();
    }

    /// The redrive policy of a queue whose dead-letter queue is `url`.
    pub(super) async fn redrive_to(&self, url: &str, max_receives: u32) -> String {
        format!(
            r#"{{"deadLetterTargetArn":"{}","maxReceiveCount":{max_receives}}}"#,
            self.arn(url).await
        )
    }
}

/// A client that does not retry, and whose time-out allows long polls.
async fn client(endpoint: &str) -> Client {
    let config = Clients::at(endpoint).await.sqs.config().to_builder();
    let config =
        config.retry_config(RetryConfig::disabled()).timeout_config(TimeoutConfig::disabled());
    Client::from_conf(config.build())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

pub(super) fn handle(message: &Message) -> &str {
    message.receipt_handle().unwrap()
}

pub(super) fn bodies(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.body().unwrap()).collect()
}

pub(super) fn sorted_bodies(messages: &[Message]) -> Vec<&str> {
    let mut bodies = bodies(messages);
    bodies.sort_unstable();
    bodies
}

/// The error code of a call that must fail.
pub(super) fn code<T, E: ProvideErrorMetadata>(result: Result<T, SdkError<E>>) -> String {
    match result {
        Ok(_) => panic!("the call was accepted"),
        Err(error) => error.code().unwrap_or("no code").to_owned(),
    }
}
