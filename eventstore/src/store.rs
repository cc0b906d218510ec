//! The store: a table, a client and a clock.

use crate::dedup::CommandIndex;
use crate::error::{StoreError, classify};
use crate::log::item::{STREAM_ID, VERSION};
use crate::metering::meter;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    StreamSpecification, StreamViewType, TableStatus,
};
use chrono::{DateTime, TimeDelta, Utc};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Returns the current time.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The options of a store; the default suits an app of any size.
#[derive(Clone)]
pub struct Options {
    /// How many races a command may lose before it fails with contention.
    pub max_attempts: u32,
    /// How far ahead of the clock the time in a command id may be.
    pub max_skew: TimeDelta,
    /// The clock for `recorded_at`.
    pub clock: Clock,
    /// The index to query for commands that a snapshot cannot exclude. Without it their streams
    /// are read back.
    pub command_index: Option<CommandIndex>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_attempts: 12,
            max_skew: TimeDelta::minutes(5),
            clock: Arc::new(|| DateTime::<Utc>::from(SystemTime::now())),
            command_index: None,
        }
    }
}

/// An event store on one DynamoDB table. Cheap to clone; it does not know what the events mean.
#[derive(Clone)]
pub struct EventStore {
    pub(crate) client: Client,
    pub(crate) table: String,
    pub(crate) options: Options,
}

impl EventStore {
    /// A store on the table, which [`EventStore::create_table`] or your own template creates.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self::with_options(client, table, Options::default())
    }

    /// A store with other options.
    pub fn with_options(client: Client, table: impl Into<String>, options: Options) -> Self {
        Self { client: meter::with_meter(&client), table: table.into(), options }
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Creates the table with its stream (new images) and waits until it is active. Does nothing if
    /// it exists.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB does not create it.
    pub async fn create_table(&self) -> Result<(), StoreError> {
        let request = self
            .client
            .create_table()
            .table_name(&self.table)
            .billing_mode(BillingMode::PayPerRequest)
            .set_attribute_definitions(Some(vec![
                attribute(STREAM_ID, ScalarAttributeType::S)?,
                attribute(VERSION, ScalarAttributeType::N)?,
            ]))
            .set_key_schema(Some(vec![
                key(STREAM_ID, KeyType::Hash)?,
                key(VERSION, KeyType::Range)?,
            ]))
            .stream_specification(
                StreamSpecification::builder()
                    .stream_enabled(true)
                    .stream_view_type(StreamViewType::NewImage)
                    .build()
                    .map_err(|error| StoreError::Rejected(Arc::new(error)))?,
            );
        match request.send().await {
            Ok(_) => {}
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(CreateTableError::is_resource_in_use_exception) => {}
            Err(error) => return Err(classify(error, &self.table)),
        }
        self.wait_until_active().await
    }

    async fn wait_until_active(&self) -> Result<(), StoreError> {
        for _ in 0..60 {
            let answer = self.client.describe_table().table_name(&self.table).send().await;
            let table = answer.map_err(|error| classify(error, &self.table))?.table;
            if table.and_then(|table| table.table_status) == Some(TableStatus::Active) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let late: Box<dyn std::error::Error + Send + Sync> =
            format!("table {:?} was not active after 60 s", self.table).into();
        Err(StoreError::Unavailable(late.into()))
    }
}

fn attribute(name: &str, kind: ScalarAttributeType) -> Result<AttributeDefinition, StoreError> {
    let built = AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build();
    built.map_err(|error| StoreError::Rejected(Arc::new(error)))
}

fn key(name: &str, kind: KeyType) -> Result<KeySchemaElement, StoreError> {
    let built = KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
    built.map_err(|error| StoreError::Rejected(Arc::new(error)))
}
