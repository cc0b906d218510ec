//! The table that holds every read model.

use crate::tables::position::{Position, read_hash};
use crate::tables::row::{Generation, HASH, Item, LIST, RANK, ROW, Row, VERSION};
use crate::tables::table::{MAX_ITEMS, Table, TableError};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use eventstore::Segment;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The index that lists rows in order of their rank.
const LISTING: &str = "listing";

/// The read-model table.
#[derive(Clone)]
pub struct ReadModels {
    table: Table,
}

/// A row to write, and the condition.
#[derive(Debug, Clone)]
pub(crate) struct ConditionalWrite {
    pub(crate) row: Row,
    /// The version that the row must have; none where it must not exist.
    pub(crate) expected: Option<u64>,
}

/// The result of a conditional write.
#[derive(Debug)]
pub(crate) enum Written {
    Yes,
    /// Another writer was quicker. Its row, if DynamoDB returned it.
    Conflict(Option<Box<Row>>),
}

/// Where a list continues, in any generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListCursor {
    row: String,
    rank: String,
}

impl ListCursor {
    /// Whether it can be a place in a list: callers may send any text.
    pub fn fits(&self) -> bool {
        !self.row.is_empty() && !self.rank.is_empty()
    }

    /// The place after the row, if it is listed.
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
    /// The next page; none at the end.
    pub next: Option<ListCursor>,
}

/// Rows that were read together; none if that was not possible.
pub(crate) struct Prefetched(Option<HashMap<String, Row>>);

impl Prefetched {
    /// The row under a requested key; the outer none if it must be read alone.
    pub(crate) fn of(&self, key: &str) -> Option<Option<Row>> {
        self.0.as_ref().map(|rows| rows.get(key).cloned())
    }
}

impl ReadModels {
    /// The table of that name, which [`ReadModels::create_table`] or your own template makes.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { table: Table { client, name: table.into() } }
    }

    /// Reads a row by its whole key.
    pub(crate) async fn get(
        &self,
        key: String,
        consistent: bool,
    ) -> Result<Option<Row>, TableError> {
        let key = AttributeValue::S(key);
        let request = self
            .table
            .client
            .get_item()
            .table_name(&self.table.name)
            .key(ROW, key)
            .consistent_read(consistent);
        let answer = request.send().await.map_err(|error| self.table.failed(error))?;
        Ok(answer.item.as_ref().map(Row::from_item).transpose()?)
    }

    /// Reads rows by their whole keys, strongly consistent; a missing row is not in the answer.
    pub(crate) async fn get_all(
        &self,
        keys: &[String],
    ) -> Result<HashMap<String, Row>, TableError> {
        let rows = self.table.items(&items_of(keys), &[]).await?.into_iter().map(|item| {
            let row = Row::from_item(&item)?;
            Ok((row.key.clone(), row))
        });
        rows.collect()
    }

    /// Reads several rows in one request, strongly consistent. Returns none for a single row, for
    /// more than fit into one request, and if a row is unreadable: the callers then read their own.
    pub(crate) async fn prefetch(&self, keys: Vec<String>) -> Prefetched {
        if !(2..=MAX_ITEMS).contains(&keys.len()) {
            return Prefetched(None);
        }
        Prefetched(self.get_all(&keys).await.ok())
    }

    /// The positions of rows by their whole keys, strongly consistent. Rows that are missing or
    /// have no readable position are left out.
    pub(crate) async fn positions(
        &self,
        keys: &[String],
    ) -> Result<HashMap<String, Position>, TableError> {
        let items = self.table.items(&items_of(keys), &[ROW, VERSION, HASH]).await?;
        Ok(items
            .iter()
            .filter_map(|item| Some((text_of(item, ROW)?, position_of(item)?)))
            .collect())
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
            .table
            .client
            .query()
            .table_name(&self.table.name)
            .index_name(LISTING)
            .key_condition_expression("#list = :list")
            .expression_attribute_names("#list", LIST)
            .expression_attribute_values(":list", AttributeValue::S(list.clone()))
            .scan_index_forward(false)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|error| self.table.failed(error))?;
        let next = answer.last_evaluated_key.as_ref();
        let next = next.and_then(|key| {
            let row = generation.name(&text_of(key, ROW)?)?.to_owned();
            Some(ListCursor { row, rank: text_of(key, RANK)? })
        });
        let rows = answer.items().iter().map(Row::from_item).collect::<Result<_, _>>()?;
        Ok(ListPage { rows, next })
    }

    /// Writes a row if the stored one has the expected version.
    pub(crate) async fn put(&self, write: &ConditionalWrite) -> Result<Written, TableError> {
        let put = self.put_of(write)?;
        let answer = self
            .table
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
                Ok(Written::Conflict(row.map(Box::new)))
            }
            Some(PutItemError::TransactionConflictException(_)) => Ok(Written::Conflict(None)),
            _ => Err(self.table.failed(error)),
        }
    }

    /// Removes rows by their whole keys; missing rows are no error. At most 25 in each request.
    pub(crate) async fn remove(&self, keys: &[String]) -> Result<(), TableError> {
        self.table.remove(&items_of(keys)).await
    }

    /// Removes a row by its whole key, if it is listed at that rank.
    pub(crate) async fn remove_ranked(&self, key: String, rank: String) -> Result<(), TableError> {
        let request = self
            .table
            .client
            .delete_item()
            .table_name(&self.table.name)
            .key(ROW, AttributeValue::S(key));
        let request =
            request.condition_expression("#rank = :rank").expression_attribute_names("#rank", RANK);
        let answer =
            request.expression_attribute_values(":rank", AttributeValue::S(rank)).send().await;
        let Err(error) = answer else { return Ok(()) };
        match error.as_service_error() {
            Some(DeleteItemError::ConditionalCheckFailedException(_)) => Ok(()),
            _ => Err(self.table.failed(error)),
        }
    }

    /// The whole keys of a page of the table's segment, and the next page.
    pub(crate) async fn scan_keys(
        &self,
        segment: Segment,
        behind: Option<&str>,
    ) -> Result<(Vec<String>, Option<String>), TableError> {
        let (items, next) = self.scan(segment, behind, &[ROW]).await?;
        Ok((items.iter().filter_map(|item| text_of(item, ROW)).collect(), next))
    }

    /// The whole keys and positions of a page of the table's segment, and the next page. Rows
    /// without a position are left out.
    pub(crate) async fn scan_positions(
        &self,
        segment: Segment,
        behind: Option<&str>,
    ) -> Result<(Vec<(String, Position)>, Option<String>), TableError> {
        let (items, next) = self.scan(segment, behind, &[ROW, VERSION, HASH]).await?;
        let rows = items
            .iter()
            .filter_map(|item| Some((text_of(item, ROW)?, position_of(item)?)))
            .collect();
        Ok((rows, next))
    }

    /// A page of the table's segment, strongly consistent: those attributes of each row, and the
    /// next page.
    async fn scan(
        &self,
        segment: Segment,
        behind: Option<&str>,
        attributes: &[&str],
    ) -> Result<(Vec<Item>, Option<String>), TableError> {
        let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let start =
            behind.map(|key| Item::from([(ROW.to_owned(), AttributeValue::S(key.to_owned()))]));
        let names: Vec<String> = attributes.iter().map(|name| format!("#{name}")).collect();
        let mut request =
            self.table.client.scan().table_name(&self.table.name).segment(count(segment.index));
        request = request.total_segments(count(segment.total)).set_exclusive_start_key(start);
        request = request.projection_expression(names.join(", "));
        for (placeholder, name) in names.into_iter().zip(attributes) {
            request = request.expression_attribute_names(placeholder, *name);
        }
        let answer =
            request.consistent_read(true).send().await.map_err(|error| self.table.failed(error))?;
        let next = answer.last_evaluated_key.as_ref().and_then(|key| text_of(key, ROW));
        Ok((answer.items.unwrap_or_default(), next))
    }

    /// Writes a row without a condition.
    pub(crate) async fn overwrite(&self, row: &Row) -> Result<(), TableError> {
        let put =
            self.table.client.put_item().table_name(&self.table.name).set_item(Some(row.to_item()));
        put.send().await.map(drop).map_err(|error| self.table.failed(error))
    }

    /// Writes rows together, at most [`MAX_ITEMS`]: all of them or none.
    pub(crate) async fn put_all(&self, writes: &[ConditionalWrite]) -> Result<Written, TableError> {
        let put = |write| Ok(TransactWriteItem::builder().put(self.put_of(write)?).build());
        let items = writes.iter().map(put).collect::<Result<Vec<_>, TableError>>()?;
        let answer =
            self.table.client.transact_write_items().set_transact_items(Some(items)).send().await;
        let Err(error) = answer else { return Ok(Written::Yes) };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                let mut codes =
                    canceled.cancellation_reasons().iter().filter_map(|reason| reason.code());
                let lost = codes
                    .any(|code| code == "ConditionalCheckFailed" || code == "TransactionConflict");
                if lost { Ok(Written::Conflict(None)) } else { Err(self.table.failed(error)) }
            }
            Some(TransactWriteItemsError::TransactionInProgressException(_)) => {
                Ok(Written::Conflict(None))
            }
            _ => Err(self.table.failed(error)),
        }
    }

    fn put_of(&self, write: &ConditionalWrite) -> Result<Put, TableError> {
        let put = Put::builder().table_name(&self.table.name).set_item(Some(write.row.to_item()));
        let put = match write.expected {
            None => put
                .condition_expression("attribute_not_exists(#row)")
                .expression_attribute_names("#row", ROW),
            Some(version) => put
                .condition_expression("#version = :expected")
                .expression_attribute_names("#version", VERSION)
                .expression_attribute_values(":expected", AttributeValue::N(version.to_string())),
        };
        put.build().map_err(|error| self.table.failed_by(error))
    }

    /// Creates the table with its index, and waits until it can be used. Does nothing if it exists.
    ///
    /// # Errors
    /// [`TableError`] if DynamoDB does not create it.
    pub async fn create_table(&self) -> Result<(), TableError> {
        let table = &self.table;
        let request =
            table.creation(&[ROW, LIST, RANK])?.set_key_schema(Some(table.keys(ROW, None)?));
        table.create(request.global_secondary_indexes(table.index(LISTING, LIST, RANK)?)).await
    }
}

fn items_of(keys: &[String]) -> Vec<Item> {
    keys.iter().map(|key| Item::from([(ROW.to_owned(), AttributeValue::S(key.clone()))])).collect()
}

fn text_of(item: &Item, name: &str) -> Option<String> {
    item.get(name).and_then(|value| value.as_s().ok()).cloned()
}

fn position_of(item: &Item) -> Option<Position> {
    let version = item.get(VERSION)?.as_n().ok()?.parse().ok()?;
    Some(Position { version, hash: read_hash(&text_of(item, HASH)?)? })
}
