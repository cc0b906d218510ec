//! The engines over a temporary folder, with everything that Ledgerfold makes there.

use super::fold::ReadModel;
use crate::harness::fault_wire::Wire;
use crate::projections::read_models;
use aws_lambda_events::event::dynamodb::EventRecord;
use aws_lambda_events::event::streams::DynamoDbEventResponse;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::MessageSystemAttributeName;
use bookshop::{bestsellers, orders, stock};
use eventstore::{EventStore, Item, StreamId};
use handlers::{Names, ProjectorHandler, Route};
use ledgerfold::clients::Clients;
use ledgerfold::local::data_dir::DataDir;
use ledgerfold::local::stack::Stack;
use ledgerfold::local::stream_mapping::StreamMapping;
use ledgerfold::resources::{self, Resources};
use projections::audit_index::{self, AuditIndex};
use projections::{Projection, Projector, ReadModels};
use serde_json::Value;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Far above what any case needs, so that only a broken one meets it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) stack: Stack,
    pub(crate) names: Names,
    pub(crate) resources: Resources,
    pub(crate) store: EventStore,
    folder: TempDir,
}

/// What a queue gives out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Received {
    pub(crate) group: String,
    pub(crate) deduplication_id: String,
    pub(crate) body: Value,
}

impl World {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stack = Stack::start(DataDir::open(folder.path()).unwrap()).await.unwrap();
        let names = Names::new("test");
        let resources = resources::create(&bookshop::app(), &stack.clients, &names).await.unwrap();
        let store = stack.clients.system(&bookshop::app(), &names).event_store();
        Self { stack, names, resources, store, folder }
    }

    pub(crate) fn clients(&self) -> &Clients {
        &self.stack.clients
    }

    pub(crate) fn projector(&self) -> Projector {
        self.clients().system(&bookshop::app(), &self.names).projector()
    }

    /// A projector that speaks over a wire of its own.
    pub(crate) fn projector_over(&self, wire: &Wire) -> Projector {
        let client = wire.client(&self.clients().dynamodb);
        let read_models = ReadModels::new(client.clone(), self.names.read_models());
        let audit_index = AuditIndex::new(client.clone(), self.names.audit_index());
        Projector::new(EventStore::new(client, self.names.events()), read_models, audit_index)
    }

    pub(crate) fn handler(&self, projection: Projection) -> ProjectorHandler {
        ProjectorHandler::new(projection, self.projector())
    }

    pub(crate) fn handler_over(&self, projection: Projection, wire: &Wire) -> ProjectorHandler {
        ProjectorHandler::new(projection, self.projector_over(wire))
    }

    pub(crate) fn route(&self, name: &str) -> &Route {
        self.resources.routes.iter().find(|route| route.consumer.name == name).unwrap()
    }

    pub(crate) fn projection(&self, name: &str) -> Projection {
        read_models().into_iter().find(|projection| projection.name == name).unwrap()
    }

    /// Every row of every generation in the read-model table.
    pub(crate) async fn rows(&self) -> Vec<Item> {
        rows(self.clients(), &self.names).await
    }

    /// Asserts that every row is what the pure fold of these streams says, and that there is no other.
    pub(crate) async fn assert_exact<'a>(&self, streams: impl IntoIterator<Item = &'a StreamId>) {
        let found = ReadModel::of_rows(&self.rows().await, "");
        assert_eq!(found, ReadModel::of_streams(&self.store, streams).await);
    }

    /// The next records of the event table's stream, as Lambda hands them to a function.
    pub(crate) async fn records(&self, count: usize) -> Vec<EventRecord> {
        let description = self.clients().dynamodb.describe_table().table_name(self.names.events()).send().await;
        let arn = description.unwrap().table.unwrap().latest_stream_arn.unwrap();
        let mapping =
            StreamMapping::new(arn, self.folder.path().join("records")).woken_by(self.stack.dynamodb.changes());
        let (seen, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
        let (sink, enough) = (seen.clone(), stop.clone());
        let handler = move |event: aws_lambda_events::event::dynamodb::Event| {
            let mut seen = sink.lock().unwrap();
            seen.extend(event.records);
            if seen.len() >= count {
                enough.cancel();
            }
            std::future::ready(Ok::<_, Infallible>(DynamoDbEventResponse::default()))
        };
        let run = mapping.run(self.clients().streams.clone(), handler, stop);
        tokio::time::timeout(PATIENCE, run).await.expect("the records do not come");
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        assert_eq!(seen.len(), count);
        seen
    }

    /// Everything that the projection's queue gives out until it is empty, in order.
    pub(crate) async fn receive_all(&self, projection: &str) -> Vec<Received> {
        let (sqs, url) = (&self.clients().sqs, &self.route(projection).queue_url);
        let mut received = Vec::new();
        loop {
            let request = sqs.receive_message().queue_url(url).max_number_of_messages(10).wait_time_seconds(0);
            let answer = request.message_system_attribute_names(MessageSystemAttributeName::All).send().await.unwrap();
            if answer.messages().is_empty() {
                return received;
            }
            for message in answer.messages.unwrap_or_default() {
                let handle = message.receipt_handle.unwrap();
                sqs.delete_message().queue_url(url).receipt_handle(handle).send().await.unwrap();
                let attributes = message.attributes.unwrap();
                received.push(Received {
                    group: attributes[&MessageSystemAttributeName::MessageGroupId].clone(),
                    deduplication_id: attributes[&MessageSystemAttributeName::MessageDeduplicationId].clone(),
                    body: serde_json::from_str(&message.body.unwrap()).unwrap(),
                });
            }
        }
    }

    /// Puts an item into the table of events past the store.
    pub(crate) async fn put_raw(&self, item: Item) {
        let request = self.clients().dynamodb.put_item().table_name(self.names.events()).set_item(Some(item));
        request.send().await.unwrap();
    }
}

/// Every row of every generation in the read-model table.
pub(crate) async fn rows(clients: &Clients, names: &Names) -> Vec<Item> {
    let pages = clients.dynamodb.scan().table_name(names.read_models()).consistent_read(true);
    let mut items = pages.into_paginator().items().send();
    let mut rows = Vec::new();
    while let Some(item) = items.next().await {
        rows.push(item.unwrap());
    }
    // How jobs and generations stand is beside the rows, and none of them.
    rows.retain(|item| item["row"].as_s().unwrap().split('/').next().unwrap().contains('.'));
    rows
}

/// The key of an item of the table of events.
pub(crate) fn event_key(stream: &str, version: u64) -> Item {
    Item::from([
        ("stream_id".to_owned(), AttributeValue::S(stream.to_owned())),
        ("version".to_owned(), AttributeValue::N(version.to_string())),
    ])
}

/// The projections with rows, under names of their own, so that the same streams can be projected again from nothing.
pub(crate) fn fresh(suffix: &str) -> [Projection; 3] {
    let known = [orders(), stock(), bestsellers()];
    let names = [known[0].name, known[1].name, known[2].name, audit_index::PROJECTION.name];
    assert_eq!(
        read_models().iter().map(|projection| projection.name).collect::<Vec<_>>(),
        names,
        "a projection that these cases do not know"
    );
    known.map(|projection| Projection { name: format!("{}{suffix}", projection.name).leak(), ..projection })
}

/// Looks until it is so.
pub(crate) async fn eventually(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !look().await {
        assert!(Instant::now() < deadline, "did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
