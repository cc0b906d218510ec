//! What the tables of read models have in common: how they fail, and requests that DynamoDB may leave half done.

use crate::tables::row::{Item, UnreadableRow};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, DeleteRequest, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    KeysAndAttributes, Projection, ProjectionType, ScalarAttributeType, TableStatus, WriteRequest,
};
use std::sync::Arc;
use std::time::Duration;

/// The most keys of a `BatchGetItem`, and the most writes of a `TransactWriteItems` (DynamoDB's limits).
pub(crate) const MAX_ITEMS: usize = 100;
/// The most writes of a `BatchWriteItem` (DynamoDB's limit).
pub(crate) const MAX_REMOVALS: usize = 25;
/// How often what DynamoDB left over is sent again.
const MAX_ATTEMPTS: u32 = 8;
/// How often a new table is looked at, a second apart.
const MAX_LOOKS: u32 = 60;

type Source = Arc<dyn std::error::Error + Send + Sync>;

/// A table and its client.
#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) client: Client,
    pub(crate) name: String,
}

/// Why a table of read models did not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TableError {
    /// More was asked than the table may do.
    #[error("DynamoDB throttled the read-model table")]
    Throttled(#[source] Source),
    /// Anything else: no answer, no table, no rights.
    #[error("the read-model table {table:?} did not answer as it should")]
    Failed {
        /// The table's name.
        table: String,
        /// DynamoDB's answer.
        #[source]
        source: Source,
    },
    /// A row is not as it was written.
    #[error(transparent)]
    Unreadable(#[from] UnreadableRow),
}

impl Table {
    pub(crate) fn failed<E, R>(&self, error: SdkError<E, R>) -> TableError
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

    pub(crate) fn impossible(&self, error: impl std::error::Error + Send + Sync + 'static) -> TableError {
        TableError::Failed { table: self.name.clone(), source: Arc::new(error) }
    }

    /// The items under the keys, no key twice, strongly consistent: all of each, or only those attributes.
    pub(crate) async fn items(&self, keys: &[Item], attributes: &[&str]) -> Result<Vec<Item>, TableError> {
        let mut items = Vec::new();
        for keys in keys.chunks(MAX_ITEMS) {
            let mut wanted = keys.to_vec();
            for attempt in 0..MAX_ATTEMPTS {
                if attempt > 0 {
                    pause(attempt).await;
                }
                let (found, left) = self.batch_get(wanted, attributes).await?;
                items.extend(found);
                wanted = left;
                if wanted.is_empty() {
                    break;
                }
            }
            if !wanted.is_empty() {
                return Err(TableError::Throttled(plain("keys were left unprocessed")));
            }
        }
        Ok(items)
    }

    async fn batch_get(&self, wanted: Vec<Item>, attributes: &[&str]) -> Result<(Vec<Item>, Vec<Item>), TableError> {
        let mut keys = KeysAndAttributes::builder().set_keys(Some(wanted)).consistent_read(true);
        if !attributes.is_empty() {
            let names: Vec<String> = attributes.iter().map(|name| format!("#{name}")).collect();
            keys = keys.projection_expression(names.join(", "));
            for (placeholder, name) in names.into_iter().zip(attributes) {
                keys = keys.expression_attribute_names(placeholder, *name);
            }
        }
        let keys = keys.build().map_err(|error| self.impossible(error))?;
        let answer = self.client.batch_get_item().request_items(&self.name, keys).send().await;
        let mut answer = answer.map_err(|error| self.failed(error))?;
        let items = answer.responses.as_mut().and_then(|tables| tables.remove(&self.name)).unwrap_or_default();
        let left = answer.unprocessed_keys.as_mut().and_then(|tables| tables.remove(&self.name));
        Ok((items, left.map(|keys| keys.keys).unwrap_or_default()))
    }

    /// Removes the items under the keys, [`MAX_REMOVALS`] a request; one that is not there is no error.
    pub(crate) async fn remove(&self, keys: &[Item]) -> Result<(), TableError> {
        for keys in keys.chunks(MAX_REMOVALS) {
            let delete = |key: &Item| {
                let delete = DeleteRequest::builder().set_key(Some(key.clone())).build();
                Ok(WriteRequest::builder().delete_request(delete.map_err(|error| self.impossible(error))?).build())
            };
            let mut left = keys.iter().map(delete).collect::<Result<Vec<_>, TableError>>()?;
            for attempt in 0..MAX_ATTEMPTS {
                if attempt > 0 {
                    pause(attempt).await;
                }
                let answer = self.client.batch_write_item().request_items(&self.name, left).send().await;
                let unprocessed = answer.map_err(|error| self.failed(error))?.unprocessed_items;
                left = unprocessed.and_then(|mut tables| tables.remove(&self.name)).unwrap_or_default();
                if left.is_empty() {
                    break;
                }
            }
            if !left.is_empty() {
                return Err(TableError::Throttled(plain("removals were left unprocessed")));
            }
        }
        Ok(())
    }

    /// A request for the table, on demand, with text attributes of those names for its keys and those of its indexes.
    pub(crate) fn creation(&self, attributes: &[&str]) -> Result<CreateTableFluentBuilder, TableError> {
        let define = |name: &&str| {
            let definition = AttributeDefinition::builder().attribute_name(*name);
            definition.attribute_type(ScalarAttributeType::S).build().map_err(|error| self.impossible(error))
        };
        let attributes = attributes.iter().map(define).collect::<Result<Vec<_>, _>>()?;
        let request = self.client.create_table().table_name(&self.name).billing_mode(BillingMode::PayPerRequest);
        Ok(request.set_attribute_definitions(Some(attributes)))
    }

    /// A key of a partition and perhaps of the order in it.
    pub(crate) fn keys(&self, partition: &str, order: Option<&str>) -> Result<Vec<KeySchemaElement>, TableError> {
        let key = |name, kind| {
            let element = KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
            element.map_err(|error| self.impossible(error))
        };
        let order = order.map(|order| key(order, KeyType::Range));
        [key(partition, KeyType::Hash)].into_iter().chain(order).collect()
    }

    /// An index of whole items.
    pub(crate) fn index(&self, name: &str, partition: &str, order: &str) -> Result<GlobalSecondaryIndex, TableError> {
        let index = GlobalSecondaryIndex::builder()
            .index_name(name)
            .set_key_schema(Some(self.keys(partition, Some(order))?))
            .projection(Projection::builder().projection_type(ProjectionType::All).build());
        index.build().map_err(|error| self.impossible(error))
    }

    /// Makes the table and waits until it can be used. Does nothing where it is there.
    pub(crate) async fn create(&self, request: CreateTableFluentBuilder) -> Result<(), TableError> {
        match request.send().await {
            Ok(_) => {}
            Err(error) if error.as_service_error().is_some_and(CreateTableError::is_resource_in_use_exception) => {}
            Err(error) => return Err(self.failed(error)),
        }
        for _ in 0..MAX_LOOKS {
            let answer = self.client.describe_table().table_name(&self.name).send().await;
            let table = answer.map_err(|error| self.failed(error))?.table;
            if table.and_then(|table| table.table_status) == Some(TableStatus::Active) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Err(TableError::Failed { table: self.name.clone(), source: plain("it was not active after 60 s") })
    }
}

/// An error of our own, where DynamoDB has none.
fn plain(text: &'static str) -> Source {
    Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(text))
}

/// Doubling from 2 ms to 200 ms, half of it by chance.
pub(crate) async fn pause(attempt: u32) {
    let longest = 2_u64.saturating_pow(attempt).min(200);
    tokio::time::sleep(Duration::from_millis(longest / 2 + fastrand::u64(0..=longest / 2))).await;
}
