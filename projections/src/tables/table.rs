//! A DynamoDB table: its errors, batch requests with retries, and its creation.

use crate::tables::row::{Item, UnreadableRow};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, DeleteRequest, GlobalSecondaryIndex, KeySchemaElement,
    KeyType, KeysAndAttributes, Projection, ProjectionType, ScalarAttributeType, TableStatus,
    WriteRequest,
};
use std::sync::Arc;
use std::time::Duration;

/// The most keys of a `BatchGetItem`, and the most writes of a `TransactWriteItems` (DynamoDB's
/// limits).
pub(crate) const MAX_ITEMS: usize = 100;
/// The most writes of a `BatchWriteItem` (DynamoDB's limit).
pub(crate) const MAX_REMOVALS: usize = 25;
/// How often unprocessed parts of a batch request are sent again.
const MAX_ATTEMPTS: u32 = 8;
/// How often the status of a new table is read, once a second.
const MAX_STATUS_READS: u32 = 60;

type SharedError = Arc<dyn std::error::Error + Send + Sync>;

/// A table and its client.
#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) client: Client,
    pub(crate) name: String,
}

/// Why a request to a table of read models failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TableError {
    /// DynamoDB throttled the request.
    #[error("DynamoDB throttled the read-model table")]
    Throttled(#[source] SharedError),
    /// Any other failure: no answer, no table, no rights.
    #[error("a request to the read-model table {table:?} failed")]
    Failed {
        /// The table's name.
        table: String,
        /// The SDK's error.
        #[source]
        source: SharedError,
    },
    /// A row is unreadable.
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
            Some(
                "ProvisionedThroughputExceededException"
                    | "ThrottlingException"
                    | "RequestLimitExceeded"
            )
        );
        if throttled { TableError::Throttled(Arc::new(error)) } else { self.failed_by(error) }
    }

    pub(crate) fn failed_by(
        &self,
        error: impl std::error::Error + Send + Sync + 'static,
    ) -> TableError {
        TableError::Failed { table: self.name.clone(), source: Arc::new(error) }
    }

    /// The items under the keys, strongly consistent. No key may occur twice. `attributes` selects
    /// attributes; none selects all.
    pub(crate) async fn items(
        &self,
        keys: &[Item],
        attributes: &[&str],
    ) -> Result<Vec<Item>, TableError> {
        let mut items = Vec::new();
        for keys in keys.chunks(MAX_ITEMS) {
            let mut left = keys.to_vec();
            for attempt in 0..MAX_ATTEMPTS {
                if attempt > 0 {
                    pause(attempt).await;
                }
                let (found, unprocessed) = self.batch_get(left, attributes).await?;
                items.extend(found);
                left = unprocessed;
                if left.is_empty() {
                    break;
                }
            }
            if !left.is_empty() {
                return Err(TableError::Throttled(plain("keys were left unprocessed")));
            }
        }
        Ok(items)
    }

    async fn batch_get(
        &self,
        keys: Vec<Item>,
        attributes: &[&str],
    ) -> Result<(Vec<Item>, Vec<Item>), TableError> {
        let mut keys = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true);
        if !attributes.is_empty() {
            let names: Vec<String> = attributes.iter().map(|name| format!("#{name}")).collect();
            keys = keys.projection_expression(names.join(", "));
            for (placeholder, name) in names.into_iter().zip(attributes) {
                keys = keys.expression_attribute_names(placeholder, *name);
            }
        }
        let keys = keys.build().map_err(|error| self.failed_by(error))?;
        let answer = self.client.batch_get_item().request_items(&self.name, keys).send().await;
        let mut answer = answer.map_err(|error| self.failed(error))?;
        let items = answer
            .responses
            .as_mut()
            .and_then(|tables| tables.remove(&self.name))
            .unwrap_or_default();
        let left = answer.unprocessed_keys.as_mut().and_then(|tables| tables.remove(&self.name));
        Ok((items, left.map(|keys| keys.keys).unwrap_or_default()))
    }

    /// Removes the items under the keys, [`MAX_REMOVALS`] a request. A missing item is no error.
    pub(crate) async fn remove(&self, keys: &[Item]) -> Result<(), TableError> {
        for keys in keys.chunks(MAX_REMOVALS) {
            let delete = |key: &Item| {
                let delete = DeleteRequest::builder().set_key(Some(key.clone())).build();
                Ok(WriteRequest::builder()
                    .delete_request(delete.map_err(|error| self.failed_by(error))?)
                    .build())
            };
            let mut left = keys.iter().map(delete).collect::<Result<Vec<_>, TableError>>()?;
            for attempt in 0..MAX_ATTEMPTS {
                if attempt > 0 {
                    pause(attempt).await;
                }
                let answer =
                    self.client.batch_write_item().request_items(&self.name, left).send().await;
                let unprocessed = answer.map_err(|error| self.failed(error))?.unprocessed_items;
                left = unprocessed
                    .and_then(|mut tables| tables.remove(&self.name))
                    .unwrap_or_default();
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

    /// A request to create the table, billed on demand. `attributes` are the text attributes of its
    /// keys and of those of its indexes.
    pub(crate) fn creation(
        &self,
        attributes: &[&str],
    ) -> Result<CreateTableFluentBuilder, TableError> {
        let define = |name: &&str| {
            let definition = AttributeDefinition::builder().attribute_name(*name);
            definition
                .attribute_type(ScalarAttributeType::S)
                .build()
                .map_err(|error| self.failed_by(error))
        };
        let attributes = attributes.iter().map(define).collect::<Result<Vec<_>, _>>()?;
        let request = self
            .client
            .create_table()
            .table_name(&self.name)
            .billing_mode(BillingMode::PayPerRequest);
        Ok(request.set_attribute_definitions(Some(attributes)))
    }

    /// A key schema: the partition key, and perhaps a sort key.
    pub(crate) fn keys(
        &self,
        partition: &str,
        order: Option<&str>,
    ) -> Result<Vec<KeySchemaElement>, TableError> {
        let key = |name, kind| {
            let element = KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
            element.map_err(|error| self.failed_by(error))
        };
        let order = order.map(|order| key(order, KeyType::Range));
        [key(partition, KeyType::Hash)].into_iter().chain(order).collect()
    }

    /// A secondary index with all attributes.
    pub(crate) fn index(
        &self,
        name: &str,
        partition: &str,
        order: &str,
    ) -> Result<GlobalSecondaryIndex, TableError> {
        let index = GlobalSecondaryIndex::builder()
            .index_name(name)
            .set_key_schema(Some(self.keys(partition, Some(order))?))
            .projection(Projection::builder().projection_type(ProjectionType::All).build());
        index.build().map_err(|error| self.failed_by(error))
    }

    /// Creates the table, and waits until it can be used. Does nothing if it exists.
    pub(crate) async fn create(&self, request: CreateTableFluentBuilder) -> Result<(), TableError> {
        match request.send().await {
            Ok(_) => {}
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(CreateTableError::is_resource_in_use_exception) => {}
            Err(error) => return Err(self.failed(error)),
        }
        for _ in 0..MAX_STATUS_READS {
            let answer = self.client.describe_table().table_name(&self.name).send().await;
            let table = answer.map_err(|error| self.failed(error))?.table;
            if table.and_then(|table| table.table_status) == Some(TableStatus::Active) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Err(TableError::Failed {
            table: self.name.clone(),
            source: plain("it was not active after 60 s"),
        })
    }
}

/// An error of this library, without one of DynamoDB.
fn plain(text: &'static str) -> SharedError {
    Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(text))
}

/// Waits 2 ms to 200 ms, doubling with each attempt; half of it is random.
pub(crate) async fn pause(attempt: u32) {
    let longest = 2_u64.saturating_pow(attempt).min(200);
    tokio::time::sleep(Duration::from_millis(longest / 2 + fastrand::u64(0..=longest / 2))).await;
}
