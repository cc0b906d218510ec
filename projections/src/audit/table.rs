//! The index's table: one request a function.

use super::entry::{COMMAND, CORRELATION, DAY, RANK, text};
use super::place::Window;
use crate::read_models::{MAX_ITEMS, TableError, pause};
use crate::row::Item;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, KeysAndAttributes, Projection,
    ProjectionType, ScalarAttributeType, TableStatus,
};
use eventstore::Direction;
use std::sync::Arc;
use std::time::Duration;

/// The index of a day's shards.
const BY_TIME: &str = "by_time";
/// The index of business processes.
const BY_CORRELATION: &str = "by_correlation";
/// How often what DynamoDB left over is sent again.
pub(super) const MAX_ATTEMPTS: u32 = 8;

/// The table and its client.
#[derive(Clone)]
pub(super) struct Table {
    pub(super) client: Client,
    pub(super) name: String,
}

/// A partition of the table or of an index.
#[derive(Debug, Clone)]
pub(super) struct Partition {
    index: Option<&'static str>,
    attribute: &'static str,
    key: String,
}

/// Items of a partition in order, and the key from which to go on.
pub(super) struct Items {
    pub(super) items: Vec<Item>,
    pub(super) next: Option<Item>,
}

impl Partition {
    /// The items under a key of the table itself.
    pub(super) fn of_table(key: String) -> Self {
        Self { index: None, attribute: COMMAND, key }
    }

    /// The commits of a business process.
    pub(super) fn of_correlation(key: String) -> Self {
        Self { index: Some(BY_CORRELATION), attribute: CORRELATION, key }
    }

    /// The commits of a day's shard.
    pub(super) fn of_day(key: String) -> Self {
        Self { index: Some(BY_TIME), attribute: DAY, key }
    }
}

impl Table {
    pub(super) async fn put(&self, item: Item) -> Result<(), TableError> {
        let request = self.client.put_item().table_name(&self.name).set_item(Some(item));
        request.send().await.map(drop).map_err(|error| self.failed(error))
    }

    /// Those of the keys, without doubles, under which an item stands; strongly consistent.
    pub(super) async fn existing(&self, keys: &[Item]) -> Result<Vec<Item>, TableError> {
        let mut found = Vec::new();
        for keys in keys.chunks(MAX_ITEMS) {
            let mut wanted = keys.to_vec();
            for attempt in 0..MAX_ATTEMPTS {
                if attempt > 0 {
                    pause(attempt).await;
                }
                let (items, left) = self.batch_get(wanted).await?;
                found.extend(items);
                wanted = left;
                if wanted.is_empty() {
                    break;
                }
            }
            if !wanted.is_empty() {
                return Err(TableError::Throttled(plain("keys were left unprocessed").into()));
            }
        }
        Ok(found)
    }

    async fn batch_get(&self, wanted: Vec<Item>) -> Result<(Vec<Item>, Vec<Item>), TableError> {
        let keys = KeysAndAttributes::builder()
            .set_keys(Some(wanted))
            .consistent_read(true)
            .projection_expression("#command, #rank")
            .expression_attribute_names("#command", COMMAND)
            .expression_attribute_names("#rank", RANK)
            .build()
            .map_err(|error| self.impossible(error))?;
        let answer = self.client.batch_get_item().request_items(&self.name, keys).send().await;
        let mut answer = answer.map_err(|error| self.failed(error))?;
        let items = answer.responses.as_mut().and_then(|tables| tables.remove(&self.name)).unwrap_or_default();
        let left = answer.unprocessed_keys.as_mut().and_then(|tables| tables.remove(&self.name));
        Ok((items, left.map(|keys| keys.keys).unwrap_or_default()))
    }

    /// At most `limit` items whose ranks lie within the window or on its edges. Strongly consistent but for an index.
    pub(super) async fn query(
        &self,
        partition: &Partition,
        window: &Window,
        direction: Direction,
        limit: usize,
        start: Option<Item>,
    ) -> Result<Items, TableError> {
        let request = self
            .client
            .query()
            .table_name(&self.name)
            .set_index_name(partition.index.map(str::to_owned))
            .consistent_read(partition.index.is_none())
            .key_condition_expression("#partition = :partition AND #rank BETWEEN :low AND :high")
            .expression_attribute_names("#partition", partition.attribute)
            .expression_attribute_names("#rank", RANK)
            .expression_attribute_values(":partition", text(&partition.key))
            .expression_attribute_values(":low", text(&window.low))
            .expression_attribute_values(":high", text(&window.high))
            .scan_index_forward(direction == Direction::Forwards)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .set_exclusive_start_key(start);
        let answer = request.send().await.map_err(|error| self.failed(error))?;
        Ok(Items { items: answer.items.unwrap_or_default(), next: answer.last_evaluated_key })
    }

    pub(super) fn failed<E, R>(&self, error: SdkError<E, R>) -> TableError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let throttled = matches!(
            error.code(),
            Some("ProvisionedThroughputExceededException" | "ThrottlingException" | "RequestLimitExceeded")
        );
        if throttled { TableError::Throttled(Arc::new(error)) } else { self.impossible(error) }
    }

    pub(super) fn impossible(&self, error: impl std::error::Error + Send + Sync + 'static) -> TableError {
        TableError::Failed { table: self.name.clone(), source: Arc::new(error) }
    }

    /// Makes the table with its indexes and waits until it can be used.
    pub(super) async fn create(&self) -> Result<(), TableError> {
        let attributes = [COMMAND, RANK, DAY, CORRELATION].map(|name| {
            AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build()
        });
        let attributes: Result<Vec<_>, _> = attributes.into_iter().collect();
        let request = self
            .client
            .create_table()
            .table_name(&self.name)
            .billing_mode(BillingMode::PayPerRequest)
            .set_attribute_definitions(Some(attributes.map_err(|error| self.impossible(error))?))
            .set_key_schema(Some(self.keys(COMMAND)?))
            .global_secondary_indexes(self.index(BY_TIME, DAY)?)
            .global_secondary_indexes(self.index(BY_CORRELATION, CORRELATION)?);
        match request.send().await {
            Ok(_) => {}
            Err(error) if error.as_service_error().is_some_and(CreateTableError::is_resource_in_use_exception) => {}
            Err(error) => return Err(self.failed(error)),
        }
        self.wait_until_active().await
    }

    fn index(&self, name: &str, partition: &str) -> Result<GlobalSecondaryIndex, TableError> {
        let index = GlobalSecondaryIndex::builder()
            .index_name(name)
            .set_key_schema(Some(self.keys(partition)?))
            .projection(Projection::builder().projection_type(ProjectionType::All).build());
        index.build().map_err(|error| self.impossible(error))
    }

    fn keys(&self, partition: &str) -> Result<Vec<KeySchemaElement>, TableError> {
        let key = |name, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
        let keys = [key(partition, KeyType::Hash), key(RANK, KeyType::Range)];
        keys.into_iter().collect::<Result<_, _>>().map_err(|error| self.impossible(error))
    }

    async fn wait_until_active(&self) -> Result<(), TableError> {
        for _ in 0..60 {
            let answer = self.client.describe_table().table_name(&self.name).send().await;
            let table = answer.map_err(|error| self.failed(error))?.table;
            if table.and_then(|table| table.table_status) == Some(TableStatus::Active) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let source = plain("it was not active after 60 s").into();
        Err(TableError::Failed { table: self.name.clone(), source })
    }
}

/// An error of our own, where DynamoDB has none.
pub(super) fn plain(text: &'static str) -> Box<dyn std::error::Error + Send + Sync> {
    text.into()
}
