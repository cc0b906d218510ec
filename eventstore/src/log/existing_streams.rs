//! Which of the named streams exist.

use super::item::{STREAM_ID, VERSION, item_key};
use crate::error::classify;
use crate::metering::meter;
use crate::metering::operation_event::OperationReport;
use crate::{EventStore, Item, StoreError, StreamId, Usage};
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemOutput;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnConsumedCapacity};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The most keys of a `BatchGetItem` (DynamoDB's limit).
const MAX_KEYS: usize = 100;

/// Streams that exist.
#[derive(Debug, Clone, Default)]
pub struct ExistingStreams {
    /// Their names.
    pub names: BTreeSet<StreamId>,
}

impl EventStore {
    /// Which of the streams, each named once, have a first commit. Costs half a read unit for each
    /// 4 KB of their first items.
    ///
    /// Eventually consistent, and unprocessed keys are not retried. A stream in the answer exists;
    /// for another one ask [`EventStore::head`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn existing_streams(
        &self,
        streams: &[StreamId],
    ) -> Result<ExistingStreams, StoreError> {
        self.reported("begun", None, self.find_existing(streams)).await
    }

    async fn find_existing(&self, streams: &[StreamId]) -> Result<ExistingStreams, StoreError> {
        let mut begun = ExistingStreams::default();
        for streams in streams.chunks(MAX_KEYS) {
            let found = self.first_items(streams).await?;
            begun.names.extend(found.iter().filter_map(|item| Some(item_key(item).ok()?.stream)));
        }
        Ok(begun)
    }

    async fn first_items(&self, streams: &[StreamId]) -> Result<Vec<Item>, StoreError> {
        let keys = streams.iter().map(first_key).collect();
        let keys = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(false);
        let keys = keys
            .projection_expression("#stream, #version")
            .expression_attribute_names("#stream", STREAM_ID);
        let keys = keys.expression_attribute_names("#version", VERSION);
        let keys = keys.build().map_err(|error| StoreError::Rejected(Arc::new(error)))?;
        let request = self.client.batch_get_item().request_items(&self.table, keys);
        let request = request.return_consumed_capacity(ReturnConsumedCapacity::Total);
        let units = |answer: &Result<BatchGetItemOutput, _>| {
            answer.as_ref().map_or_else(
                |_| Usage::default(),
                |answer| Usage::read(answer.consumed_capacity().first()),
            )
        };
        let (answer, _) = meter::request(request.send(), units).await;
        let answer = answer.map_err(|error| classify(error, &self.table))?;
        Ok(answer.responses.and_then(|mut tables| tables.remove(&self.table)).unwrap_or_default())
    }
}

/// The key of the first item of the stream.
fn first_key(stream: &StreamId) -> Item {
    Item::from([
        (STREAM_ID.to_owned(), AttributeValue::S(stream.to_string())),
        (VERSION.to_owned(), AttributeValue::N("1".to_owned())),
    ])
}

impl From<&ExistingStreams> for OperationReport {
    fn from(_: &ExistingStreams) -> Self {
        Self::outcome("ok")
    }
}
