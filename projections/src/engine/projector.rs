//! The projector: applies what streams say to rows, exactly once, whatever the queue does.
//!
//! A message is only a wake-up call. The fence of a stream says what is applied; what lies between it and the announced
//! version is taken from the message where it fits, and from the store otherwise. Row and fence change in one write that is
//! refused when another projector was quicker; then the row that stands there is the truth.

use crate::audit_index::AuditIndex;
use crate::definition::fold_context::{FoldContext, InjectedFault};
use crate::definition::projection::{Kind, Projection};
use crate::engine::gap::{TimeLimit, sound_page};
use crate::engine::multi_stream;
use crate::engine::notification::{Notification, NotifiedStream, join};
use crate::engine::position::{Position, Stray};
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

/// How many writes may be lost to other projectors before the news is handed back.
pub(crate) const MAX_ATTEMPTS: u32 = 10;
/// The most events that a gap is mended by at once; the rest follows in the next round.
const GAP_PAGE_EVENTS: u32 = 500;
/// How long gaps are mended where streams are resumed, if nobody says.
const MENDING: Duration = Duration::from_secs(5);
/// How many streams of a batch are worked on at once.
const CONCURRENT_STREAMS: usize = 10;

/// How many batches of a process write rows of many streams at once.
const CONCURRENT_TRANSACTIONS: usize = 4;

/// Brings projections up to what the store says.
#[derive(Clone)]
pub struct Projector {
    pub(crate) store: EventStore,
    pub(crate) read_models: ReadModels,
    pub(crate) audit_index: AuditIndex,
    pub(crate) registry: Registry,
    broken: Option<InjectedFault>,
    /// How long gaps are mended where streams are resumed.
    mending: Duration,
    /// How many batches of this process write rows of many streams at once: more would mostly lose to each other.
    pub(crate) turns: Arc<Semaphore>,
}

/// A stream that could not be projected into a generation.
#[derive(Debug)]
pub struct Failed {
    /// The stream.
    pub stream: StreamId,
    /// The generation; none where it could not be learned which ones there are.
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

    /// The same, but one projection cannot apply events of one type: to see on purpose what happens then.
    #[must_use]
    pub fn with_fault(mut self, projection: impl Into<String>, event_type: impl Into<String>) -> Self {
        self.broken = Some(InjectedFault { projection: projection.into(), event_type: event_type.into() });
        self
    }

    /// The same, but it goes by what it has learned of generations for that long, and not for a second. It must be the same for
    /// all that use the same read models: a removal waits until what the others remember is past.
    #[must_use]
    pub fn remembering(mut self, time: Duration) -> Self {
        self.registry = self.registry.remembering(time);
        self
    }

    /// The same, but where it resumes streams it mends gaps for that long, and not for five seconds.
    #[must_use]
    pub fn mending_for(mut self, time: Duration) -> Self {
        self.mending = time;
        self
    }

    /// How long gaps are mended from now on, where streams are resumed.
    pub fn mending(&self) -> TimeLimit {
        TimeLimit::after(self.mending)
    }

    /// Brings every generation that is written up to the news. A stream that fails is in the answer and holds up no other.
    ///
    /// Which generations there are is asked again when all is written: one that was begun before that answer is written
    /// too, and one that is begun later finds the events in the store. So nothing is left out, however long it all takes.
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

    /// Brings generations up to the news, the active one last: whoever finds an event there finds it in the other one too.
    /// But it waits for no gap: what the other one lacks is read from the store when the active one is done.
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

    /// Brings one generation up to the news.
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
            // Its effects are not those of a fold: whoever runs it follows the streams itself.
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

    /// Reads which generations there are, as every call does first: a process that does so at its start has its connection then,
    /// and knows whether the table is there.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn warm(&self, projection: &Projection) -> Result<(), TableError> {
        self.registry.recent(projection).await.map(drop)
    }

    /// Makes the first generation one of this program's shape, if nobody has done so yet: what the first message does by itself.
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

    /// The commits right behind the fence, at least one: from the message where it has them, else from the store. Each follows
    /// the one before it in the stream's chain, the first one the fence.
    pub(crate) async fn missing(
        &self,
        news: &NotifiedStream,
        at: Position,
        limit: TimeLimit,
    ) -> Result<Vec<Commit>, ProjectError> {
        let fence = at.version;
        let mut announced = news.behind(fence);
        announced.truncate(at.linked(&announced));
        if !announced.is_empty() {
            return Ok(announced);
        }
        if !limit.mends_gaps() {
            return Err(ProjectError::OutOfTime { reached: fence });
        }
        tracing::debug!(stream = %news.stream, fence, announced = news.version, "mending a gap from the store");
        let mut page = sound_page(&self.store, &news.stream, fence + 1, GAP_PAGE_EVENTS).await?;
        if page.commits.is_empty() {
            self.on_chain(&news.stream, at).await?;
            return Err(ProjectError::Missing { announced: news.version, found: fence });
        }
        page.commits.truncate(at.linked(&page.commits));
        if page.commits.is_empty() {
            return Err(ProjectError::Stray { version: fence, stray: Stray::OtherChain });
        }
        Ok(page.commits)
    }

    /// What is announced is applied. Where the message brings another commit than the applied one, the store knows which of
    /// the two is right: a message may be older than the table that was restored.
    pub(crate) async fn confirm(&self, news: &NotifiedStream, at: Position) -> Result<(), ProjectError> {
        if at.is_contradicted(&news.commits) { self.on_chain(&news.stream, at).await } else { Ok(()) }
    }

    pub(crate) async fn on_chain(&self, stream: &StreamId, at: Position) -> Result<(), ProjectError> {
        let stray = self.stray(stream, at).await?;
        stray.map_or(Ok(()), |stray| Err(ProjectError::Stray { version: at.version, stray }))
    }

    /// How the position differs from the stream, by one read of the store; nothing where it is part of it.
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

/// The streams whose news are not done with, because what is read is another program's to write.
fn left_to_others(projection: &Projection, generations: &Generations, news: Vec<NotifiedStream>) -> Vec<Failed> {
    let Err(error) = generations.serve(projection) else { return Vec::new() };
    let generation = Some(error.generation);
    let failed = |news: NotifiedStream| Failed { stream: news.stream, generation, error: error.clone().into() };
    news.into_iter().map(failed).collect()
}

/// It could not be learned which generations there are.
fn all_failed(news: Vec<NotifiedStream>, error: &TableError) -> Vec<Failed> {
    let failed = |news: NotifiedStream| Failed { stream: news.stream, generation: None, error: error.clone().into() };
    news.into_iter().map(failed).collect()
}
