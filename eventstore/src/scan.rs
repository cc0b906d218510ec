//! Reading the whole table, in segments that any number of workers share.

use crate::batch::{Item, ItemKey, STREAM_ID, VERSION, any_key, is_batch, item_key};
use crate::fault::classify;
use crate::load::ReadError;
use crate::usage::Usage;
use crate::{Batch, EventStore, StreamId};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Which part of the table is read: `index` of `total`, at most 1,000,000 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// From 0.
    pub index: u32,
    /// At least 1.
    pub total: u32,
}

/// Where a scan goes on. Can be kept and handed to another worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanCursor {
    stream: StreamId,
    version: u64,
}

/// A page of a scan.
#[derive(Debug, Clone)]
pub struct ScanPage {
    /// The batches, in no order that means anything.
    pub batches: Vec<Batch>,
    /// Where to go on; nothing when the segment is done.
    pub next: Option<ScanCursor>,
    /// What it cost.
    pub usage: Usage,
}

/// A page of raw items.
struct ItemPage {
    items: Vec<Item>,
    next: Option<ScanCursor>,
    usage: Usage,
}

impl EventStore {
    /// Reads the next page (at most 1 MB) of a segment, strongly consistent.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn scan(&self, segment: Segment, cursor: Option<&ScanCursor>) -> Result<ScanPage, ReadError> {
        let ItemPage { items, next, usage } = self.scan_items(segment, cursor, None).await?;
        let events = items.iter().filter(|item| is_batch(item));
        let batches = events.map(Batch::from_item).collect::<Result<_, _>>()?;
        Ok(ScanPage { batches, next, usage })
    }

    /// The names of all streams, read in `segments` segments at once. `on_page` is told how many items were seen so far.
    ///
    /// # Errors
    /// [`ReadError`]; an item without a proper key is damage.
    pub async fn streams(
        &self,
        segments: u32,
        on_page: impl Fn(usize) + Sync,
    ) -> Result<BTreeSet<StreamId>, ReadError> {
        let seen = std::sync::atomic::AtomicUsize::new(0);
        let found = futures::stream::iter(0..segments.max(1)).map(|index| {
            let (seen, on_page) = (&seen, &on_page);
            async move {
                let segment = Segment { index, total: segments.max(1) };
                let (mut names, mut cursor) = (BTreeSet::new(), None);
                loop {
                    let page = self.scan_items(segment, cursor.as_ref(), Some("#stream, #version")).await?;
                    for item in page.items.iter().filter(|item| is_batch(item)) {
                        names.insert(item_key(item)?.stream);
                    }
                    let before = seen.fetch_add(page.items.len(), std::sync::atomic::Ordering::Relaxed);
                    on_page(before + page.items.len());
                    cursor = page.next;
                    if cursor.is_none() {
                        return Ok::<_, ReadError>(names);
                    }
                }
            }
        });
        let all: Vec<BTreeSet<StreamId>> = found.buffer_unordered(8).try_collect().await?;
        Ok(all.into_iter().flatten().collect())
    }

    async fn scan_items(
        &self,
        segment: Segment,
        cursor: Option<&ScanCursor>,
        projection: Option<&str>,
    ) -> Result<ItemPage, ReadError> {
        let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let mut request = self
            .client
            .scan()
            .table_name(&self.table)
            .segment(count(segment.index))
            .total_segments(count(segment.total))
            .consistent_read(true)
            .set_exclusive_start_key(cursor.map(start_key))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        if let Some(attributes) = projection {
            request = request
                .projection_expression(attributes)
                .expression_attribute_names("#stream", STREAM_ID)
                .expression_attribute_names("#version", VERSION);
        }
        let answer = request.send().await.map_err(|error| classify(error, &self.table))?;
        let usage = Usage::read(answer.consumed_capacity());
        let next = answer.last_evaluated_key.as_ref().map(any_key).transpose()?;
        let next = next.map(|ItemKey { stream, version }| ScanCursor { stream, version });
        Ok(ItemPage { items: answer.items.unwrap_or_default(), next, usage })
    }
}

fn start_key(cursor: &ScanCursor) -> Item {
    Item::from([
        (STREAM_ID.to_owned(), AttributeValue::S(cursor.stream.to_string())),
        (VERSION.to_owned(), AttributeValue::N(cursor.version.to_string())),
    ])
}
