//! A table with a stream on the embedded engine, and a mapping that delivers it.

use std::future::Future;
use std::path::PathBuf;

use crate::harness::engine::dynamodb;
use aws_lambda_events::event::dynamodb::Event;
use aws_lambda_events::event::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType, StreamSpecification, StreamViewType,
};
use ledgerfold::clients::Clients;
use ledgerfold::local::engines::dynamodb::DynamoDb;
use ledgerfold::local::event_source::mapping::StreamMapping;
use tempfile::TempDir;

use super::Running;

pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(super) struct EventTable {
    pub(super) folder: TempDir,
    pub(super) engine: DynamoDb,
    pub(super) clients: Clients,
    pub(super) stream_arn: String,
}

impl EventTable {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (engine, clients) = dynamodb(&folder.path().join("dynamodb.db")).await;
        let stream_arn = create_table(&clients, "events").await;
        Self { folder, engine, clients, stream_arn }
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder.path().join("dynamodb.db")
    }

    pub(super) fn mapping(&self) -> StreamMapping {
        let file = self.folder.path().join("checkpoint.json");
        StreamMapping::new(&self.stream_arn, file).woken_by(self.engine.changes())
    }

    pub(super) fn run<H, F>(&self, mapping: StreamMapping, handler: H) -> Running
    where
        H: Fn(Event) -> F + Send + Sync + 'static,
        F: Future<Output = Result<DynamoDbEventResponse, Failure>> + Send + 'static,
    {
        Running::start(|stop| mapping.run(self.clients.streams.clone(), handler, stop))
    }

    /// Puts items with these numbers, one after the other.
    pub(super) async fn put(&self, numbers: impl IntoIterator<Item = usize>) {
        put(&self.clients, "events", numbers).await;
    }
}

/// The answer is the stream's ARN.
pub(super) async fn create_table(clients: &Clients, table: &str) -> String {
    let hash =
        KeySchemaElement::builder().attribute_name("n").key_type(KeyType::Hash).build().unwrap();
    let number =
        AttributeDefinition::builder().attribute_name("n").attribute_type(ScalarAttributeType::N);
    let stream = StreamSpecification::builder()
        .stream_enabled(true)
        .stream_view_type(StreamViewType::NewImage);
    let request = clients
        .dynamodb
        .create_table()
        .table_name(table)
        .key_schema(hash)
        .billing_mode(BillingMode::PayPerRequest);
    let request = request
        .attribute_definitions(number.build().unwrap())
        .stream_specification(stream.build().unwrap());
    request.send().await.unwrap().table_description.unwrap().latest_stream_arn.unwrap()
}

pub(super) async fn put(clients: &Clients, table: &str, numbers: impl IntoIterator<Item = usize>) {
    for number in numbers {
        let item = clients
            .dynamodb
            .put_item()
            .table_name(table)
            .item("n", AttributeValue::N(number.to_string()));
        item.send().await.unwrap();
    }
}

/// The numbers of a batch's items.
pub(super) fn numbers(event: &Event) -> Vec<usize> {
    let number =
        |item: &serde_dynamo::Item| serde_dynamo::from_item::<_, Numbered>(item.clone()).unwrap().n;
    event.records.iter().map(|record| number(&record.change.new_image)).collect()
}

#[derive(serde::Deserialize)]
struct Numbered {
    n: usize,
}

pub(super) fn all_done() -> Result<DynamoDbEventResponse, Failure> {
    Ok(DynamoDbEventResponse::default())
}

/// A response that names the items with these numbers as failed.
pub(super) fn failed(event: &Event, failed: &[usize]) -> Result<DynamoDbEventResponse, Failure> {
    let records =
        event.records.iter().zip(numbers(event)).filter(|(_, number)| failed.contains(number));
    Ok(response(records.map(|(record, _)| record.change.sequence_number.clone().unwrap())))
}

/// A response that names these sequence numbers as failed.
pub(super) fn response(failed: impl IntoIterator<Item = String>) -> DynamoDbEventResponse {
    let failure = |sequence_number| {
        let mut failure = DynamoDbBatchItemFailure::default();
        failure.item_identifier = Some(sequence_number);
        failure
    };
    let mut response = DynamoDbEventResponse::default();
    response.batch_item_failures = failed.into_iter().map(failure).collect();
    response
}
