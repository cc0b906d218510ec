//! Removes a generation, slice by slice.

use super::entry::{COMMAND, RANK, days_key, prefix, text, text_of};
use super::index::AuditIndex;
use crate::tables::row::Item;
use crate::tables::table::{MAX_REMOVALS, Table, TableError};
use eventstore::Segment;
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

/// The most items that a slice reads.
const SLICE_ITEMS: i32 = 500;
/// How many requests delete at once.
const CONCURRENT_DELETES: usize = 4;

/// Where the removal of a segment continues. It can be stored and given to another worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveCursor {
    command: String,
    rank: String,
}

/// The result of a slice of a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedSlice {
    /// The next slice; none when the segment is done.
    pub next: Option<RemoveCursor>,
    /// How many items were removed: entries, and days of the directory.
    pub removed: usize,
}

impl AuditIndex {
    /// Removes a generation's items among the next 500 items of a segment. Other generations are
    /// unchanged.
    ///
    /// # Errors
    /// [`TableError`]; the slice can be repeated.
    pub async fn remove_slice(
        &self,
        generation: u32,
        segment: Segment,
        cursor: Option<RemoveCursor>,
    ) -> Result<RemovedSlice, TableError> {
        let (keys, next) = self.table.keys_of(generation, segment, cursor).await?;
        let deletes = keys.chunks(MAX_REMOVALS).map(|keys| self.table.remove(keys));
        let deletes =
            futures::stream::iter(deletes.collect::<Vec<_>>()).buffer_unordered(CONCURRENT_DELETES);
        deletes.try_collect::<()>().await?;
        Ok(RemovedSlice { next, removed: keys.len() })
    }
}

impl Table {
    /// The keys of a generation's items in a slice, and the next slice.
    async fn keys_of(
        &self,
        generation: u32,
        segment: Segment,
        cursor: Option<RemoveCursor>,
    ) -> Result<(Vec<Item>, Option<RemoveCursor>), TableError> {
        let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let start = cursor.map(|RemoveCursor { command, rank }| {
            Item::from([(COMMAND.to_owned(), text(&command)), (RANK.to_owned(), text(&rank))])
        });
        let request = self
            .client
            .scan()
            .table_name(&self.name)
            .segment(count(segment.index))
            .total_segments(count(segment.total))
            .consistent_read(true)
            .limit(SLICE_ITEMS)
            .filter_expression("begins_with(#command, :prefix) OR #command = :days")
            .projection_expression("#command, #rank")
            .expression_attribute_names("#command", COMMAND)
            .expression_attribute_names("#rank", RANK)
            .expression_attribute_values(":prefix", text(&prefix(generation)))
            .expression_attribute_values(":days", text(&days_key(generation)))
            .set_exclusive_start_key(start);
        let answer = request.send().await.map_err(|error| self.failed(error))?;
        let part = |key: &Item, name| text_of(key, name).map(str::to_owned);
        let next = answer.last_evaluated_key.as_ref();
        let next = next.and_then(|key| {
            Some(RemoveCursor { command: part(key, COMMAND)?, rank: part(key, RANK)? })
        });
        Ok((answer.items.unwrap_or_default(), next))
    }
}
