//! Reads a stream in pages, forwards and backwards.

use super::item::item_key;
use super::read::{Direction, Items, Query, ReadError};
use crate::metering::operation_event::OperationReport;
use crate::{
    Batch, Commit, Consistency, CorruptStream, Damage, EventStore, MAX_VERSION, StreamId, Usage,
};

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

impl EventStore {
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

impl From<&StreamPage> for OperationReport {
    fn from(page: &StreamPage) -> Self {
        Self::of(page.commits.iter())
    }
}
