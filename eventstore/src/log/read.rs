//! Reading streams: whole, in pages, and their heads.

use super::item::{STREAM_ID, VERSION, item_key};
use crate::error::classify;
use crate::metering::meter;
use crate::metering::operation_event::Report;
use crate::stream::hash_chain::follow;
use crate::{Batch, Commit, CorruptStream, Damage, EventStore, Head, Item, MAX_VERSION, StoreError, StreamId, Usage};
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// May miss the newest commits; half the price.
    Eventual,
    /// Has every commit that was answered before the read began.
    Strong,
}

/// Which way a read goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    Forwards,
    /// Newest first.
    Backwards,
}

/// A stream, or the part of it that was asked for, whole and in order.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The end of the stream as far as it was read.
    pub head: Head,
    /// The batches, oldest first.
    pub batches: Vec<Batch>,
    /// What it cost.
    pub usage: Usage,
}

/// A page of a stream.
#[derive(Debug, Clone)]
pub struct Page {
    /// Whole commits, in the order of the read.
    pub commits: Vec<Commit>,
    /// The version at which the next page begins, if there may be one.
    pub next: Option<u64>,
    /// What it cost.
    pub usage: Usage,
}

/// Why a read has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What is stored is not what the store wrote.
    #[error(transparent)]
    Corrupt(#[from] CorruptStream),
    /// DynamoDB did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A query within one stream.
pub(crate) struct Query<'a> {
    pub(crate) stream: &'a StreamId,
    /// The lowest version; 0 also takes what lies below all versions, where nothing of the store's is.
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
    /// Loads a whole stream, checked: no gap, and every commit in the chain. The empty stream has head 0.
    ///
    /// A gap in an eventually consistent read is read again strongly before it is called damage.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn load(&self, stream: &StreamId, consistency: Consistency) -> Result<Loaded, ReadError> {
        self.load_after(&Head::empty(stream), consistency).await
    }

    /// Loads what stands behind a head.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn load_after(&self, head: &Head, consistency: Consistency) -> Result<Loaded, ReadError> {
        self.reported("load", Some(&head.stream), self.load_tail(head, consistency)).await
    }

    /// Loads what stands next behind a head, strongly consistent and checked: as much as 1 MB of the table holds. Nothing at
    /// the end. So a stream of any length is walked in bounded memory.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn load_next(&self, head: &Head) -> Result<Loaded, ReadError> {
        self.reported("load_next", Some(&head.stream), self.follow_page(head)).await
    }

    async fn follow_page(&self, head: &Head) -> Result<Loaded, ReadError> {
        let behind =
            Query { from: head.version + 1, ..Query::whole(&head.stream, Direction::Forwards, Consistency::Strong) };
        let Items { items, usage, .. } = self.query(&behind, None).await?;
        let batches = items.iter().map(Batch::from_item).collect::<Result<Vec<_>, _>>()?;
        Ok(Loaded { head: follow(head, &batches)?, batches, usage })
    }

    pub(crate) async fn load_tail(&self, head: &Head, consistency: Consistency) -> Result<Loaded, ReadError> {
        let (batches, mut usage) = self.tail(head, consistency).await?;
        match follow(head, &batches) {
            Ok(head) => return Ok(Loaded { head, batches, usage }),
            Err(damaged) if consistency == Consistency::Strong => return Err(damaged.into()),
            Err(_) => {}
        }
        let (batches, again) = self.tail(head, Consistency::Strong).await?;
        usage += again;
        let head = follow(head, &batches)?;
        Ok(Loaded { head, batches, usage })
    }

    /// The stream's end: 0 for the empty stream.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn head(&self, stream: &StreamId, consistency: Consistency) -> Result<(Head, Usage), ReadError> {
        self.reported("head", Some(stream), self.find_head(stream, consistency)).await
    }

    async fn find_head(&self, stream: &StreamId, consistency: Consistency) -> Result<(Head, Usage), ReadError> {
        let last = Query { limit: Some(1), ..Query::whole(stream, Direction::Backwards, consistency) };
        let Items { items, usage, .. } = self.query(&last, None).await?;
        let batch = items.first().map(Batch::from_item).transpose()?;
        Ok((batch.map_or_else(|| Head::empty(stream), |batch| Head::of(&batch)), usage))
    }

    /// Reads a page of a stream, strongly consistent: the commit with event `from` and those that follow, until they have
    /// at least `limit` events (at least 1) or 1 MB was read. Commits are whole, so the first may begin before `from`.
    ///
    /// # Errors
    /// [`ReadError`]; a gap between the commits of a page, at the place where it begins, or before the last page of a read
    /// backwards is damage.
    pub async fn read(
        &self,
        stream: &StreamId,
        from: u64,
        direction: Direction,
        limit: u32,
    ) -> Result<Page, ReadError> {
        self.reported("read", Some(stream), self.read_page(stream, from, direction, limit)).await
    }

    pub(crate) async fn read_page(
        &self,
        stream: &StreamId,
        from: u64,
        direction: Direction,
        limit: u32,
    ) -> Result<Page, ReadError> {
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
        adjacent(&batches, direction)?;
        match direction {
            Direction::Forwards => begins(&batches, from)?,
            Direction::Backwards => {
                usage += self.reaches(stream, &batches, from).await?;
                if next.is_none() {
                    has_beginning(&batches)?;
                }
            }
        }
        let commits = in_range(batches, from, direction);
        Ok(cut(commits, direction, limit, next.is_some(), usage))
    }

    /// The first version of the batch that holds `version`, so that a forward read can begin in the middle of it.
    async fn batch_start(&self, stream: &StreamId, version: u64) -> Result<(u64, Usage), ReadError> {
        if version == 1 {
            return Ok((version, Usage::default()));
        }
        let covering =
            Query { to: version, limit: Some(1), ..Query::whole(stream, Direction::Backwards, Consistency::Strong) };
        let Items { items, usage, .. } = self.query(&covering, None).await?;
        let batch = items.first().map(Batch::from_item).transpose()?;
        let start = batch.filter(|batch| batch.last_version() >= version).map_or(version, |batch| batch.version());
        Ok((start, usage))
    }

    /// A page that goes backwards begins with the batch that holds `from`, unless the stream ends before that: where a
    /// later batch is there, one is missing. Costs a request only where the page begins below `from`.
    async fn reaches(&self, stream: &StreamId, batches: &[Batch], from: u64) -> Result<Usage, ReadError> {
        if batches.first().is_some_and(|first| first.last_version() >= from) {
            return Ok(Usage::default());
        }
        let one = |direction| Query { limit: Some(1), ..Query::whole(stream, direction, Consistency::Strong) };
        let behind = self.query(&Query { from: from + 1, ..one(Direction::Forwards) }, None).await?;
        let mut usage = behind.usage;
        if let Some(later) = behind.items.first() {
            // The stream may have grown since the page was read: then `from` is there by now.
            let covering = self.query(&Query { to: from, ..one(Direction::Backwards) }, None).await?;
            usage += covering.usage;
            let reached = covering.items.first().map(Batch::from_item).transpose()?.map_or(0, |it| it.last_version());
            if reached < from {
                return Err(hole(stream, reached + 1, item_key(later)?.version).into());
            }
        }
        Ok(usage)
    }

    /// Everything behind the head, backwards from the end as one finds a snapshot, given oldest first.
    async fn tail(&self, head: &Head, consistency: Consistency) -> Result<(Vec<Batch>, Usage), ReadError> {
        let query = Query { from: head.version + 1, ..Query::whole(&head.stream, Direction::Backwards, consistency) };
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

    pub(crate) async fn query(&self, query: &Query<'_>, start: Option<Item>) -> Result<Items, StoreError> {
        if query.from > query.to {
            // Behind the largest version. DynamoDB refuses to look between two ends that are the wrong way round.
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
            answer.as_ref().map_or_else(|_| Usage::default(), |answer| Usage::read(answer.consumed_capacity()))
        };
        let (answer, usage) = meter::request(request.send(), units).await;
        let answer = answer.map_err(|error| classify(error, &self.table))?;
        Ok(Items { items: answer.items.unwrap_or_default(), next: answer.last_evaluated_key, usage })
    }
}

impl<'a> Query<'a> {
    pub(crate) fn whole(stream: &'a StreamId, direction: Direction, consistency: Consistency) -> Self {
        Self { stream, from: 1, to: MAX_VERSION, direction, consistency, limit: None }
    }
}

/// The batches of a page must touch each other.
fn adjacent(batches: &[Batch], direction: Direction) -> Result<(), CorruptStream> {
    for pair in batches.windows(2) {
        let [first, second] = pair else { continue };
        let (earlier, later) = match direction {
            Direction::Forwards => (first, second),
            Direction::Backwards => (second, first),
        };
        if earlier.last_version() + 1 != later.version() {
            let (version, found) = (earlier.last_version() + 1, later.version());
            let damage = if found > version { Damage::Hole { found } } else { Damage::Overlap { found } };
            return Err(CorruptStream { stream: later.stream.to_string(), version, damage });
        }
    }
    Ok(())
}

/// A page that goes forwards begins with the batch that holds `from`: where only later ones are left, it is gone.
fn begins(batches: &[Batch], from: u64) -> Result<(), CorruptStream> {
    match batches.first() {
        Some(first) if first.version() > from => Err(hole(&first.stream, from, first.version())),
        _ => Ok(()),
    }
}

/// The last page of a read that goes backwards ends with the stream's first batch.
fn has_beginning(batches: &[Batch]) -> Result<(), CorruptStream> {
    match batches.last() {
        Some(first) if first.version() > 1 => Err(hole(&first.stream, 1, first.version())),
        _ => Ok(()),
    }
}

/// Events from `version` on are missing; the next ones that are there begin at `found`.
fn hole(stream: &StreamId, version: u64, found: u64) -> CorruptStream {
    CorruptStream { stream: stream.to_string(), version, damage: Damage::Hole { found } }
}

/// The commits in reading order, without those of the first batch that lie before the place where the read begins.
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

/// Takes commits until they have `limit` events, and tells where the next page begins.
fn cut(commits: Vec<Commit>, direction: Direction, limit: u32, more_items: bool, usage: Usage) -> Page {
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
    Page { commits, next: next.filter(|version| *version > 0), usage }
}

impl From<&Loaded> for Report {
    fn from(Loaded { head, batches, .. }: &Loaded) -> Self {
        Self::of(batches.iter().flat_map(|batch| &batch.commits)).at(head)
    }
}

impl From<&(Head, Usage)> for Report {
    fn from((head, _): &(Head, Usage)) -> Self {
        Self::outcome("ok").at(head)
    }
}

impl From<&Page> for Report {
    fn from(page: &Page) -> Self {
        Self::of(page.commits.iter())
    }
}

impl From<&ReadError> for Report {
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::Corrupt(_) => Self::outcome("damaged"),
            ReadError::Store(fault) => fault.into(),
        }
    }
}
