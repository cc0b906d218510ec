//! The bookshop's tables and queues on embedded engines. No function runs unless a case calls one.

use super::engine::yielding;
use super::faults::FaultInjector;
use super::fold::ReadModel;
use super::recorder::Recorder;
use super::waiting::ends;
use crate::projections::read_models;
use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_lambda_events::event::streams::DynamoDbEventResponse;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use bookshop::{bestsellers, orders, stock};
use eventstore::{Batch, Commit, Consistency, EventStore, Item, StreamId};
use handlers::{Names, Operations, ProjectorHandler, Route, System};
use ledgerfold::clients::{Clients, Endpoints};
use ledgerfold::local::data_folder::DataFolder;
use ledgerfold::local::event_source::mapping::StreamMapping;
use ledgerfold::local::stack::Stack;
use ledgerfold::resources::{self, Resources};
use loopback_sqs::{Config, Now, Server};
use projections::{Projection, Projector};
use projections::{audit_index, journal};
use serde_json::Value;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(crate) struct TestStack {
    pub(crate) engines: Stack,
    clients: Clients,
    pub(crate) names: Names,
    pub(crate) resources: Resources,
    pub(crate) store: EventStore,
    /// Records the requests of functions, where a case needs them.
    pub(crate) recorder: Option<Arc<Recorder>>,
    folder: TempDir,
}

/// A message that a queue gave out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Received {
    pub(crate) group: String,
    pub(crate) deduplication_id: String,
    pub(crate) body: Value,
}

impl TestStack {
    pub(crate) async fn start() -> Self {
        Self::over(TempDir::new().unwrap()).await
    }

    /// Over a folder that may have data already.
    pub(crate) async fn over(folder: TempDir) -> Self {
        let engines = Stack::start(DataFolder::open(folder.path()).unwrap()).await.unwrap();
        let engines = engines.within_process();
        let clients = yielding(&engines.clients);
        Self::with_clients(engines, clients, folder).await
    }

    /// With queues on that clock.
    pub(crate) async fn with_queues_on(now: Now) -> Self {
        let folder = TempDir::new().unwrap();
        let engines = Stack::start(DataFolder::open(folder.path()).unwrap()).await.unwrap();
        let config = Config { now, ..Config::default() };
        let sqs =
            serve_queues(Server::open(&folder.path().join("queues.db"), config).unwrap()).await;
        let queues = Clients::loopback(&Endpoints { sqs, ..engines.endpoints.clone() });
        let engines = engines.within_process();
        let clients = Clients { sqs: queues.sqs, ..yielding(&engines.clients) };
        Self::with_clients(engines, clients, folder).await
    }

    async fn with_clients(engines: Stack, clients: Clients, folder: TempDir) -> Self {
        let names = Names::new("ledgerfold");
        let resources = resources::create(&bookshop::app(), &clients, &names).await.unwrap();
        let store = clients.system(&bookshop::app(), &names).event_store();
        Self { engines, clients, names, resources, store, recorder: None, folder }
    }

    /// The same, and the requests of functions are recorded.
    pub(crate) fn recorded_by(self, recorder: Arc<Recorder>) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    /// Stops the engines, so that another process can open the folder.
    pub(crate) async fn close(self) -> TempDir {
        self.engines.stop().await;
        self.folder
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn clients(&self) -> &Clients {
        &self.clients
    }

    pub(crate) fn system(&self) -> System {
        self.clients.system(&bookshop::app(), &self.names)
    }

    /// The system of a process whose requests go over that wire.
    pub(crate) fn system_over(&self, wire: &FaultInjector) -> System {
        let (dynamodb, sqs) = (wire.client(&self.clients.dynamodb), wire.sqs(&self.clients.sqs));
        System::new(bookshop::app(), dynamodb, sqs, self.names.clone())
    }

    pub(crate) fn projector(&self) -> Projector {
        self.system().projector()
    }

    pub(crate) fn projector_over(&self, wire: &FaultInjector) -> Projector {
        self.system_over(wire).projector()
    }

    pub(crate) fn handler(&self, projection: Projection) -> ProjectorHandler {
        ProjectorHandler::new(projection, self.projector())
    }

    pub(crate) fn handler_over(
        &self,
        projection: Projection,
        wire: &FaultInjector,
    ) -> ProjectorHandler {
        ProjectorHandler::new(projection, self.projector_over(wire))
    }

    pub(crate) fn operations(&self) -> Operations {
        self.system().operations(self.projector())
    }

    /// The environment variables of a program on this stack.
    pub(crate) fn exports(&self) -> Vec<(String, String)> {
        let endpoints = &self.engines.endpoints;
        let variables = [
            ("AWS_ENDPOINT_URL_DYNAMODB", &*endpoints.dynamodb),
            ("AWS_ENDPOINT_URL_SQS", &endpoints.sqs),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", &endpoints.key.id),
            ("AWS_SECRET_ACCESS_KEY", &endpoints.key.secret),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    // The store.

    /// Every batch of a stream.
    pub(crate) async fn batches(&self, stream: &StreamId) -> Vec<Batch> {
        self.store.load(stream, Consistency::Strong).await.unwrap().batches
    }

    pub(crate) async fn commits(&self, stream: &StreamId) -> Vec<Commit> {
        self.batches(stream).await.into_iter().flat_map(|batch| batch.commits).collect()
    }

    /// The types of a stream's events.
    pub(crate) async fn types(&self, stream: impl std::fmt::Display) -> Vec<String> {
        let events = self
            .commits(&StreamId::new(stream.to_string()).unwrap())
            .await
            .into_iter()
            .flat_map(|commit| commit.events);
        events.map(|event| event.body.event_type).collect()
    }

    /// Puts an item into the table of events past the store.
    pub(crate) async fn put_raw(&self, item: Item) {
        let request =
            self.clients.dynamodb.put_item().table_name(self.names.events()).set_item(Some(item));
        request.send().await.unwrap();
    }

    pub(crate) async fn stream_arn(&self) -> String {
        let table =
            self.clients.dynamodb.describe_table().table_name(self.names.events()).send().await;
        table.unwrap().table.unwrap().latest_stream_arn.unwrap()
    }

    /// The next records of the event table's stream, as Lambda passes them to a function.
    pub(crate) async fn records(&self, count: usize) -> Vec<EventRecord> {
        let mapping = StreamMapping::new(self.stream_arn().await, self.folder().join("records"));
        let (seen, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
        let (sink, enough) = (seen.clone(), stop.clone());
        let handler = move |event: Event| {
            let mut seen = sink.lock().unwrap();
            seen.extend(event.records);
            if seen.len() >= count {
                enough.cancel();
            }
            std::future::ready(Ok::<_, Infallible>(DynamoDbEventResponse::default()))
        };
        let mapping = mapping.woken_by(self.engines.dynamodb.changes());
        ends("records", mapping.run(self.clients.streams.clone(), handler, stop)).await;
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        assert_eq!(seen.len(), count);
        seen
    }

    // Read models.

    /// Every row of every generation in the read-model table.
    pub(crate) async fn rows(&self) -> Vec<Item> {
        let pages =
            self.clients.dynamodb.scan().table_name(self.names.read_models()).consistent_read(true);
        let mut items = pages.into_paginator().items().send();
        let mut rows = Vec::new();
        while let Some(item) = items.next().await {
            rows.push(item.unwrap());
        }
        // Jobs and generations have items of the same table.
        rows.retain(|item| item["row"].as_s().unwrap().split('/').next().unwrap().contains('.'));
        rows
    }

    /// An item of the read-model table.
    pub(crate) async fn row(&self, key: &str) -> Option<Item> {
        let key = AttributeValue::S(key.to_owned());
        let request =
            self.clients.dynamodb.get_item().table_name(self.names.read_models()).key("row", key);
        request.consistent_read(true).send().await.unwrap().item
    }

    pub(crate) async fn read_models(&self) -> ReadModel {
        ReadModel::of_rows(&self.rows().await, "")
    }

    /// Asserts that every row is what the pure fold of these streams says, and that there is no
    /// other.
    pub(crate) async fn assert_exact<'a>(&self, streams: impl IntoIterator<Item = &'a StreamId>) {
        self.assert_exact_after(streams, "").await;
    }

    /// The same. A failure names what happened before.
    pub(crate) async fn assert_exact_after<'a>(
        &self,
        streams: impl IntoIterator<Item = &'a StreamId>,
        what: &str,
    ) {
        assert_eq!(
            self.read_models().await,
            ReadModel::of_streams(&self.store, streams).await,
            "{what}"
        );
    }

    pub(crate) fn projection(&self, name: &str) -> Projection {
        read_models().into_iter().find(|projection| projection.name == name).unwrap()
    }

    // Queues.

    pub(crate) fn route(&self, consumer: &str) -> &Route {
        self.resources.routes.iter().find(|route| route.consumer.name == consumer).unwrap()
    }

    async fn url(&self, queue: &str) -> String {
        self.clients.sqs.get_queue_url().queue_name(queue).send().await.unwrap().queue_url.unwrap()
    }

    /// Sets a queue's attribute.
    pub(crate) async fn set_queue(
        &self,
        queue: &str,
        attribute: QueueAttributeName,
        value: impl ToString,
    ) {
        let request = self.clients.sqs.set_queue_attributes().queue_url(self.url(queue).await);
        request.attributes(attribute, value.to_string()).send().await.unwrap();
    }

    /// Sends a message to a queue. Its id.
    pub(crate) async fn send(&self, queue: &str, group: &str, body: &str) -> String {
        let request =
            self.clients.sqs.send_message().queue_url(self.url(queue).await).message_body(body);
        let id = uuid::Uuid::now_v7().to_string();
        let sent =
            request.message_group_id(group).message_deduplication_id(id).send().await.unwrap();
        sent.message_id.unwrap()
    }

    /// How many messages of a queue are visible.
    pub(crate) async fn waiting(&self, queue: &str) -> usize {
        self.counts(queue, &[QueueAttributeName::ApproximateNumberOfMessages]).await
    }

    /// How many messages a queue holds, visible or not.
    pub(crate) async fn held(&self, queue: &str) -> usize {
        use QueueAttributeName::{
            ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible,
        };
        self.counts(queue, &[ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible])
            .await
    }

    async fn counts(&self, queue: &str, names: &[QueueAttributeName]) -> usize {
        let request = self.clients.sqs.get_queue_attributes().queue_url(self.url(queue).await);
        let counts = request
            .set_attribute_names(Some(names.to_vec()))
            .send()
            .await
            .unwrap()
            .attributes
            .unwrap();
        counts.values().map(|count| count.parse::<usize>().unwrap()).sum()
    }

    /// Receives a message of a queue, which becomes invisible.
    pub(crate) async fn hide_one(&self, queue: &str) {
        let request = self.clients.sqs.receive_message().queue_url(self.url(queue).await);
        let answer = request.visibility_timeout(60).wait_time_seconds(0).send().await.unwrap();
        assert_eq!(answer.messages().len(), 1);
    }

    /// Receives and deletes all visible messages of a queue.
    pub(crate) async fn take_all(&self, queue: &str) -> Vec<Message> {
        let (sqs, url) = (&self.clients.sqs, self.url(queue).await);
        let mut taken = Vec::new();
        loop {
            let request = sqs
                .receive_message()
                .queue_url(&url)
                .max_number_of_messages(10)
                .wait_time_seconds(0);
            let answer = request
                .message_system_attribute_names(MessageSystemAttributeName::All)
                .send()
                .await
                .unwrap();
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

    /// What the queue of a projection gives out until it is empty, in order.
    pub(crate) async fn receive_all(&self, projection: &str) -> Vec<Received> {
        let queue = self.route(projection).queue_url.rsplit('/').next().unwrap();
        let messages = self.take_all(queue).await.into_iter();
        let received = messages.map(|message| {
            let attributes = message.attributes.unwrap();
            Received {
                group: attributes[&MessageSystemAttributeName::MessageGroupId].clone(),
                deduplication_id: attributes[&MessageSystemAttributeName::MessageDeduplicationId]
                    .clone(),
                body: serde_json::from_str(&message.body.unwrap()).unwrap(),
            }
        });
        received.collect()
    }
}

/// Serves queues on loopback until the case's runtime ends. The endpoint.
pub(crate) async fn serve_queues(server: Server) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(server.serve_with_shutdown(listener, std::future::pending()));
    endpoint
}

/// The key of an item of the table of events.
pub(crate) fn event_key(stream: &str, version: u64) -> Item {
    Item::from([
        ("stream_id".to_owned(), AttributeValue::S(stream.to_owned())),
        ("version".to_owned(), AttributeValue::N(version.to_string())),
    ])
}

/// The projections with rows, under new names, so that the same streams can be projected again from
/// nothing.
pub(crate) fn fresh(suffix: &str) -> [Projection; 3] {
    let known = [orders(), stock(), bestsellers()];
    let of_machine = [audit_index::PROJECTION.name, journal::PROJECTION.name];
    let names = [known[0].name, known[1].name, known[2].name, of_machine[0], of_machine[1]];
    assert_eq!(
        read_models().iter().map(|projection| projection.name).collect::<Vec<_>>(),
        names,
        "a projection that these cases do not know"
    );
    known.map(|projection| Projection {
        name: format!("{}{suffix}", projection.name).leak(),
        ..projection
    })
}
