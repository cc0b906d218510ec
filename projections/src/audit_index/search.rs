//! Searches: reads only the partitions that can have matching entries, merges and filters them.

use super::entry::{IndexEntry, day_key, days_key, qualified, read_day, shards};
use super::index::AuditIndex;
use super::merged_partitions::{Budget, MergedPartitions, NextEntry};
use super::rank::{AuditCursor, Window};
use super::table::{Items, Partition};
use crate::tables::table::TableError;
use chrono::{DateTime, Utc};
use eventstore::{Direction, Id};

/// The most commits of a page.
pub const MAX_FOUND: usize = 1_000;
/// The most requests of a search: twenty times the shards of a day, some 0.2 seconds on AWS.
pub const MAX_REQUESTS: usize = 320;
/// The most days of a search: about as many as the requests allow for an actor's shards.
const MAX_DAYS: usize = 64;
/// The first limit for a partition if many of its entries may not match.
const FILTERED_READ: usize = 100;

/// A search: commits must match every given criterion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSearch {
    /// The actor.
    pub actor: Option<Id>,
    /// The type of one of its events.
    pub event_type: Option<String>,
    /// The command id.
    pub command: Option<Id>,
    /// The correlation id.
    pub correlation: Option<Id>,
    /// Recorded at that time or later.
    pub from: Option<DateTime<Utc>>,
    /// Recorded before that time.
    pub to: Option<DateTime<Utc>>,
    /// Oldest or newest first.
    pub direction: Direction,
    /// The most commits of the page, clamped to 1 to [`MAX_FOUND`].
    pub limit: usize,
    /// The end of the page before, in the same direction.
    pub after: Option<AuditCursor>,
    /// The last place to include; none for no end.
    pub until: Option<AuditCursor>,
    /// A category whose streams are left out.
    pub without: Option<&'static str>,
}

/// A page of results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPage {
    /// The commits in the order of time, then of stream and version.
    pub found: Vec<IndexEntry>,
    /// The next page; none at the end. A short or empty page may have a next one.
    pub next: Option<AuditCursor>,
}

impl AuditSearch {
    /// A search for all commits.
    pub fn all(direction: Direction, limit: usize) -> Self {
        let (actor, event_type, command, correlation) = (None, None, None, None);
        let (from, to, after, until, without) = (None, None, None, None, None);
        Self {
            actor,
            event_type,
            command,
            correlation,
            from,
            to,
            direction,
            limit,
            after,
            until,
            without,
        }
    }

    fn fits(&self, found: &IndexEntry) -> bool {
        self.actor.as_ref().is_none_or(|actor| *actor == found.actor)
            && self
                .event_type
                .as_ref()
                .is_none_or(|event_type| found.event_types.contains(event_type))
            && self.command.as_ref().is_none_or(|command| *command == found.command_id)
            && self
                .correlation
                .as_ref()
                .is_none_or(|correlation| *correlation == found.correlation_id)
            && self.without.is_none_or(|category| found.stream.category() != category)
    }

    fn limit(&self) -> usize {
        self.limit.clamp(1, MAX_FOUND)
    }

    /// The first limit for each partition.
    fn first_read(&self, partitions: usize) -> usize {
        let filtered = self.actor.is_some() || self.event_type.is_some();
        let share = self.limit() / partitions.max(1) + 1;
        // Entries are not spread evenly: half as many again, plus two, is seldom too few.
        let likely = share + share / 2 + 2;
        if filtered { likely.max(FILTERED_READ) } else { likely }
    }
}

impl AuditIndex {
    /// Finds commits, a page at a time.
    ///
    /// A search by command id reads one partition, strongly consistent. One by correlation id reads
    /// one partition of a secondary index; all others read shards of each day. These are eventually
    /// consistent. At most [`MAX_REQUESTS`] are sent: a page that needs more ends early, and the
    /// next continues there.
    ///
    /// # Errors
    /// [`TableError`]; it names an unreadable entry.
    pub async fn search(
        &self,
        generation: u32,
        search: &AuditSearch,
    ) -> Result<AuditPage, TableError> {
        let window = Window::between(search.from, search.to).until(search.until.as_ref());
        let window = window.after(search.after.as_ref(), search.direction);
        if window.is_empty() {
            return Ok(AuditPage { found: Vec::new(), next: None });
        }
        let place = window.start(search.direction);
        let run = SearchRun {
            index: self,
            generation,
            search,
            budget: Budget(MAX_REQUESTS),
            found: Vec::new(),
            place,
        };
        let partition = match (&search.command, &search.correlation) {
            (Some(command), _) => Some(Partition::of_table(qualified(generation, command))),
            (None, Some(correlation)) => {
                Some(Partition::of_correlation(qualified(generation, correlation)))
            }
            (None, None) => None,
        };
        match partition {
            Some(partition) => run.one(partition, &window).await,
            None => run.days(&window).await,
        }
    }
}

impl AuditIndex {
    /// The place of the newest commit of the search's command or correlation id, or of all. Later
    /// entries come after it, if clocks agree. Costs one request, or the directory and the shards
    /// of a day.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn newest(
        &self,
        generation: u32,
        search: &AuditSearch,
    ) -> Result<AuditCursor, TableError> {
        let (command, correlation) = (search.command.clone(), search.correlation.clone());
        let newest =
            AuditSearch { command, correlation, ..AuditSearch::all(Direction::Backwards, 1) };
        let AuditPage { found, next } = self.search(generation, &newest).await?;
        let place = found.first().map(|found| AuditCursor::at(found.rank()));
        Ok(place.or(next).unwrap_or_else(AuditCursor::beginning))
    }
}

/// A search under way.
struct SearchRun<'a> {
    index: &'a AuditIndex,
    generation: u32,
    search: &'a AuditSearch,
    budget: Budget,
    found: Vec<IndexEntry>,
    /// The place up to which the search is complete.
    place: AuditCursor,
}

/// How a part of a search ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SearchEnd {
    /// All entries were read.
    Whole,
    /// The page is full, or the budget is used up.
    Early,
}

impl SearchRun<'_> {
    async fn one(mut self, partition: Partition, window: &Window) -> Result<AuditPage, TableError> {
        let ended = self.part(vec![partition], window).await?;
        Ok(self.page(ended))
    }

    /// Day by day: all ranks of one come before those of the next.
    async fn days(mut self, window: &Window) -> Result<AuditPage, TableError> {
        let (table, direction) = (&self.index.table, self.search.direction);
        let directory = Partition::of_table(days_key(self.generation));
        self.budget.take(1);
        let Items { items, next } =
            table.query(&directory, &window.days(), direction, MAX_DAYS, None).await?;
        for day in items.iter().map(read_day) {
            let day = day?;
            let within = window.of_day(day);
            if within.is_empty() {
                continue;
            }
            let shard = |shard| Partition::of_day(day_key(self.generation, day, shard));
            let partitions = shards(self.search.actor.as_ref()).into_iter().map(shard).collect();
            if self.part(partitions, &within).await? == SearchEnd::Early {
                return Ok(self.page(SearchEnd::Early));
            }
            self.place = within.end(direction);
        }
        Ok(self.page(if next.is_some() { SearchEnd::Early } else { SearchEnd::Whole }))
    }

    /// Takes the matching entries from the partitions.
    async fn part(
        &mut self,
        partitions: Vec<Partition>,
        window: &Window,
    ) -> Result<SearchEnd, TableError> {
        let first_read = self.search.first_read(partitions.len());
        let mut merge = MergedPartitions::new(
            &self.index.table,
            partitions,
            window,
            self.search.direction,
            first_read,
        );
        loop {
            match merge.next(&mut self.budget).await? {
                NextEntry::End => return Ok(SearchEnd::Whole),
                NextEntry::OutOfBudget => return Ok(SearchEnd::Early),
                NextEntry::Entry(rank, found) => {
                    self.place = AuditCursor::at(rank);
                    if self.search.fits(&found) {
                        self.found.push(*found);
                    }
                    if self.found.len() == self.search.limit() {
                        return Ok(SearchEnd::Early);
                    }
                }
            }
        }
    }

    fn page(self, ended: SearchEnd) -> AuditPage {
        AuditPage { found: self.found, next: (ended == SearchEnd::Early).then_some(self.place) }
    }
}
