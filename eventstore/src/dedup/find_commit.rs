//! Finding the commit of a command in a stream, where what is known of its ids does not say.

use super::command_ids::Lookup;
use super::index::{CommandIndex, IndexLookup, Mark};
use crate::log::item::{Damage, is_batch};
use crate::log::read::{Consistency, Direction, Items, Query, ReadError, follow};
use crate::metering::meter;
use crate::snapshot::stored::{SNAPSHOT_VERSION, Snapshot};
use crate::{Batch, Commit, Damaged, EventStore, Head, Id, StreamId};

/// The first page of a look back: most often the command was made moments ago, or an index knows the rest.
const FIRST_PAGE: i32 = 25;
/// The second page: an index is seconds behind at most.
const SECOND_PAGE: i32 = 500;

/// The first page of a look at a stream's end: a snapshot that was written in time, and what came since.
const END_PAGE: i32 = 12;

/// What is looked for.
#[derive(Clone)]
pub(crate) struct FindCommit<'a> {
    pub(crate) stream: &'a StreamId,
    pub(crate) command: &'a Id,
    pub(crate) lookup: Lookup,
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
    /// The oldest commit so far.
    oldest: Option<Mark>,
}

/// How far an answer goes.
enum Step {
    Found(Box<Commit>),
    /// There is nothing further back that could be it.
    Nowhere,
    /// Not among the commits so far.
    GoOn,
}

impl EventStore {
    /// The commit of the command, looked for where it may be: in the index that the store was given, and in the stream
    /// backwards, until it is met or cannot come any more.
    ///
    /// Eventually consistent, which is enough: the commits that are walked through are older than others that were seen, and a
    /// batch that such a read lacks leaves a gap, which is then read strongly.
    pub(crate) async fn find_commit(&self, find: FindCommit<'_>) -> Result<Option<Commit>, ReadError> {
        if find.lookup == Lookup::Absent {
            return Ok(None);
        }
        self.reported("search", Some(find.stream), async {
            match self.find_with(&find, Consistency::Eventual).await {
                Err(ReadError::Damaged(_)) => self.find_with(&find, Consistency::Strong).await,
                found => found,
            }
        })
        .await
    }

    /// The stream's commit of the command, wherever it stands; nothing if the command was never recorded there.
    ///
    /// Costs a strongly consistent read of the stream's end, and of its snapshot, which says where to look further.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn find_recorded(&self, stream: &StreamId, command: &Id) -> Result<Option<Commit>, ReadError> {
        self.reported("find_recorded", Some(stream), self.find_from_end(stream, command)).await
    }

    async fn find_from_end(&self, stream: &StreamId, command: &Id) -> Result<Option<Commit>, ReadError> {
        let whole = Query::whole(stream, Direction::Backwards, Consistency::Strong);
        let end = Query { to: SNAPSHOT_VERSION, limit: Some(END_PAGE), ..whole };
        let Items { mut items, .. } = self.query(&end, None).await?;
        let snapshot = items.first().is_some_and(|item| !is_batch(item)).then(|| items.remove(0));
        let mut batches = items.iter().map(Batch::from_item).collect::<Result<Vec<_>, _>>()?;
        let up_to = batches.first().map_or(0, Batch::last_version);
        // Without a snapshot of these commits, only the stream can tell.
        let mut lookup = Lookup::Maybe { up_to, not_before_ms: None, mark: None }.behind(0);
        if let Some(snapshot) = snapshot.and_then(|item| Snapshot::from_item(stream, &item)) {
            if batches.last().is_some_and(|oldest| oldest.version() > snapshot.head.version) {
                batches = self.follow_tail(&snapshot.head, Consistency::Strong).await?.batches;
                batches.reverse();
            }
            if is_behind(&batches, &snapshot.head) {
                lookup = snapshot.body.ids.look_up(stream, command);
            }
        }
        let ours = |commit: &Commit| commit.envelope.command_id == *command;
        if let Some(commit) = batches.into_iter().flat_map(|batch| batch.commits).find(ours) {
            return Ok(Some(commit));
        }
        self.find_commit(FindCommit { stream, command, lookup, down_to: 0 }).await
    }

    async fn find_with(&self, find: &FindCommit<'_>, consistency: Consistency) -> Result<Option<Commit>, ReadError> {
        let (from, not_before_ms, mark) = match &find.lookup {
            Lookup::Absent => return Ok(None),
            Lookup::At(version) => return self.read_back(find, *version, None, consistency, None).await,
            Lookup::Maybe { up_to, not_before_ms, mark } => (*up_to, *not_before_ms, mark),
        };
        let index = self.options.command_index.as_ref();
        if let (Some(index), Some(mark)) = (index, mark) {
            match self.ask(index, Mark::clone(mark), find).await? {
                Step::Found(commit) => return Ok(Some(*commit)),
                Step::Nowhere => return Ok(None),
                Step::GoOn => {}
            }
        }
        self.read_back(find, from, not_before_ms, consistency, index).await
    }

    /// Reads the stream back. An index is asked again behind each page: it lacks the newest commits only.
    async fn read_back(
        &self,
        find: &FindCommit<'_>,
        from: u64,
        not_before_ms: Option<i64>,
        consistency: Consistency,
        index: Option<&CommandIndex>,
    ) -> Result<Option<Commit>, ReadError> {
        let &FindCommit { stream, command, down_to, .. } = find;
        let mut limits = match find.lookup {
            Lookup::At(_) => vec![1],
            Lookup::Maybe { .. } | Lookup::Absent if index.is_some() => vec![SECOND_PAGE, FIRST_PAGE],
            Lookup::Maybe { .. } | Lookup::Absent => Vec::from_iter(not_before_ms.map(|_| FIRST_PAGE)),
        };
        let mut walk = Walk { command, expected: from, down_to, not_before_ms, oldest: None };
        let mut query = Query { to: from, ..Query::whole(stream, Direction::Backwards, consistency) };
        let mut next = None;
        loop {
            query.limit = limits.pop();
            let page = self.query(&query, next).await?;
            match walk.page(&page)? {
                Step::Found(commit) => return Ok(Some(*commit)),
                Step::Nowhere => return Ok(None),
                Step::GoOn => {}
            }
            if page.next.is_none() {
                return if walk.expected == 0 { Ok(None) } else { Err(walk.gap(stream, 0).into()) };
            }
            if let (Some(index), Some(mark)) = (index, walk.oldest.take()) {
                match self.ask(index, mark, find).await? {
                    Step::Found(commit) => return Ok(Some(*commit)),
                    Step::Nowhere => return Ok(None),
                    Step::GoOn => {}
                }
            }
            next = page.next;
        }
    }

    /// Asks the index. What it finds is read from the stream, for the stream alone is the truth.
    async fn ask(&self, index: &CommandIndex, mark: Mark, find: &FindCommit<'_>) -> Result<Step, ReadError> {
        let &FindCommit { stream, command, down_to, .. } = find;
        let answer = match index(mark, command.clone()).await {
            Ok(answer) => answer,
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &*error;
                tracing::warn!(%stream, error, "the index of commands did not answer: the stream is read back");
                return Ok(Step::GoOn);
            }
        };
        meter::count(answer.usage);
        match answer.lookup {
            IndexLookup::NotIndexed => Ok(Step::GoOn),
            IndexLookup::Absent => Ok(Step::Nowhere),
            // Those commits were compared: this entry is of none of them.
            IndexLookup::At(version) if version <= down_to => Ok(Step::GoOn),
            IndexLookup::At(version) => {
                let covering = Query {
                    to: version,
                    limit: Some(1),
                    ..Query::whole(stream, Direction::Backwards, Consistency::Strong)
                };
                let Items { items, .. } = self.query(&covering, None).await?;
                let batch = items.first().map(Batch::from_item).transpose()?;
                let ours = |commit: &Commit| commit.envelope.command_id == *command;
                match batch.and_then(|batch| batch.commits.into_iter().find(ours)) {
                    Some(commit) => Ok(Step::Found(Box::new(commit))),
                    None => {
                        tracing::error!(%stream, version, "the index of commands names a commit that is not there");
                        Ok(Step::GoOn)
                    }
                }
            }
        }
    }
}

/// Whether the batches, newest first, go on behind the head, or end with it.
fn is_behind(batches: &[Batch], head: &Head) -> bool {
    let later: Vec<Batch> = batches.iter().filter(|batch| batch.version() > head.version).rev().cloned().collect();
    match batches.first() {
        Some(last) if later.is_empty() => Head::of(last) == *head,
        Some(_) => follow(head, &later).is_ok(),
        None => false,
    }
}

impl Walk<'_> {
    fn page(&mut self, page: &Items) -> Result<Step, Damaged> {
        for item in &page.items {
            let step = self.step(Batch::from_item(item)?)?;
            if !matches!(step, Step::GoOn) {
                return Ok(step);
            }
        }
        Ok(Step::GoOn)
    }

    fn step(&mut self, batch: Batch) -> Result<Step, Damaged> {
        let holds = (batch.version()..=batch.last_version()).contains(&self.expected);
        if !holds {
            return Err(self.gap(&batch.stream, batch.last_version()));
        }
        self.expected = batch.version() - 1;
        let too_early =
            |commit: &Commit| self.not_before_ms.is_some_and(|time| commit.recorded_at.timestamp_millis() < time);
        let over = self.expected <= self.down_to || batch.commits.first().is_some_and(too_early);
        self.oldest = batch.commits.first().map(|oldest| Mark::of(&batch.stream, oldest));
        let ours = |commit: &Commit| commit.envelope.command_id == *self.command;
        Ok(match batch.commits.into_iter().find(ours) {
            Some(commit) => Step::Found(Box::new(commit)),
            None if over => Step::Nowhere,
            None => Step::GoOn,
        })
    }

    fn gap(&self, stream: &StreamId, found: u64) -> Damaged {
        Damaged { stream: stream.to_string(), version: self.expected, damage: Damage::Hole { found: found + 1 } }
    }
}
