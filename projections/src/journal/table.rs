//! The journal's table: one request per function.

use super::batch::{JournalBatch, PARTITION, PLACE, place, range_key};
use super::stream_end::{POSITION, StreamEnd};
use crate::tables::attribute::{number, text};
use crate::tables::removal::Removal;
use crate::tables::row::Item;
use crate::tables::table::{Table, TableError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use eventstore::StreamId;

/// After the key of any position.
const HIGH: &str = "~";

/// The result of putting a batch.
pub(super) enum PutBatch {
    /// It is there.
    Done,
    /// Another writer's batch is at its first position.
    Taken(Box<JournalBatch>),
}

/// The prefix of the keys of a generation.
pub(super) fn prefix(generation: u32) -> String {
    format!("{generation}/")
}

/// What a removal of a generation removes.
pub(super) fn removal(generation: u32) -> Removal {
    Removal { partition: PARTITION, order: PLACE, prefix: prefix(generation), also: None }
}

impl Table {
    /// Puts a batch, if its first position is free.
    pub(super) async fn put_batch(
        &self,
        generation: u32,
        batch: &JournalBatch,
    ) -> Result<PutBatch, TableError> {
        let item = batch.to_item(generation).map_err(|error| self.failed_by(error))?;
        let answer = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(#partition)")
            .expression_attribute_names("#partition", PARTITION)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = answer else { return Ok(PutBatch::Done) };
        let Some(PutItemError::ConditionalCheckFailedException(refusal)) = error.as_service_error()
        else {
            return Err(self.failed(error));
        };
        let there = match refusal.item() {
            Some(item) => JournalBatch::from_item(item)?,
            None => return Err(self.failed(error)),
        };
        // The SDK repeats a put whose answer was lost.
        let is_own = there.nonce == batch.nonce && there.entries == batch.entries;
        Ok(if is_own { PutBatch::Done } else { PutBatch::Taken(Box::new(there)) })
    }

    /// The newest batch of a range.
    pub(super) async fn newest_batch(
        &self,
        generation: u32,
        range: u64,
        consistent: bool,
    ) -> Result<Option<JournalBatch>, TableError> {
        let low = place(0);
        let page = self.batches(generation, range, (&low, HIGH), false, 1, consistent).await?;
        Ok(page.into_iter().next())
    }

    /// The batch of a range that begins at the position, or the last one before.
    pub(super) async fn batch_up_to(
        &self,
        generation: u32,
        range: u64,
        position: u64,
        consistent: bool,
    ) -> Result<Option<JournalBatch>, TableError> {
        let (low, high) = (place(0), place(position));
        let page = self.batches(generation, range, (&low, &high), false, 1, consistent).await?;
        Ok(page.into_iter().next())
    }

    /// At most that many batches of a range that begin at the position or later.
    pub(super) async fn batches_from(
        &self,
        generation: u32,
        range: u64,
        position: u64,
        limit: usize,
        consistent: bool,
    ) -> Result<Vec<JournalBatch>, TableError> {
        let low = place(position);
        self.batches(generation, range, (&low, HIGH), true, limit, consistent).await
    }

    async fn batches(
        &self,
        generation: u32,
        range: u64,
        (low, high): (&str, &str),
        forwards: bool,
        limit: usize,
        consistent: bool,
    ) -> Result<Vec<JournalBatch>, TableError> {
        let partition = range_key(generation, range);
        let items = self.between(&partition, (low, high), forwards, limit, consistent).await?;
        Ok(items.iter().map(JournalBatch::from_item).collect::<Result<_, _>>()?)
    }

    /// Items of a partition from one place to another, both included; at most 1 MB.
    pub(super) async fn between(
        &self,
        partition: &str,
        (low, high): (&str, &str),
        forwards: bool,
        limit: usize,
        consistent: bool,
    ) -> Result<Vec<Item>, TableError> {
        let request = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(consistent)
            .key_condition_expression("#partition = :partition AND #place BETWEEN :low AND :high")
            .expression_attribute_names("#partition", PARTITION)
            .expression_attribute_names("#place", PLACE)
            .expression_attribute_values(":partition", text(partition))
            .expression_attribute_values(":low", text(low))
            .expression_attribute_values(":high", text(high))
            .scan_index_forward(forwards)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX));
        let answer = request.send().await.map_err(|error| self.failed(error))?;
        Ok(answer.items.unwrap_or_default())
    }

    /// Puts the end of a stream, unless a later one is there.
    pub(super) async fn put_end(
        &self,
        generation: u32,
        stream: &StreamId,
        end: StreamEnd,
    ) -> Result<(), TableError> {
        let answer = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(end.to_item(generation, stream)))
            .condition_expression("attribute_not_exists(#position) OR #position < :position")
            .expression_attribute_names("#position", POSITION)
            .expression_attribute_values(":position", number(end.position))
            .send()
            .await;
        let Err(error) = answer else { return Ok(()) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(()),
            _ => Err(self.failed(error)),
        }
    }

    /// Creates the table, and waits until it can be used.
    pub(super) async fn create_journal(&self) -> Result<(), TableError> {
        let request = self.creation(&[PARTITION, PLACE])?;
        self.create(request.set_key_schema(Some(self.keys(PARTITION, Some(PLACE))?))).await
    }
}
