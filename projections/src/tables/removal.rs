//! Removes a generation's items from a table, slice by slice.

use crate::tables::attribute::{text, text_of};
use crate::tables::row::Item;
use crate::tables::table::{MAX_REMOVALS, Table, TableError};
use eventstore::Segment;
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

/// The most items that a slice reads.
const SLICE_ITEMS: i32 = 500;
/// How many requests delete at once.
const CONCURRENT_DELETES: usize = 4;

/// Which items to remove.
pub(crate) struct Removal {
    /// The attribute of the partition key.
    pub(crate) partition: &'static str,
    /// The attribute of the sort key.
    pub(crate) order: &'static str,
    /// What the partition keys begin with.
    pub(crate) prefix: String,
    /// One more partition.
    pub(crate) also: Option<String>,
}

/// Where the removal of a segment continues. It can be stored and given to another worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveCursor {
    #[serde(rename = "command")]
    partition: String,
    #[serde(rename = "rank")]
    order: String,
}

/// The result of a slice of a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedSlice {
    /// The next slice; none when the segment is done.
    pub next: Option<RemoveCursor>,
    /// How many items were removed.
    pub removed: usize,
}

impl Table {
    /// Removes the matching items among the next 500 items of a segment.
    pub(crate) async fn remove_slice(
        &self,
        removal: &Removal,
        segment: Segment,
        cursor: Option<RemoveCursor>,
    ) -> Result<RemovedSlice, TableError> {
        let (keys, next) = self.keys_of(removal, segment, cursor).await?;
        let deletes = keys.chunks(MAX_REMOVALS).map(|keys| self.remove(keys));
        let deletes =
            futures::stream::iter(deletes.collect::<Vec<_>>()).buffer_unordered(CONCURRENT_DELETES);
        deletes.try_collect::<()>().await?;
        Ok(RemovedSlice { next, removed: keys.len() })
    }

    /// The keys of the matching items in a slice, and the next slice.
    async fn keys_of(
        &self,
        Removal { partition, order, prefix, also }: &Removal,
        segment: Segment,
        cursor: Option<RemoveCursor>,
    ) -> Result<(Vec<Item>, Option<RemoveCursor>), TableError> {
        let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let start = cursor.map(|at| {
            Item::from([
                ((*partition).to_owned(), text(&at.partition)),
                ((*order).to_owned(), text(&at.order)),
            ])
        });
        let request = self
            .client
            .scan()
            .table_name(&self.name)
            .segment(count(segment.index))
            .total_segments(count(segment.total))
            .consistent_read(true)
            .limit(SLICE_ITEMS)
            .filter_expression("begins_with(#partition, :prefix) OR #partition = :also")
            .projection_expression("#partition, #order")
            .expression_attribute_names("#partition", *partition)
            .expression_attribute_names("#order", *order)
            .expression_attribute_values(":prefix", text(prefix))
            .expression_attribute_values(":also", text(also.as_ref().unwrap_or(prefix)))
            .set_exclusive_start_key(start);
        let answer = request.send().await.map_err(|error| self.failed(error))?;
        let part = |key: &Item, name| text_of(key, name).map(str::to_owned);
        let next = answer.last_evaluated_key.as_ref();
        let next = next.and_then(|key| {
            Some(RemoveCursor { partition: part(key, partition)?, order: part(key, order)? })
        });
        Ok((answer.items.unwrap_or_default(), next))
    }
}
