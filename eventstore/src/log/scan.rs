//! Reads the whole table, in segments for any number of workers.

use super::item::{SNAPSHOT_VERSION, STREAM_ID, VERSION, is_batch, item_key, key_of, number};
use crate::error::classify;
use crate::metering::meter;
use crate::metering::operation_event::OperationReport;
use crate::{Batch, CorruptStream, EventStore, Item, StoreError, StreamId, Usage};
use aws_sdk_dynamodb::operation::scan::ScanOutput;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A part of the table: `index` of `total` segments, at most 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// From 0.
    pub index: u32,
    /// At least 1.
    pub total: u32,
}

/// Where a scan continues: any key of the table. It can be stored and passed to another worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanCursor {
    stream: String,
    version: String,
}

/// The streams of the table.
#[derive(Debug, Clone, Default)]
pub struct Streams {
    /// Their names. A stream of which only the snapshot is left is included: its events are
    /// missing.
    pub names: BTreeSet<StreamId>,
    /// Items whose keys the store does not write.
    pub foreign: Vec<CorruptStream>,
}

/// A page of a scan.
#[derive(Debug, Clone)]
pub struct ScanPage {
    /// The batches, in no order.
    pub batches: Vec<Batch>,
    /// Items that the store did not write; the caller decides what to do about them.
    pub damaged: Vec<CorruptStream>,
    /// Where to continue; none at the end of the segment.
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
    /// [`StoreError`]. An item that is no batch is part of the answer.
    pub async fn scan(
        &self,
        segment: Segment,
        cursor: Option<&ScanCursor>,
    ) -> Result<ScanPage, StoreError> {
        self.reported("scan", None, self.scan_page(segment, cursor)).await
    }

    async fn scan_page(
        &self,
        segment: Segment,
        cursor: Option<&ScanCursor>,
    ) -> Result<ScanPage, StoreError> {
        let ItemPage { items, next, usage } = self.scan_items(segment, cursor, None).await?;
        let (mut batches, mut damaged) = (Vec::new(), Vec::new());
        for item in items.iter().filter(|item| is_batch(item)) {
            match Batch::from_item(item) {
                Ok(batch) => batches.push(batch),
                Err(item) => damaged.push(item),
            }
        }
        Ok(ScanPage { batches, damaged, next, usage })
    }

    /// How many items the table has, including snapshots. DynamoDB updates the count about every
    /// six hours; none if it returns no count.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn approximate_items(&self) -> Result<Option<u64>, StoreError> {
        let request = self.client.describe_table().table_name(&self.table);
        let answer = request.send().await.map_err(|error| classify(error, &self.table))?;
        Ok(answer
            .table
            .and_then(|table| table.item_count)
            .and_then(|count| u64::try_from(count).ok()))
    }

    /// Finds all streams, reading `segments` segments concurrently. `on_page` gets the number of
    /// items so far.
    ///
    /// # Errors
    /// [`StoreError`]. An item with a foreign key is part of the answer.
    pub async fn streams(
        &self,
        segments: u32,
        on_page: impl Fn(usize) + Sync,
    ) -> Result<Streams, StoreError> {
        self.reported("streams", None, self.find_streams(segments, on_page)).await
    }

    async fn find_streams(
        &self,
        segments: u32,
        on_page: impl Fn(usize) + Sync,
    ) -> Result<Streams, StoreError> {
        let (seen, total) = (AtomicUsize::new(0), segments.max(1));
        let found = futures::stream::iter(0..total).map(|index| {
            let (seen, on_page) = (&seen, &on_page);
            async move {
                let (mut streams, mut cursor) = (Streams::default(), None);
                loop {
                    let segment = Segment { index, total };
                    let page = self
                        .scan_items(segment, cursor.as_ref(), Some("#stream, #version"))
                        .await?;
                    streams.take(&page.items);
                    let before = seen.fetch_add(page.items.len(), Ordering::Relaxed);
                    on_page(before + page.items.len());
                    cursor = page.next;
                    if cursor.is_none() {
                        return Ok::<_, StoreError>(streams);
                    }
                }
            }
        });
        let all: Vec<Streams> = found.buffer_unordered(8).try_collect().await?;
        let join = |mut one: Streams, other: Streams| {
            one.names.extend(other.names);
            one.foreign.extend(other.foreign);
            one
        };
        Ok(all.into_iter().fold(Streams::default(), join))
    }

    async fn scan_items(
        &self,
        segment: Segment,
        cursor: Option<&ScanCursor>,
        projection: Option<&str>,
    ) -> Result<ItemPage, StoreError> {
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
        let units = |answer: &Result<ScanOutput, _>| {
            answer
                .as_ref()
                .map_or_else(|_| Usage::default(), |answer| Usage::read(answer.consumed_capacity()))
        };
        let (answer, usage) = meter::request(request.send(), units).await;
        let answer = answer.map_err(|error| classify(error, &self.table))?;
        let next = answer.last_evaluated_key.as_ref().and_then(cursor_at);
        Ok(ItemPage { items: answer.items.unwrap_or_default(), next, usage })
    }
}

impl Streams {
    fn take(&mut self, items: &[Item]) {
        let snapshots = items.iter().filter(|item| number(item, VERSION) == Some(SNAPSHOT_VERSION));
        self.names.extend(
            snapshots.filter_map(|item| key_of(item).0.and_then(|name| StreamId::new(name).ok())),
        );
        for item in items.iter().filter(|item| is_batch(item)) {
            match item_key(item) {
                Ok(key) => drop(self.names.insert(key.stream)),
                Err(damaged) => self.foreign.push(damaged),
            }
        }
    }
}

fn cursor_at(key: &Item) -> Option<ScanCursor> {
    let (stream, version) = (key.get(STREAM_ID)?.as_s().ok()?, key.get(VERSION)?.as_n().ok()?);
    Some(ScanCursor { stream: stream.clone(), version: version.clone() })
}

fn start_key(cursor: &ScanCursor) -> Item {
    Item::from([
        (STREAM_ID.to_owned(), AttributeValue::S(cursor.stream.clone())),
        (VERSION.to_owned(), AttributeValue::N(cursor.version.clone())),
    ])
}

impl From<&ScanPage> for OperationReport {
    fn from(page: &ScanPage) -> Self {
        Self::of(page.batches.iter().flat_map(|batch| &batch.commits))
    }
}

impl From<&Streams> for OperationReport {
    fn from(_: &Streams) -> Self {
        Self::outcome("ok")
    }
}
