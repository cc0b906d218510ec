//! Finding the commit of a command in a stream.

use crate::batch::Damage;
use crate::load::{Consistency, Direction, Items, Query, ReadError};
use crate::recent::Place;
use crate::{Batch, Commit, Damaged, EventStore, Id, StreamId};

/// The first page of a look at what was recorded since the command's id was made: most often moments ago.
const RECENT_PAGE: i32 = 25;

/// What is looked for.
#[derive(Clone, Copy)]
pub(crate) struct Search<'a> {
    pub(crate) stream: &'a StreamId,
    pub(crate) command: &'a Id,
    pub(crate) place: Place,
    /// Commits up to this version need no look.
    pub(crate) down_to: u64,
}

/// A walk through a stream, from some version to the first.
struct Walk<'a> {
    command: &'a Id,
    /// The version that the next batch must end with, or hold if it is the first.
    expected: u64,
    down_to: u64,
    /// No commit that was recorded earlier can be the command's.
    not_before_ms: Option<i64>,
}

enum Step {
    Found(Box<Commit>),
    NotHere,
    /// There is nothing further back that could be it.
    Nowhere,
}

impl EventStore {
    /// The commit of the command, looked for where it may be: backwards, until it is met or cannot come any more.
    ///
    /// Eventually consistent, which is enough: the commits that are walked through are older than others that were seen, and a
    /// batch that such a read lacks leaves a gap, which is then read strongly.
    pub(crate) async fn search(&self, search: Search<'_>) -> Result<Option<Commit>, ReadError> {
        if search.place == Place::Nowhere {
            return Ok(None);
        }
        self.reported("search", Some(search.stream), async {
            match self.search_with(search, Consistency::Eventual).await {
                Err(ReadError::Damaged(_)) => self.search_with(search, Consistency::Strong).await,
                found => found,
            }
        })
        .await
    }

    async fn search_with(&self, search: Search<'_>, consistency: Consistency) -> Result<Option<Commit>, ReadError> {
        let Search { stream, command, place, down_to } = search;
        let (from, limit) = match place {
            Place::Nowhere => return Ok(None),
            Place::At(version) => (version, Some(1)),
            Place::Perhaps { up_to, not_before_ms: Some(_) } => (up_to, Some(RECENT_PAGE)),
            Place::Perhaps { up_to, not_before_ms: None } => (up_to, None),
        };
        let mut walk = Walk { command, expected: from, down_to, not_before_ms: place.not_before_ms() };
        let mut query = Query { to: from, limit, ..Query::whole(stream, Direction::Backwards, consistency) };
        let mut next = None;
        loop {
            let Items { items, next: further, .. } = self.query(&query, next).await?;
            for item in &items {
                match walk.step(Batch::from_item(item)?)? {
                    Step::Found(commit) => return Ok(Some(*commit)),
                    Step::Nowhere => return Ok(None),
                    Step::NotHere => {}
                }
            }
            if further.is_none() {
                return if walk.expected == 0 { Ok(None) } else { Err(walk.gap(stream, 0).into()) };
            }
            (next, query.limit) = (further, None);
        }
    }
}

impl Walk<'_> {
    fn step(&mut self, batch: Batch) -> Result<Step, Damaged> {
        let holds = (batch.version()..=batch.last_version()).contains(&self.expected);
        if !holds {
            return Err(self.gap(&batch.stream, batch.last_version()));
        }
        self.expected = batch.version() - 1;
        let too_early =
            |commit: &Commit| self.not_before_ms.is_some_and(|time| commit.recorded_at.timestamp_millis() < time);
        let over = self.expected <= self.down_to || batch.commits.first().is_some_and(too_early);
        let ours = |commit: &Commit| commit.envelope.command_id == *self.command;
        Ok(match batch.commits.into_iter().find(ours) {
            Some(commit) => Step::Found(Box::new(commit)),
            None if over => Step::Nowhere,
            None => Step::NotHere,
        })
    }

    fn gap(&self, stream: &StreamId, found: u64) -> Damaged {
        Damaged { stream: stream.to_string(), version: self.expected, damage: Damage::Hole { found: found + 1 } }
    }
}
