//! The projector: applies the events of streams to rows, each exactly once.
//!
//! A notification only says that a stream has new commits. The position says which are applied. The
//! projector takes the missing commits from the notification if they fit, else from the store. Row
//! and position change in one conditional write. It fails when another projector was quicker; then
//! the projector folds again onto the row that it finds.

use crate::audit_index::AuditIndex;
use crate::definition::fold_context::{FoldContext, InjectedFault};
use crate::definition::projection::{Kind, Projection};
use crate::stream_read::{TimeLimit, sound_page};
use crate::engine::multi_stream;
use crate::engine::notification::{Notification, NotifiedStream, join};
use crate::tables::position::{Position, Stray};
use crate::engine::project_error::ProjectError;
use crate::generations::Generations;
use crate::generations::registry::Registry;
use crate::tables::read_models::{ListCursor, ListPage, ReadModels};
use crate::tables::row::Generation;
use crate::tables::table::TableError;
use eventstore::{Commit, Direction, EventStore, ReadError, StreamId};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How many writes may be lost to other projectors before the notification is given back.
pub(crate) const MAX_ATTEMPTS: u32 = 10;
/// The most events that are read at once to fill a gap; the rest follows in the next round.
const GAP_PAGE_EVENTS: u32 = 500;
/// How long gaps are filled when streams are resumed, by default.
const MENDING: Duration = Duration::from_secs(5);
/// How many streams of a batch are projected at once.
const CONCURRENT_STREAMS: usize = 10;
/// How many batches of one process write multi-stream rows at once: more would mostly conflict.
const CONCURRENT_TRANSACTIONS: usize = 4;

/// Applies the events of the store to projections.
#[derive(Clone)]
pub struct Projector {
    pub(crate) store: EventStore,
    pub(crate) read_models: ReadModels,
    pub(crate) audit_index: AuditIndex,
    pub(crate) registry: Registry,
    broken: Option<InjectedFault>,
    /// How long gaps are filled when streams are resumed.
    mending: Duration,
    /// Admits batches that write multi-stream rows.
    pub(crate) turns: Arc<Semaphore>,
}

/// A stream that could not be projected into a generation.
#[derive(Debug)]
pub struct Failed {
    /// The stream.
    pub stream: StreamId,
    /// The generation; none if the generations could not be read.
    pub generation: Option<u32>,
    /// Why not.
    pub error: ProjectError,
}

impl Projector {
    /// A projector from that store into those read models and that audit index.
    pub fn new(store: EventStore, read_models: ReadModels, audit_index: AuditIndex) -> Self {
        let registry = Registry::new(read_models.clone());
        let turns = Arc::new(Semaphore::new(CONCURRENT_TRANSACTIONS));
        Self { store, read_models, audit_index, registry, broken: None, mending: MENDING, turns }
    }

    /// The same, but one projection fails on events of one type: to test what happens then.
    #[must_use]
    pub fn with_fault(mut self, projection: impl Into<String>, event_type: impl Into<String>) -> Self {
        self.broken = Some(InjectedFault { projection: projection.into(), event_type: event_type.into() });
        self
    }

    /// The same, but it remembers generations for that long instead of a second. All users of the same
    /// read models need the same time: a removal waits until no other process remembers the generation.
    #[must_use]
    pub fn remembering(mut self, time: Duration) -> Self {
        self.registry = self.registry.remembering(time);
        self
    }

    /// The same, but it fills gaps of resumed streams for that long instead of five seconds.
    #[must_use]
    pub fn mending_for(mut self, time: Duration) -> Self {
        self.mending = time;
        self
    }

    /// The limit for filling gaps of resumed streams, from now on.
    pub fn mending(&self) -> TimeLimit {
        TimeLimit::after(self.mending)
    }

    /// Applies the notified commits to every generation that is written. Returns the streams that failed;
    /// none of them holds up another.
    ///
    /// After the batch the projector reads the generations again. It writes those that were begun
    /// meanwhile; those that are begun later find the events in the store. So no generation misses any.
    pub async fn project(&self, projection: &Projection, news: Vec<Notification>, limit: TimeLimit) -> Vec<Failed> {
        let news = join(news, projection.follows);
        if news.is_empty() {
            return Vec::new();
        }
        let mut generations = match self.registry.claimed(projection).await {
            Ok(generations) => generations,
            Err(error) => return all_failed(news, &error),
        };
        let mut numbers = generations.written_by(projection);
        let (mut written, mut failures) = (Vec::new(), Vec::new());
        while !numbers.is_empty() {
            failures.extend(self.project_each(projection, &numbers, &news, limit).await);
            written.append(&mut numbers);
            generations = match self.registry.refreshed(projection).await {
                Ok(generations) => generations,
                Err(error) => return all_failed(news, &error),
            };
            numbers = generations.written_by(projection);
            numbers.retain(|number| !written.contains(number));
        }
        failures.extend(left_to_others(projection, &generations, news));
        failures
    }

    /// Applies commits to generations, the active one last: an event in the active generation is also in
    /// the standby. Gaps of the standby are filled after the active one is written.
    async fn project_each(
        &self,
        projection: &Projection,
        numbers: &[u32],
        news: &[NotifiedStream],
        limit: TimeLimit,
    ) -> Vec<Failed> {
        let Some((last, others)) = numbers.split_last() else { return Vec::new() };
        let (mut failures, mut left) = (Vec::new(), vec![(*last, news.to_vec())]);
        for number in others {
            let failed = self.project_into(projection, *number, news.to_vec(), limit.without_gaps()).await;
            let (gaps, failed): (Vec<_>, Vec<_>) = failed.into_iter().partition(|(_, error)| error.is_out_of_time());
            failures.extend(failed_in(*number, failed));
            let lacks = |news: &&NotifiedStream| gaps.iter().any(|(stream, _)| *stream == news.stream);
            left.push((*number, news.iter().filter(lacks).cloned().collect()));
        }
        for (number, news) in left {
            failures.extend(failed_in(number, self.project_into(projection, number, news, limit).await));
        }
        failures
    }

    /// Applies commits to one generation.
    pub(crate) async fn project_into(
        &self,
        projection: &Projection,
        generation: u32,
        news: Vec<NotifiedStream>,
        limit: TimeLimit,
    ) -> Vec<(StreamId, ProjectError)> {
        let context = self.context(projection, projection.generation(generation));
        match projection.kind {
            Kind::SingleStream { fold } => {
                let key = |news: &NotifiedStream| context.generation.key(news.stream.as_str());
                let unknown = news.iter().filter(|news| !news.begins_the_stream());
                let seen = self.read_models.seen(unknown.map(key).collect()).await;
                let work = news.into_iter().map(|news| {
                    let seen = seen.of(&key(&news));
                    async move {
                        let done = self.project_row(context, fold, &news, seen, limit).await;
                        done.err().map(|error| (news.stream, error))
                    }
                });
                let done = futures::stream::iter(work).buffer_unordered(CONCURRENT_STREAMS);
                done.filter_map(std::future::ready).collect().await
            }
            Kind::MultiStream { fold, merge } => {
                // The semaphore is never closed, so that there is always a turn.
                let _turn = self.turns.acquire().await;
                multi_stream::Folds { context, fold, merge }.project(self, news, limit).await
            }
            Kind::CommitIndex => {
                let work = news.into_iter().map(|news| async move {
                    let done = self.enter(context.generation, &news, limit).await;
                    done.err().map(|error| (news.stream, error))
                });
                let done = futures::stream::iter(work).buffer_unordered(CONCURRENT_STREAMS);
                done.filter_map(std::future::ready).collect().await
            }
            // A process writes no rows: its runner calls `follow`.
            Kind::Process => Vec::new(),
        }
    }

    pub(crate) fn context<'a>(&'a self, projection: &'a Projection, generation: Generation) -> FoldContext<'a> {
        FoldContext { projection, generation, broken: self.broken.as_ref() }
    }

    /// A page of a list of the active generation, from the highest rank down. Eventually consistent.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn list(
        &self,
        projection: &Projection,
        list: &str,
        limit: u32,
        cursor: Option<&ListCursor>,
    ) -> Result<ListPage, TableError> {
        let generation = self.active(projection).await?;
        self.read_models.list(generation, list, limit, cursor).await
    }

    /// Reads the generations, as every call does first. At the start of a process this opens the
    /// connection, and shows whether the table exists.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn warm(&self, projection: &Projection) -> Result<(), TableError> {
        self.registry.recent(projection).await.map(drop)
    }

    /// Gives the first generation this program's shape, if it has none yet. The first message does the same.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn claim(&self, projection: &Projection) -> Result<(), TableError> {
        self.registry.claimed(projection).await.map(drop)
    }

    /// The generation that is read.
    pub(crate) async fn active(&self, projection: &Projection) -> Result<Generation, TableError> {
        Ok(projection.generation(self.registry.recent(projection).await?.active))
    }

    /// The commits after the position, at least one: from the notification if it has them, else from the
    /// store. Each continues the hash chain from the one before; the first continues from the position.
    pub(crate) async fn missing(
        &self,
        news: &NotifiedStream,
        at: Position,
        limit: TimeLimit,
    ) -> Result<Vec<Commit>, ProjectError> {
        let mut announced = news.behind(at.version);
        announced.truncate(at.linked(&announced));
        if !announced.is_empty() {
            return Ok(announced);
        }
        if !limit.mends_gaps() {
            return Err(ProjectError::OutOfTime { reached: at.version });
        }
        let fence = at.version;
        tracing::debug!(stream = %news.stream, fence, announced = news.version, "filling a gap from the store");
        let mut page = sound_page(&self.store, &news.stream, at.version + 1, GAP_PAGE_EVENTS).await?;
        if page.commits.is_empty() {
            self.on_chain(&news.stream, at).await?;
            return Err(ProjectError::Missing { announced: news.version, found: at.version });
        }
        page.commits.truncate(at.linked(&page.commits));
        if page.commits.is_empty() {
            return Err(ProjectError::Stray { version: at.version, stray: Stray::OtherChain });
        }
        Ok(page.commits)
    }

    /// Checks commits that are applied already. If the notification has another commit at the position,
    /// the store decides: the notification may be older than a restored table.
    pub(crate) async fn confirm(&self, news: &NotifiedStream, at: Position) -> Result<(), ProjectError> {
        if at.is_contradicted(&news.commits) { self.on_chain(&news.stream, at).await } else { Ok(()) }
    }

    pub(crate) async fn on_chain(&self, stream: &StreamId, at: Position) -> Result<(), ProjectError> {
        let stray = self.stray(stream, at).await?;
        stray.map_or(Ok(()), |stray| Err(ProjectError::Stray { version: at.version, stray }))
    }

    /// How the position differs from the stream, by one read of the store; none if it is part of it.
    pub(crate) async fn stray(&self, stream: &StreamId, at: Position) -> Result<Option<Stray>, ReadError> {
        if at.version == 0 {
            return Ok(None);
        }
        let page = self.store.read(stream, at.version, Direction::Backwards, 1).await?;
        let Some(commit) = page.commits.first() else { return Ok(Some(Stray::Ahead { end: 0 })) };
        let end = commit.last_version();
        if end < at.version {
            return Ok(Some(Stray::Ahead { end }));
        }
        Ok(at.is_contradicted(&page.commits).then_some(Stray::OtherChain))
    }
}

fn failed_in(generation: u32, failed: Vec<(StreamId, ProjectError)>) -> impl Iterator<Item = Failed> {
    failed.into_iter().map(move |(stream, error)| Failed { stream, generation: Some(generation), error })
}

/// The streams that remain to be projected, because the active generation has another program's shape.
fn left_to_others(projection: &Projection, generations: &Generations, news: Vec<NotifiedStream>) -> Vec<Failed> {
    let Err(error) = generations.serve(projection) else { return Vec::new() };
    let generation = Some(error.generation);
    let failed = |news: NotifiedStream| Failed { stream: news.stream, generation, error: error.clone().into() };
    news.into_iter().map(failed).collect()
}

/// The generations could not be read.
fn all_failed(news: Vec<NotifiedStream>, error: &TableError) -> Vec<Failed> {
    let failed = |news: NotifiedStream| Failed { stream: news.stream, generation: None, error: error.clone().into() };
    news.into_iter().map(failed).collect()
}
