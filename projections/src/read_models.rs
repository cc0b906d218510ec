//! The table that holds every read model.

use crate::row::{Generation, Item, LIST, RANK, ROW, Row, UnreadableRow, VERSION};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, DeleteRequest, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    KeysAndAttributes, Projection, ProjectionType, Put, ReturnValuesOnConditionCheckFailure, ScalarAttributeType,
    TableStatus, TransactWriteItem, WriteRequest,
};
use eventstore::Segment;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The index that lists rows in order of their rank.
const LISTING: &str = "listing";
/// The most keys of a `BatchGetItem`, and the most writes of a `TransactWriteItems` (DynamoDB's limits).
pub(crate) const MAX_ITEMS: usize = 100;
/// The most writes of a `BatchWriteItem` (DynamoDB's limit).
const MAX_REMOVALS: usize = 25;
/// How often keys that DynamoDB left over are asked for again.
const MAX_READ_ATTEMPTS: u32 = 8;

type Source = Arc<dyn std::error::Error + Send + Sync>;

/// The read-model table.
#[derive(Clone)]
pub struct ReadModels {
    client: Client,
    table: String,
}

/// Why the read-model table did not answer.
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

/// A row to write, and what must stand there before.
#[derive(Debug, Clone)]
pub(crate) struct FencedWrite {
    pub(crate) row: Row,
    /// The version that the row must have; none where it must not exist.
    pub(crate) expected: Option<u64>,
}

/// What became of a fenced write.
#[derive(Debug)]
pub(crate) enum Written {
    Yes,
    /// Another writer was quicker: this is what stands there now.
    Lost(Option<Box<Row>>),
}

/// Where a list goes on: whatever generation is read then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListCursor {
    row: String,
    rank: String,
}

impl ListCursor {
    /// Whether it can be a place in a list: what a caller brings back may be anything.
    pub fn fits(&self) -> bool {
        !self.row.is_empty() && !self.rank.is_empty()
    }

    /// The place behind the row, if it is listed.
    pub fn behind(row: &Row) -> Option<Self> {
        let listing = row.content.listing.as_ref()?;
        let (_generation, name) = row.key.split_once('/')?;
        Some(Self { row: name.to_owned(), rank: listing.rank.clone() })
    }
}

/// A page of a list.
#[derive(Debug)]
pub struct ListPage {
    /// The rows, highest rank first.
    pub rows: Vec<Row>,
    /// Where to go on; nothing at the end.
    pub next: Option<ListCursor>,
}

impl ReadModels {
    /// The table of that name, which [`ReadModels::create_table`] or your own template makes.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Reads a row by its whole key.
    pub(crate) async fn get(&self, key: String, consistent: bool) -> Result<Option<Row>, TableError> {
        let key = AttributeValue::S(key);
        let request = self.client.get_item().table_name(&self.table).key(ROW, key).consistent_read(consistent);
        let answer = request.send().await.map_err(|error| self.failed(error))?;
        Ok(answer.item.as_ref().map(Row::from_item).transpose()?)
    }

    /// Reads rows by their whole keys, strongly consistent; a missing row is not in the answer.
    pub(crate) async fn get_all(&self, keys: &[String]) -> Result<HashMap<String, Row>, TableError> {
        let rows = self.get_items(keys, None).await?.into_iter().map(|item| {
            let row = Row::from_item(&item)?;
            Ok((row.key.clone(), row))
        });
        rows.collect()
    }

    /// The versions of rows by their whole keys, whatever else the rows say. Strongly consistent; a missing row is not in
    /// the answer.
    pub(crate) async fn versions(&self, keys: &[String]) -> Result<HashMap<String, u64>, TableError> {
        let items = self.get_items(keys, Some("#row, #version")).await?;
        let version = |item: &Item| {
            let number = item.get(VERSION)?.as_n().ok()?.parse().ok()?;
            Some((item.get(ROW)?.as_s().ok()?.clone(), number))
        };
        Ok(items.iter().filter_map(version).collect())
    }

    async fn get_items(&self, keys: &[String], attributes: Option<&str>) -> Result<Vec<Item>, TableError> {
        let mut items = Vec::new();
        for keys in keys.chunks(MAX_ITEMS) {
            let mut wanted: Vec<Item> =
                keys.iter().map(|key| Item::from([(ROW.to_owned(), AttributeValue::S(key.clone()))])).collect();
            for attempt in 0..MAX_READ_ATTEMPTS {
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

    async fn batch_get(
        &self,
        wanted: Vec<Item>,
        attributes: Option<&str>,
    ) -> Result<(Vec<Item>, Vec<Item>), TableError> {
        let mut keys = KeysAndAttributes::builder().set_keys(Some(wanted)).consistent_read(true);
        if let Some(attributes) = attributes {
            keys = keys.projection_expression(attributes);
            keys = keys.expression_attribute_names("#row", ROW).expression_attribute_names("#version", VERSION);
        }
        let keys = keys.build().map_err(|error| self.impossible(error))?;
        let answer = self.client.batch_get_item().request_items(&self.table, keys).send().await;
        let mut answer = answer.map_err(|error| self.failed(error))?;
        let items = answer.responses.as_mut().and_then(|tables| tables.remove(&self.table)).unwrap_or_default();
        let left = answer.unprocessed_keys.as_mut().and_then(|tables| tables.remove(&self.table));
        Ok((items, left.map(|keys| keys.keys).unwrap_or_default()))
    }

    /// Reads a list from the highest rank down. Eventually consistent, as the index is.
    pub(crate) async fn list(
        &self,
        generation: Generation,
        list: &str,
        limit: u32,
        cursor: Option<&ListCursor>,
    ) -> Result<ListPage, TableError> {
        let list = generation.key(list);
        let start = cursor.map(|ListCursor { row, rank }| {
            Item::from([
                (ROW.to_owned(), AttributeValue::S(generation.key(row))),
                (LIST.to_owned(), AttributeValue::S(list.clone())),
                (RANK.to_owned(), AttributeValue::S(rank.clone())),
            ])
        });
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(LISTING)
            .key_condition_expression("#list = :list")
            .expression_attribute_names("#list", LIST)
            .expression_attribute_values(":list", AttributeValue::S(list.clone()))
            .scan_index_forward(false)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|error| self.failed(error))?;
        let text = |item: &Item, name| item.get(name).and_then(|value| value.as_s().ok()).cloned();
        let next = answer.last_evaluated_key.as_ref();
        let next = next.and_then(|key| {
            let row = generation.name(&text(key, ROW)?)?.to_owned();
            Some(ListCursor { row, rank: text(key, RANK)? })
        });
        let rows = answer.items().iter().map(Row::from_item).collect::<Result<_, _>>()?;
        Ok(ListPage { rows, next })
    }

    /// Writes a row if what stands there is what is expected: row and fence change together.
    pub(crate) async fn put(&self, write: &FencedWrite) -> Result<Written, TableError> {
        let put = self.put_of(write)?;
        let answer = self
            .client
            .put_item()
            .table_name(put.table_name)
            .set_item(Some(put.item))
            .set_condition_expression(put.condition_expression)
            .set_expression_attribute_names(put.expression_attribute_names)
            .set_expression_attribute_values(put.expression_attribute_values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = answer else { return Ok(Written::Yes) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(refusal)) => {
                let row = refusal.item().map(Row::from_item).transpose()?;
                Ok(Written::Lost(row.map(Box::new)))
            }
            Some(PutItemError::TransactionConflictException(_)) => Ok(Written::Lost(None)),
            _ => Err(self.failed(error)),
        }
    }

    /// Removes rows by their whole keys, whatever they say; rows that are not there are no error. At most 25 a request.
    pub(crate) async fn remove(&self, keys: &[String]) -> Result<(), TableError> {
        for keys in keys.chunks(MAX_REMOVALS) {
            let delete = |key: &String| {
                let request = DeleteRequest::builder().key(ROW, AttributeValue::S(key.clone())).build();
                Ok(WriteRequest::builder().delete_request(request.map_err(|error| self.impossible(error))?).build())
            };
            let mut requests = keys.iter().map(delete).collect::<Result<Vec<_>, TableError>>()?;
            for attempt in 0..MAX_READ_ATTEMPTS {
                if attempt > 0 {
                    pause(attempt).await;
                }
                let request = self.client.batch_write_item().request_items(&self.table, requests);
                let mut answer = request.send().await.map_err(|error| self.failed(error))?;
                let left = answer.unprocessed_items.as_mut().and_then(|tables| tables.remove(&self.table));
                requests = left.unwrap_or_default();
                if requests.is_empty() {
                    break;
                }
            }
            if !requests.is_empty() {
                return Err(TableError::Throttled(plain("removals were left unprocessed")));
            }
        }
        Ok(())
    }

    /// Removes a row by its whole key, if it is listed at that rank.
    pub(crate) async fn remove_ranked(&self, key: String, rank: String) -> Result<(), TableError> {
        let request = self.client.delete_item().table_name(&self.table).key(ROW, AttributeValue::S(key));
        let request = request.condition_expression("#rank = :rank").expression_attribute_names("#rank", RANK);
        let answer = request.expression_attribute_values(":rank", AttributeValue::S(rank)).send().await;
        let Err(error) = answer else { return Ok(()) };
        match error.as_service_error() {
            Some(DeleteItemError::ConditionalCheckFailedException(_)) => Ok(()),
            _ => Err(self.failed(error)),
        }
    }

    /// The whole keys of a page of the table's segment, and where it goes on.
    pub(crate) async fn scan_keys(
        &self,
        segment: Segment,
        behind: Option<&str>,
    ) -> Result<(Vec<String>, Option<String>), TableError> {
        let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let start = behind.map(|key| Item::from([(ROW.to_owned(), AttributeValue::S(key.to_owned()))]));
        let request = self.client.scan().table_name(&self.table).segment(count(segment.index));
        let request = request.total_segments(count(segment.total)).set_exclusive_start_key(start);
        let request = request.projection_expression("#row").expression_attribute_names("#row", ROW);
        let answer = request.consistent_read(true).send().await.map_err(|error| self.failed(error))?;
        let text = |item: &Item| item.get(ROW).and_then(|value| value.as_s().ok()).cloned();
        let next = answer.last_evaluated_key.as_ref().and_then(text);
        Ok((answer.items().iter().filter_map(text).collect(), next))
    }

    /// Writes a row, whatever stands there.
    pub(crate) async fn overwrite(&self, row: &Row) -> Result<(), TableError> {
        let put = self.client.put_item().table_name(&self.table).set_item(Some(row.to_item()));
        put.send().await.map(drop).map_err(|error| self.failed(error))
    }

    /// Writes rows together, at most [`MAX_ITEMS`]: all of them or none.
    pub(crate) async fn put_all(&self, writes: &[FencedWrite]) -> Result<Written, TableError> {
        let put = |write| Ok(TransactWriteItem::builder().put(self.put_of(write)?).build());
        let items = writes.iter().map(put).collect::<Result<Vec<_>, TableError>>()?;
        let answer = self.client.transact_write_items().set_transact_items(Some(items)).send().await;
        let Err(error) = answer else { return Ok(Written::Yes) };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                let mut codes = canceled.cancellation_reasons().iter().filter_map(|reason| reason.code());
                let lost = codes.any(|code| code == "ConditionalCheckFailed" || code == "TransactionConflict");
                if lost { Ok(Written::Lost(None)) } else { Err(self.failed(error)) }
            }
            Some(TransactWriteItemsError::TransactionInProgressException(_)) => Ok(Written::Lost(None)),
            _ => Err(self.failed(error)),
        }
    }

    fn put_of(&self, write: &FencedWrite) -> Result<Put, TableError> {
        let put = Put::builder().table_name(&self.table).set_item(Some(write.row.to_item()));
        let put = match write.expected {
            None => put.condition_expression("attribute_not_exists(#row)").expression_attribute_names("#row", ROW),
            Some(version) => put
                .condition_expression("#version = :expected")
                .expression_attribute_names("#version", VERSION)
                .expression_attribute_values(":expected", AttributeValue::N(version.to_string())),
        };
        put.build().map_err(|error| self.impossible(error))
    }

    fn failed<E, R>(&self, error: SdkError<E, R>) -> TableError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let throttled = matches!(
            error.code(),
            Some("ProvisionedThroughputExceededException" | "ThrottlingException" | "RequestLimitExceeded")
        );
        let source: Source = Arc::new(error);
        if throttled { TableError::Throttled(source) } else { TableError::Failed { table: self.table.clone(), source } }
    }

    fn impossible(&self, error: impl std::error::Error + Send + Sync + 'static) -> TableError {
        TableError::Failed { table: self.table.clone(), source: Arc::new(error) }
    }

    /// Makes the table with its index and waits until it can be used. Does nothing where it is there.
    ///
    /// # Errors
    /// [`TableError`] when DynamoDB does not make it.
    pub async fn create_table(&self) -> Result<(), TableError> {
        let names = [ROW, LIST, RANK];
        let attributes = names.map(|name| {
            AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build()
        });
        let attributes: Result<Vec<_>, _> = attributes.into_iter().collect();
        let index = GlobalSecondaryIndex::builder()
            .index_name(LISTING)
            .key_schema(self.key(LIST, KeyType::Hash)?)
            .key_schema(self.key(RANK, KeyType::Range)?)
            .projection(Projection::builder().projection_type(ProjectionType::All).build())
            .build()
            .map_err(|error| self.impossible(error))?;
        let request = self
            .client
            .create_table()
            .table_name(&self.table)
            .billing_mode(BillingMode::PayPerRequest)
            .set_attribute_definitions(Some(attributes.map_err(|error| self.impossible(error))?))
            .key_schema(self.key(ROW, KeyType::Hash)?)
            .global_secondary_indexes(index);
        match request.send().await {
            Ok(_) => {}
            Err(error) if error.as_service_error().is_some_and(CreateTableError::is_resource_in_use_exception) => {}
            Err(error) => return Err(self.failed(error)),
        }
        self.wait_until_active().await
    }

    fn key(&self, name: &str, kind: KeyType) -> Result<KeySchemaElement, TableError> {
        let built = KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
        built.map_err(|error| self.impossible(error))
    }

    async fn wait_until_active(&self) -> Result<(), TableError> {
        for _ in 0..60 {
            let answer = self.client.describe_table().table_name(&self.table).send().await;
            let table = answer.map_err(|error| self.failed(error))?.table;
            if table.and_then(|table| table.table_status) == Some(TableStatus::Active) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Err(TableError::Failed { table: self.table.clone(), source: plain("it was not active after 60 s") })
    }
}

fn plain(text: &'static str) -> Source {
    Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(text))
}

/// Doubling from 2 ms to 200 ms, half of it by chance.
pub(crate) async fn pause(attempt: u32) {
    let longest = 2_u64.saturating_pow(attempt).min(200);
    tokio::time::sleep(Duration::from_millis(longest / 2 + fastrand::u64(0..=longest / 2))).await;
}
