//! The index's table: one request per function.

use super::entry::{COMMAND, CORRELATION, DAY, HASH, RANK};
use super::rank::Window;
use super::short_hash::ShortHash;
use crate::tables::attribute::text;
use crate::tables::row::Item;
use crate::tables::table::{Table, TableError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use eventstore::Direction;

/// The index of a day's shards.
const BY_TIME: &str = "by_time";
/// The index of correlation ids.
const BY_CORRELATION: &str = "by_correlation";

/// A partition of the table or of an index.
#[derive(Debug, Clone)]
pub(super) struct Partition {
    index: Option<&'static str>,
    attribute: &'static str,
    key: String,
}

/// Items of a partition in order, and the key of the last one if there are more.
pub(super) struct Items {
    pub(super) items: Vec<Item>,
    pub(super) next: Option<Item>,
}

impl Partition {
    /// The items under a key of the table itself.
    pub(super) fn of_table(key: String) -> Self {
        Self { index: None, attribute: COMMAND, key }
    }

    /// The commits with a correlation id.
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

    /// Puts an entry, unless there is one with another hash. An older one without a hash is
    /// replaced. Returns whether it was put.
    pub(super) async fn put_entry(&self, item: Item, hash: &ShortHash) -> Result<bool, TableError> {
        let request = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#hash) OR #hash = :hash")
            .expression_attribute_names("#hash", HASH)
            .expression_attribute_values(":hash", text(&hash.to_string()));
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The hashes of the entries under the keys, strongly consistent. No key may occur twice.
    pub(super) async fn hashes(&self, keys: &[Item]) -> Result<Vec<Item>, TableError> {
        self.items(keys, &[COMMAND, RANK, HASH]).await
    }

    /// At most `limit` items with ranks within the window or on its edges. Strongly consistent in
    /// the table, not in an index.
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

    /// Creates the table with its indexes, and waits until it can be used.
    pub(super) async fn create_index(&self) -> Result<(), TableError> {
        let request = self.creation(&[COMMAND, RANK, DAY, CORRELATION])?;
        let request = request.set_key_schema(Some(self.keys(COMMAND, Some(RANK))?));
        let request = request.global_secondary_indexes(self.index(BY_TIME, DAY, RANK)?);
        self.create(request.global_secondary_indexes(self.index(
            BY_CORRELATION,
            CORRELATION,
            RANK,
        )?))
        .await
    }
}
