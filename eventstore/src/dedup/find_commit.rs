//! Finds the commit of a command in a stream if its known ids do not decide.

use super::command_ids::Lookup;
use super::index::{CommandIndex, IndexLookup, Mark};
use crate::log::read::{Items, Query};
use crate::metering::meter;
use crate::metering::operation_event::OperationReport;
use crate::{
    Batch, Commit, Consistency, CorruptStream, Damage, Direction, EventStore, Id, ReadError,
    StreamId,
};

/// The first page of a search: usually the command is recent, or an index knows the rest.
const FIRST_PAGE: i32 = 25;
/// The second page: an index lags by seconds at most.
const SECOND_PAGE: i32 = 500;

/// A search for the commit of a command.
#[derive(Clone)]
pub(crate) struct FindCommit<'a> {
    pub(crate) stream: &'a StreamId,
    pub(crate) command: &'a Id,
    pub(crate) lookup: Lookup,
    /// Commits up to this version were compared already.
    pub(crate) down_to: u64,
}

/// A search backwards through a stream.
struct CommitSearch<'a> {
    command: &'a Id,
    /// The last version of the next batch. The first batch must only contain it.
    expected: u64,
    down_to: u64,
    /// Commits recorded earlier cannot be of the command.
    not_before_ms: Option<i64>,
    /// The oldest commit so far.
    oldest: Option<Mark>,
}

/// The state of a search.
enum SearchStep {
    Found(Box<Commit>),
    /// No older commit can be of the command.
    Absent,
    /// Not found yet.
    Continue,
}

impl EventStore {
    /// Finds the commit of the command in the index of the store, or in the stream backwards, until
    /// it cannot be further back.
    ///
    /// Eventually consistent reads are enough, because the searched commits are older than others
    /// that were read. A missing batch leaves a gap, which is read again with strong consistency.
    pub(crate) async fn find_commit(
        &self,
        find: FindCommit<'_>,
    ) -> Result<Option<Commit>, ReadError> {
        if find.lookup == Lookup::Absent {
            return Ok(None);
        }
        self.reported("search", Some(find.stream), async {
            match self.find_with(&find, Consistency::Eventual).await {
                Err(ReadError::Corrupt(_)) => self.find_with(&find, Consistency::Strong).await,
                found => found,
            }
        })
        .await
    }

    async fn find_with(
        &self,
        find: &FindCommit<'_>,
        consistency: Consistency,
    ) -> Result<Option<Commit>, ReadError> {
        let (from, not_before_ms, mark) = match &find.lookup {
            Lookup::Absent => return Ok(None),
            Lookup::At(version) => {
                return self.read_back(find, *version, None, consistency, None).await;
            }
            Lookup::Maybe { up_to, not_before_ms, mark } => (*up_to, *not_before_ms, mark),
        };
        let index = self.options.command_index.as_ref();
        if let (Some(index), Some(mark)) = (index, mark) {
            match self.query_index(index, Mark::clone(mark), find).await? {
                SearchStep::Found(commit) => return Ok(Some(*commit)),
                SearchStep::Absent => return Ok(None),
                SearchStep::Continue => {}
            }
        }
        self.read_back(find, from, not_before_ms, consistency, index).await
    }

    /// Searches the stream backwards. After each page the index is queried again, because it lacks
    /// only the newest commits.
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
            Lookup::Maybe { .. } | Lookup::Absent if index.is_some() => {
                vec![SECOND_PAGE, FIRST_PAGE]
            }
            Lookup::Maybe { .. } | Lookup::Absent => {
                Vec::from_iter(not_before_ms.map(|_| FIRST_PAGE))
            }
        };
        let mut search =
            CommitSearch { command, expected: from, down_to, not_before_ms, oldest: None };
        let mut query =
            Query { to: from, ..Query::whole(stream, Direction::Backwards, consistency) };
        let mut next = None;
        loop {
            query.limit = limits.pop();
            let page = self.query(&query, next).await?;
            match search.page(&page)? {
                SearchStep::Found(commit) => return Ok(Some(*commit)),
                SearchStep::Absent => return Ok(None),
                SearchStep::Continue => {}
            }
            if page.next.is_none() {
                return if search.expected == 0 {
                    Ok(None)
                } else {
                    Err(search.gap(stream, 0).into())
                };
            }
            if let (Some(index), Some(mark)) = (index, search.oldest.take()) {
                match self.query_index(index, mark, find).await? {
                    SearchStep::Found(commit) => return Ok(Some(*commit)),
                    SearchStep::Absent => return Ok(None),
                    SearchStep::Continue => {}
                }
            }
            next = page.next;
        }
    }

    /// Queries the index. What it finds is read from the stream, the only source of truth.
    async fn query_index(
        &self,
        index: &CommandIndex,
        mark: Mark,
        find: &FindCommit<'_>,
    ) -> Result<SearchStep, ReadError> {
        let &FindCommit { stream, command, down_to, .. } = find;
        let answer = match index(mark, command.clone()).await {
            Ok(answer) => answer,
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &*error;
                tracing::warn!(%stream, error, "the command index did not answer: the stream is searched");
                return Ok(SearchStep::Continue);
            }
        };
        meter::record(answer.usage);
        match answer.lookup {
            IndexLookup::NotIndexed => Ok(SearchStep::Continue),
            IndexLookup::Absent => Ok(SearchStep::Absent),
            // Those commits were compared, so the entry is wrong.
            IndexLookup::At(version) if version <= down_to => Ok(SearchStep::Continue),
            IndexLookup::At(version) => {
                let covering = Query {
                    to: version,
                    limit: Some(1),
                    ..Query::whole(stream, Direction::Backwards, Consistency::Strong)
                };
                let Items { items, .. } = self.query(&covering, None).await?;
                let batch = items.first().map(Batch::from_item).transpose()?;
                let ours = |commit: &Commit| commit.metadata.command_id == *command;
                match batch.and_then(|batch| batch.commits.into_iter().find(ours)) {
                    Some(commit) => Ok(SearchStep::Found(Box::new(commit))),
                    None => {
                        tracing::error!(%stream, version, "the command index names a commit that does not exist");
                        Ok(SearchStep::Continue)
                    }
                }
            }
        }
    }
}

impl CommitSearch<'_> {
    fn page(&mut self, page: &Items) -> Result<SearchStep, CorruptStream> {
        for item in &page.items {
            let step = self.step(Batch::from_item(item)?)?;
            if !matches!(step, SearchStep::Continue) {
                return Ok(step);
            }
        }
        Ok(SearchStep::Continue)
    }

    fn step(&mut self, batch: Batch) -> Result<SearchStep, CorruptStream> {
        let holds = (batch.version()..=batch.last_version()).contains(&self.expected);
        if !holds {
            return Err(self.gap(&batch.stream, batch.last_version()));
        }
        self.expected = batch.version() - 1;
        let too_early = |commit: &Commit| {
            self.not_before_ms.is_some_and(|time| commit.recorded_at.timestamp_millis() < time)
        };
        let over = self.expected <= self.down_to || batch.commits.first().is_some_and(too_early);
        self.oldest = batch.commits.first().map(|oldest| Mark::of(&batch.stream, oldest));
        let ours = |commit: &Commit| commit.metadata.command_id == *self.command;
        Ok(match batch.commits.into_iter().find(ours) {
            Some(commit) => SearchStep::Found(Box::new(commit)),
            None if over => SearchStep::Absent,
            None => SearchStep::Continue,
        })
    }

    fn gap(&self, stream: &StreamId, found: u64) -> CorruptStream {
        CorruptStream {
            stream: stream.to_string(),
            version: self.expected,
            damage: Damage::Hole { found: found + 1 },
        }
    }
}

/// The commit that was searched for.
impl From<&Option<Commit>> for OperationReport {
    fn from(found: &Option<Commit>) -> Self {
        Self::of(found.iter())
    }
}
