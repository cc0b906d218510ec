//! Reads streams: whole, what follows a head, and heads.

use super::item::{STREAM_ID, VERSION};
use crate::error::classify;
use crate::metering::meter;
use crate::metering::operation_event::OperationReport;
use crate::stream::hash_chain::follow;
use crate::{
    Batch, CorruptStream, EventStore, Head, Item, MAX_VERSION, StoreError, StreamId, Usage,
};
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// May lack the newest commits; costs half.
    Eventual,
    /// Has every commit that was acknowledged before the read began.
    Strong,
}

/// The direction of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    Forwards,
    /// Newest first.
    Backwards,
}

/// A stream, or a part of it, complete and in order.
#[derive(Debug, Clone)]
pub struct LoadedStream {
    /// The head of the part that was read.
    pub head: Head,
    /// The batches, oldest first.
    pub batches: Vec<Batch>,
    /// What it cost.
    pub usage: Usage,
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The stream is corrupt.
    #[error(transparent)]
    Corrupt(#[from] CorruptStream),
    /// DynamoDB failed or did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A query within one stream.
pub(crate) struct Query<'a> {
    pub(crate) stream: &'a StreamId,
    /// The lowest version. 0 also covers foreign items below all versions.
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) direction: Direction,
    pub(crate) consistency: Consistency,
    pub(crate) limit: Option<i32>,
}

/// One page of a query's items.
pub(crate) struct Items {
    pub(crate) items: Vec<Item>,
    pub(crate) next: Option<Item>,
    pub(crate) usage: Usage,
}

impl EventStore {
    /// Reads a whole stream and checks it: no gap, and every commit in the hash chain. An empty
    /// stream has head 0.
    ///
    /// A gap in an eventually consistent read is read again with strong consistency before it is
    /// reported.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn load(
        &self,
        stream: &StreamId,
        consistency: Consistency,
    ) -> Result<LoadedStream, ReadError> {
        self.load_after(&Head::empty(stream), consistency).await
    }

    /// Reads what follows the head.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn load_after(
        &self,
        head: &Head,
        consistency: Consistency,
    ) -> Result<LoadedStream, ReadError> {
        self.reported("load", Some(&head.stream), self.load_tail(head, consistency)).await
    }

    /// Reads the next 1 MB after the head, strongly consistent and checked; nothing at the end. So
    /// memory is bounded on a stream of any length.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn load_next(&self, head: &Head) -> Result<LoadedStream, ReadError> {
        self.reported("load_next", Some(&head.stream), self.load_page(head)).await
    }

    pub(crate) async fn load_page(&self, head: &Head) -> Result<LoadedStream, ReadError> {
        let behind = Query {
            from: head.version + 1,
            ..Query::whole(&head.stream, Direction::Forwards, Consistency::Strong)
        };
        let Items { items, usage, .. } = self.query(&behind, None).await?;
        let batches = items.iter().map(Batch::from_item).collect::<Result<Vec<_>, _>>()?;
        Ok(LoadedStream { head: follow(head, &batches)?, batches, usage })
    }

    pub(crate) async fn load_tail(
        &self,
        head: &Head,
        consistency: Consistency,
    ) -> Result<LoadedStream, ReadError> {
        let (batches, mut usage) = self.tail(head, consistency).await?;
        match follow(head, &batches) {
            Ok(head) => return Ok(LoadedStream { head, batches, usage }),
            Err(damaged) if consistency == Consistency::Strong => return Err(damaged.into()),
            Err(_) => {}
        }
        let (batches, again) = self.tail(head, Consistency::Strong).await?;
        usage += again;
        let head = follow(head, &batches)?;
        Ok(LoadedStream { head, batches, usage })
    }

    /// Reads the head of the stream: 0 for an empty one.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn head(
        &self,
        stream: &StreamId,
        consistency: Consistency,
    ) -> Result<(Head, Usage), ReadError> {
        self.reported("head", Some(stream), self.find_head(stream, consistency)).await
    }

    async fn find_head(
        &self,
        stream: &StreamId,
        consistency: Consistency,
    ) -> Result<(Head, Usage), ReadError> {
        let last =
            Query { limit: Some(1), ..Query::whole(stream, Direction::Backwards, consistency) };
        let Items { items, usage, .. } = self.query(&last, None).await?;
        let batch = items.first().map(Batch::from_item).transpose()?;
        Ok((batch.map_or_else(|| Head::empty(stream), |batch| Head::of(&batch)), usage))
    }

    /// Everything after the head. It is read backwards from the end, and returned oldest first.
    async fn tail(
        &self,
        head: &Head,
        consistency: Consistency,
    ) -> Result<(Vec<Batch>, Usage), ReadError> {
        let query = Query {
            from: head.version + 1,
            ..Query::whole(&head.stream, Direction::Backwards, consistency)
        };
        let (mut batches, mut usage, mut next) = (Vec::new(), Usage::default(), None);
        loop {
            let page = self.query(&query, next).await?;
            usage += page.usage;
            for item in &page.items {
                batches.push(Batch::from_item(item)?);
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        batches.reverse();
        Ok((batches, usage))
    }

    pub(crate) async fn query(
        &self,
        query: &Query<'_>,
        start: Option<Item>,
    ) -> Result<Items, StoreError> {
        if query.from > query.to {
            // The head has the largest version. DynamoDB refuses bounds in the wrong order.
            return Ok(Items { items: Vec::new(), next: None, usage: Usage::default() });
        }
        let number = |number: u64| AttributeValue::N(number.to_string());
        let request = self.client.query();
        let request = match query.from {
            0 => request.key_condition_expression("#stream = :stream AND #version <= :to"),
            from => request
                .key_condition_expression("#stream = :stream AND #version BETWEEN :from AND :to")
                .expression_attribute_values(":from", number(from)),
        };
        let request = request
            .table_name(&self.table)
            .expression_attribute_names("#stream", STREAM_ID)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":stream", AttributeValue::S(query.stream.to_string()))
            .expression_attribute_values(":to", number(query.to))
            .scan_index_forward(query.direction == Direction::Forwards)
            .consistent_read(query.consistency == Consistency::Strong)
            .set_limit(query.limit)
            .set_exclusive_start_key(start)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let units = |answer: &Result<QueryOutput, _>| {
            answer
                .as_ref()
                .map_or_else(|_| Usage::default(), |answer| Usage::read(answer.consumed_capacity()))
        };
        let (answer, usage) = meter::request(request.send(), units).await;
        let answer = answer.map_err(|error| classify(error, &self.table))?;
        Ok(Items {
            items: answer.items.unwrap_or_default(),
            next: answer.last_evaluated_key,
            usage,
        })
    }
}

impl<'a> Query<'a> {
    pub(crate) fn whole(
        stream: &'a StreamId,
        direction: Direction,
        consistency: Consistency,
    ) -> Self {
        Self { stream, from: 1, to: MAX_VERSION, direction, consistency, limit: None }
    }
}

impl From<&LoadedStream> for OperationReport {
    fn from(LoadedStream { head, batches, .. }: &LoadedStream) -> Self {
        Self::of(batches.iter().flat_map(|batch| &batch.commits)).at(head)
    }
}

impl From<&(Head, Usage)> for OperationReport {
    fn from((head, _): &(Head, Usage)) -> Self {
        Self::outcome("ok").at(head)
    }
}

impl From<&ReadError> for OperationReport {
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::Corrupt(_) => Self::outcome("damaged"),
            ReadError::Store(fault) => fault.into(),
        }
    }
}
