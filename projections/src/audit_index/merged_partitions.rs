//! Reads several partitions at once and merges them by rank, each only as far as needed.

use super::entry::{IndexEntry, RANK};
use super::rank::Window;
use super::table::{Items, Partition};
use crate::tables::attribute::text_of;
use crate::tables::row::Item;
use crate::tables::table::{Table, TableError};
use eventstore::Direction;
use futures::future::try_join_all;
use std::collections::VecDeque;

/// The most entries of a request: half a megabyte of the longest usual ones, within a page of
/// DynamoDB.
const MAX_READ: usize = 500;

/// How many requests may still be sent.
pub(super) struct Budget(pub(super) usize);

impl Budget {
    /// Takes that many requests, or none if fewer are left.
    pub(super) fn take(&mut self, requests: usize) -> bool {
        let left = self.0.checked_sub(requests);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// The next entry of all partitions.
pub(super) enum NextEntry {
    Entry(String, Box<IndexEntry>),
    /// There are no more.
    End,
    /// The request for it exceeds the budget.
    OutOfBudget,
}

/// The entries of several partitions as one sequence.
pub(super) struct MergedPartitions<'a> {
    table: &'a Table,
    window: &'a Window,
    direction: Direction,
    readers: Vec<PartitionReader>,
}

/// One partition, read in pages.
struct PartitionReader {
    partition: Partition,
    read: VecDeque<(String, IndexEntry)>,
    rest: Unread,
    /// How many entries the next request asks for.
    limit: usize,
}

/// The part that is not read yet.
enum Unread {
    All,
    From(Item),
    Nothing,
}

impl<'a> MergedPartitions<'a> {
    /// The entries within the window: `limit` of each partition at first, then twice as many with
    /// each request.
    pub(super) fn new(
        table: &'a Table,
        partitions: Vec<Partition>,
        window: &'a Window,
        direction: Direction,
        limit: usize,
    ) -> Self {
        let reader = |partition| PartitionReader {
            partition,
            read: VecDeque::new(),
            rest: Unread::All,
            limit: limit.clamp(1, MAX_READ),
        };
        Self { table, window, direction, readers: partitions.into_iter().map(reader).collect() }
    }

    /// The next entry of all. A partition without buffered entries is read first: its next entry
    /// may come before the others.
    pub(super) async fn next(&mut self, budget: &mut Budget) -> Result<NextEntry, TableError> {
        loop {
            let dry: Vec<&mut PartitionReader> =
                self.readers.iter_mut().filter(|reader| reader.is_dry()).collect();
            if dry.is_empty() {
                break;
            }
            if !budget.take(dry.len()) {
                return Ok(NextEntry::OutOfBudget);
            }
            let (table, window, direction) = (self.table, self.window, self.direction);
            try_join_all(dry.into_iter().map(|reader| reader.read_on(table, window, direction)))
                .await?;
        }
        Ok(self
            .first_reader()
            .and_then(|reader| reader.read.pop_front())
            .map_or(NextEntry::End, |(rank, found)| NextEntry::Entry(rank, Box::new(found))))
    }

    fn first_reader(&mut self) -> Option<&mut PartitionReader> {
        let readers = self.readers.iter_mut().filter(|reader| !reader.read.is_empty());
        let rank =
            |reader: &&mut PartitionReader| reader.read.front().map(|(rank, _)| rank.clone());
        match self.direction {
            Direction::Forwards => readers.min_by_key(rank),
            Direction::Backwards => readers.max_by_key(rank),
        }
    }
}

impl PartitionReader {
    fn is_dry(&self) -> bool {
        self.read.is_empty() && !matches!(self.rest, Unread::Nothing)
    }

    async fn read_on(
        &mut self,
        table: &Table,
        window: &Window,
        direction: Direction,
    ) -> Result<(), TableError> {
        let start = match &self.rest {
            Unread::From(key) => Some(key.clone()),
            Unread::All | Unread::Nothing => None,
        };
        let Items { items, next } =
            table.query(&self.partition, window, direction, self.limit, start).await?;
        for item in &items {
            let rank = text_of(item, RANK).unwrap_or_default();
            if window.holds(rank) {
                self.read.push_back((rank.to_owned(), IndexEntry::from_item(item)?));
            }
        }
        self.rest = next.map_or(Unread::Nothing, Unread::From);
        self.limit = (self.limit * 2).min(MAX_READ);
        Ok(())
    }
}
