//! The engine under test, its tables, and the processes that use them.

use super::{Refusal, TALLY, Tally, TallyEvent};
use crate::harness::engine::{EngineKind, dynamodb, named};
use crate::harness::wire::Wire;
use crate::store::transaction::handle_all::{Moved, Overdrawn, PURSE};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryPartition;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use eventstore::{
    Appended, CommandHandler, Consistency, EventStore, HandlerOptions, Head, Item, LoadedStream,
    NewCommit, Options, StreamId,
};
use ledgerfold::clients::Clients;
use ledgerfold::local::engines::dynamodb::DynamoDb;
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;

/// A DynamoDB engine.
pub(super) struct Engine {
    pub(super) kind: EngineKind,
    client: Client,
    embedded: Option<(DynamoDb, TempDir)>,
    /// To be deleted where the engine stays.
    tables: Mutex<Vec<String>>,
}

/// A table of events of its own: the embedded engine remembers stream records of deleted tables, so
/// no name comes twice.
pub(super) struct Table {
    pub(super) name: String,
    /// A client without metering, for reading and changing items directly.
    pub(super) client: Client,
}

/// A store as one process has it, on a wire of its own.
pub(super) struct Process {
    pub(super) store: EventStore,
    pub(super) tallies: CommandHandler<Tally, TallyEvent, Refusal>,
    pub(super) purses: CommandHandler<i64, Moved, Overdrawn>,
    pub(super) wire: Wire,
}

impl Engine {
    /// The engine that the environment names, or the embedded one on a new file.
    pub(super) async fn start() -> Self {
        let (kind, clients, embedded) = match named() {
            Some((endpoint, kind)) => (kind, Clients::at(&endpoint).await, None),
            None => {
                let folder = tempfile::tempdir().unwrap();
                let (engine, clients) = dynamodb(&folder.path().join("events.db")).await;
                (EngineKind::Embedded, clients, Some((engine, folder)))
            }
        };
        let client = clients.dynamodb;
        Self { kind, client, embedded, tables: Mutex::default() }
    }

    /// Stops the embedded engine in order; another one loses the tables of the case.
    pub(super) async fn stop(self) {
        match self.embedded {
            Some((dynamodb, _folder)) => dynamodb.stop().await,
            None => {
                for table in self.tables.into_inner().unwrap() {
                    self.client.delete_table().table_name(table).send().await.unwrap();
                }
            }
        }
    }

    /// A new table of events.
    pub(super) async fn table(&self) -> Table {
        let table = self.no_table();
        table.process().store.create_table().await.unwrap();
        self.tables.lock().unwrap().push(table.name.clone());
        table
    }

    /// The name of a table that does not exist.
    pub(super) fn no_table(&self) -> Table {
        let name = format!("store-case-{:016x}", fastrand::u64(..));
        Table { name, client: self.client.clone() }
    }
}

impl Table {
    /// A process that remembers nothing: each command is like the first one after a start.
    pub(super) fn process(&self) -> Process {
        self.process_with(Options::default())
    }

    /// A process that waits for an answer no longer than this, and then tries again.
    pub(super) fn impatient_process(&self, wait: Duration) -> Process {
        let config = self.client.config().to_builder();
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(wait).build();
        let client = Client::from_conf(config.timeout_config(timeouts).build());
        Self { name: self.name.clone(), client }.process()
    }

    pub(super) fn process_with(&self, options: Options) -> Process {
        self.process_that_remembers(
            options,
            HandlerOptions { cached_streams: 0, ..HandlerOptions::default() },
        )
    }

    /// A process that keeps what it knows of streams.
    pub(super) fn warm_process(&self) -> Process {
        self.process_that_remembers(Options::default(), HandlerOptions::default())
    }

    pub(super) fn process_that_remembers(
        &self,
        options: Options,
        memory: HandlerOptions,
    ) -> Process {
        let (client, wire) = self.wired();
        let store = EventStore::with_options(client, &self.name, options);
        let purses = CommandHandler::with_options(store.clone(), PURSE, memory.clone());
        Process {
            tallies: CommandHandler::with_options(store.clone(), TALLY, memory),
            purses,
            store,
            wire,
        }
    }

    /// A client on a wire of its own.
    pub(super) fn wired(&self) -> (Client, Wire) {
        let config = self.client.config();
        let wire = Wire::over(config.http_client().unwrap());
        // The SDK counts how often clients of one region try again, and stops when it is too often:
        // a process has a count of its own.
        let retries = RetryPartition::new(format!("process-{:016x}", fastrand::u64(..)));
        let config = config.to_builder().http_client(wire.clone()).retry_partition(retries);
        (Client::from_conf(config.build()), wire)
    }

    /// The items of a stream as they lie in the table, whatever they are.
    pub(super) async fn items(&self, stream: &StreamId) -> Vec<Item> {
        let pages = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("stream_id = :stream");
        let pages =
            pages.expression_attribute_values(":stream", AttributeValue::S(stream.to_string()));
        let mut items = pages.consistent_read(true).into_paginator().items().send();
        let mut all = Vec::new();
        while let Some(item) = items.next().await {
            all.push(item.unwrap());
        }
        all
    }

    /// Writes an item over whatever is there.
    pub(super) async fn put(&self, item: Item) {
        self.client.put_item().table_name(&self.name).set_item(Some(item)).send().await.unwrap();
    }

    /// Writes up to 25 items at once.
    pub(super) async fn put_all(&self, items: Vec<Item>) {
        let put = |item| PutRequest::builder().set_item(Some(item)).build().unwrap();
        let mut left: Vec<_> = items
            .into_iter()
            .map(|item| WriteRequest::builder().put_request(put(item)).build())
            .collect();
        while !left.is_empty() {
            let answer = self
                .client
                .batch_write_item()
                .request_items(&self.name, left)
                .send()
                .await
                .unwrap();
            left =
                answer.unprocessed_items.unwrap_or_default().remove(&self.name).unwrap_or_default();
        }
    }

    /// Takes the item away that begins at the version.
    pub(super) async fn delete(&self, stream: &StreamId, version: u64) {
        let request = self.client.delete_item().table_name(&self.name);
        let request = request.key("stream_id", AttributeValue::S(stream.to_string()));
        request.key("version", AttributeValue::N(version.to_string())).send().await.unwrap();
    }
}

impl Process {
    /// Appends to the stream, wherever it ends.
    pub(super) async fn put_behind(&self, stream: &StreamId, commits: Vec<NewCommit>) -> Appended {
        let (head, _) = self.store.head(stream, Consistency::Strong).await.unwrap();
        self.append(&head, commits).await
    }

    pub(super) async fn append(&self, head: &Head, commits: Vec<NewCommit>) -> Appended {
        self.store.append(head, commits).await.unwrap()
    }

    pub(super) async fn load(&self, stream: &StreamId) -> LoadedStream {
        self.store.load(stream, Consistency::Strong).await.unwrap()
    }
}
