//! Partitions read side by side and merged in the order of rank, each only as far as it is needed.

use super::entry::{Found, RANK, text_of};
use super::rank::Window;
use super::table::{Items, Partition};
use crate::tables::row::Item;
use crate::tables::table::{Table, TableError};
use eventstore::Direction;
use futures::future::try_join_all;
use std::collections::VecDeque;

/// The most entries that are asked for at once: half a megabyte of the longest usual ones, within a page of DynamoDB.
const MAX_READ: usize = 500;

/// How many requests may still be sent.
pub(super) struct Budget(pub(super) usize);

impl Budget {
    /// Takes so many requests, or none of them.
    pub(super) fn take(&mut self, requests: usize) -> bool {
        let left = self.0.checked_sub(requests);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// What comes next.
pub(super) enum Next {
    Entry(String, Box<Found>),
    /// There is no more.
    End,
    /// The budget does not allow to look.
    OutOfBudget,
}

/// The entries of several partitions as one sequence.
pub(super) struct Merge<'a> {
    table: &'a Table,
    window: &'a Window,
    direction: Direction,
    lanes: Vec<Lane>,
}

/// One partition on its way.
struct Lane {
    partition: Partition,
    read: VecDeque<(String, Found)>,
    rest: Rest,
    /// How many entries the next request asks for.
    limit: usize,
}

/// What was not read yet.
enum Rest {
    All,
    From(Item),
    Nothing,
}

impl<'a> Merge<'a> {
    /// The entries within the window, `limit` of each partition at first and twice as many each time that it runs dry.
    pub(super) fn new(
        table: &'a Table,
        partitions: Vec<Partition>,
        window: &'a Window,
        direction: Direction,
        limit: usize,
    ) -> Self {
        let lane =
            |partition| Lane { partition, read: VecDeque::new(), rest: Rest::All, limit: limit.clamp(1, MAX_READ) };
        Self { table, window, direction, lanes: partitions.into_iter().map(lane).collect() }
    }

    /// The next entry of all. A partition whose read entries are used up is read on first: its next might come before.
    pub(super) async fn next(&mut self, budget: &mut Budget) -> Result<Next, TableError> {
        loop {
            let dry: Vec<&mut Lane> = self.lanes.iter_mut().filter(|lane| lane.is_dry()).collect();
            if dry.is_empty() {
                break;
            }
            if !budget.take(dry.len()) {
                return Ok(Next::OutOfBudget);
            }
            let (table, window, direction) = (self.table, self.window, self.direction);
            try_join_all(dry.into_iter().map(|lane| lane.read_on(table, window, direction))).await?;
        }
        Ok(self
            .first_lane()
            .and_then(|lane| lane.read.pop_front())
            .map_or(Next::End, |(rank, found)| Next::Entry(rank, Box::new(found))))
    }

    fn first_lane(&mut self) -> Option<&mut Lane> {
        let lanes = self.lanes.iter_mut().filter(|lane| !lane.read.is_empty());
        let rank = |lane: &&mut Lane| lane.read.front().map(|(rank, _)| rank.clone());
        match self.direction {
            Direction::Forwards => lanes.min_by_key(rank),
            Direction::Backwards => lanes.max_by_key(rank),
        }
    }
}

impl Lane {
    fn is_dry(&self) -> bool {
        self.read.is_empty() && !matches!(self.rest, Rest::Nothing)
    }

    async fn read_on(&mut self, table: &Table, window: &Window, direction: Direction) -> Result<(), TableError> {
        let start = match &self.rest {
            Rest::From(key) => Some(key.clone()),
            Rest::All | Rest::Nothing => None,
        };
        let Items { items, next } = table.query(&self.partition, window, direction, self.limit, start).await?;
        for item in &items {
            let rank = text_of(item, RANK).unwrap_or_default();
            if window.holds(rank) {
                self.read.push_back((rank.to_owned(), Found::from_item(item)?));
            }
        }
        self.rest = next.map_or(Rest::Nothing, Rest::From);
        self.limit = (self.limit * 2).min(MAX_READ);
        Ok(())
    }
}
