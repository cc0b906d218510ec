//! Reads streams: whole, in pages, and their heads.

use super::item::{STREAM_ID, VERSION, item_key};
use crate::error::classify;
use crate::metering::meter;
use crate::metering::operation_event::OperationReport;
use crate::stream::hash_chain::follow;
use crate::{
    Batch, Commit, CorruptStream, Damage, EventStore, Head, Item, MAX_VERSION, StoreError,
    StreamId, Usage,
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

/// A page of a stream.
#[derive(Debug, Clone)]
pub struct StreamPage {
    /// Whole commits in the order of the read.
    pub commits: Vec<Commit>,
    /// The version at which the next page begins, if there may be one.
    pub next: Option<u64>,
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

    /// Reads a page of a stream, strongly consistent. It begins with the commit of event `from`,
    /// and ends after `limit` events (at least 1) or 1 MB. Commits are whole, so the first may
    /// begin before `from`.
    ///
    /// # Errors
    /// [`ReadError`], also for a gap on the page or at its start, or before the last page of a read
    /// backwards.
    pub async fn read(
        &self,
        stream: &StreamId,
        from: u64,
        direction: Direction,
        limit: u32,
    ) -> Result<StreamPage, ReadError> {
        self.reported("read", Some(stream), self.read_page(stream, from, direction, limit)).await
    }

    pub(crate) async fn read_page(
        &self,
        stream: &StreamId,
        from: u64,
        direction: Direction,
        limit: u32,
    ) -> Result<StreamPage, ReadError> {
        let (from, limit) = (from.clamp(1, MAX_VERSION), limit.max(1));
        let (low, high, mut usage) = match direction {
            Direction::Forwards => {
                let (start, usage) = self.batch_start(stream, from).await?;
                (start, MAX_VERSION, usage)
            }
            Direction::Backwards => (1, from, Usage::default()),
        };
        let page = Query {
            from: low,
            to: high,
            limit: Some(i32::try_from(limit).unwrap_or(i32::MAX)),
            ..Query::whole(stream, direction, Consistency::Strong)
        };
        let Items { items, next, usage: cost } = self.query(&page, None).await?;
        usage += cost;
        let batches = items.iter().map(Batch::from_item).collect::<Result<Vec<_>, _>>()?;
        check_adjacent(&batches, direction)?;
        match direction {
            Direction::Forwards => check_begins(&batches, from)?,
            Direction::Backwards => {
                usage += self.check_reaches(stream, &batches, from).await?;
                if next.is_none() {
                    check_first(&batches)?;
                }
            }
        }
        let commits = in_range(batches, from, direction);
        Ok(limit_events(commits, direction, limit, next.is_some(), usage))
    }

    /// The first version of the batch with `version`, so that a forward read can begin within it.
    async fn batch_start(
        &self,
        stream: &StreamId,
        version: u64,
    ) -> Result<(u64, Usage), ReadError> {
        if version == 1 {
            return Ok((version, Usage::default()));
        }
        let covering = Query {
            to: version,
            limit: Some(1),
            ..Query::whole(stream, Direction::Backwards, Consistency::Strong)
        };
        let Items { items, usage, .. } = self.query(&covering, None).await?;
        let batch = items.first().map(Batch::from_item).transpose()?;
        let start = batch
            .filter(|batch| batch.last_version() >= version)
            .map_or(version, |batch| batch.version());
        Ok((start, usage))
    }

    /// Checks that a backward page begins with the batch of `from`, unless the stream ends before.
    /// If a later batch exists, one is missing. Costs a request only if the page begins below
    /// `from`.
    async fn check_reaches(
        &self,
        stream: &StreamId,
        batches: &[Batch],
        from: u64,
    ) -> Result<Usage, ReadError> {
        if batches.first().is_some_and(|first| first.last_version() >= from) {
            return Ok(Usage::default());
        }
        let one = |direction| Query {
            limit: Some(1),
            ..Query::whole(stream, direction, Consistency::Strong)
        };
        let behind =
            self.query(&Query { from: from + 1, ..one(Direction::Forwards) }, None).await?;
        let mut usage = behind.usage;
        if let Some(later) = behind.items.first() {
            // The stream may have grown since the page was read; then `from` exists by now.
            let covering =
                self.query(&Query { to: from, ..one(Direction::Backwards) }, None).await?;
            usage += covering.usage;
            let reached = covering
                .items
                .first()
                .map(Batch::from_item)
                .transpose()?
                .map_or(0, |it| it.last_version());
            if reached < from {
                return Err(hole(stream, reached + 1, item_key(later)?.version).into());
            }
        }
        Ok(usage)
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

/// Checks that the batches of a page are adjacent.
fn check_adjacent(batches: &[Batch], direction: Direction) -> Result<(), CorruptStream> {
    for pair in batches.windows(2) {
        let [first, second] = pair else { continue };
        let (earlier, later) = match direction {
            Direction::Forwards => (first, second),
            Direction::Backwards => (second, first),
        };
        if earlier.last_version() + 1 != later.version() {
            let (version, found) = (earlier.last_version() + 1, later.version());
            let damage =
                if found > version { Damage::Hole { found } } else { Damage::Overlap { found } };
            return Err(CorruptStream { stream: later.stream.to_string(), version, damage });
        }
    }
    Ok(())
}

/// Checks that a forward page begins with the batch of `from`: if only later ones are left, it is
/// missing.
fn check_begins(batches: &[Batch], from: u64) -> Result<(), CorruptStream> {
    match batches.first() {
        Some(first) if first.version() > from => Err(hole(&first.stream, from, first.version())),
        _ => Ok(()),
    }
}

/// Checks that the last page of a backward read ends with the first batch.
fn check_first(batches: &[Batch]) -> Result<(), CorruptStream> {
    match batches.last() {
        Some(first) if first.version() > 1 => Err(hole(&first.stream, 1, first.version())),
        _ => Ok(()),
    }
}

/// Events from `version` on are missing; the next ones begin at `found`.
fn hole(stream: &StreamId, version: u64, found: u64) -> CorruptStream {
    CorruptStream { stream: stream.to_string(), version, damage: Damage::Hole { found } }
}

/// The commits in reading order, without those before the start of the read.
fn in_range(batches: Vec<Batch>, from: u64, direction: Direction) -> Vec<Commit> {
    let commits = batches.into_iter().flat_map(|mut batch| {
        if direction == Direction::Backwards {
            batch.commits.reverse();
        }
        batch.commits
    });
    match direction {
        Direction::Forwards => commits.filter(|commit| commit.last_version() >= from).collect(),
        Direction::Backwards => commits.filter(|commit| commit.version <= from).collect(),
    }
}

/// Takes commits until they have `limit` events, and finds where the next page begins.
fn limit_events(
    commits: Vec<Commit>,
    direction: Direction,
    limit: u32,
    more_items: bool,
    usage: Usage,
) -> StreamPage {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let all = commits.len();
    let mut events = 0;
    let commits: Vec<Commit> = commits
        .into_iter()
        .take_while(|commit| {
            let wanted = events < limit;
            events += commit.events.len();
            wanted
        })
        .collect();
    let more = more_items || commits.len() < all;
    let next = commits.last().filter(|_| more).map(|last| match direction {
        Direction::Forwards => last.last_version() + 1,
        Direction::Backwards => last.version - 1,
    });
    StreamPage { commits, next: next.filter(|version| *version > 0), usage }
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

impl From<&StreamPage> for OperationReport {
    fn from(page: &StreamPage) -> Self {
        Self::of(page.commits.iter())
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
