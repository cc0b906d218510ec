//! The projector: applies the events of streams to rows, each exactly once.
//!
//! A notification only says that a stream has new commits. The position says which are applied. The
//! projector takes the missing commits from the notification if they fit, else from the store. Row
//! and position change in one conditional write. It fails when another projector was quicker; then
//! the projector folds again onto the row that it finds.

use crate::audit_index::AuditIndex;
use crate::definition::fold_context::{FoldContext, InjectedFault};
use crate::definition::projection::{Kind, Projection};
use crate::engine::commit_index;
use crate::engine::journal::JournalAppend;
use crate::engine::multi_stream::MultiStream;
use crate::engine::notification::{Notification, NotifiedStream, join};
use crate::engine::project_error::ProjectError;
use crate::engine::single_stream::SingleStream;
use crate::generations::Generations;
use crate::generations::registry::Registry;
use crate::journal::{self, Journal};
use crate::stream_read::TimeLimit;
use crate::tables::read_models::{ListCursor, ListPage, ReadModels};
use crate::tables::row::Generation;
use crate::tables::table::TableError;
use eventstore::{EventStore, StreamId};
use futures::StreamExt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long gaps are filled when streams are resumed, by default.
const RESUME_TIME: Duration = Duration::from_secs(5);
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
    pub(crate) journal: Journal,
    pub(crate) registry: Registry,
    fault: Option<InjectedFault>,
    /// How long gaps are filled when streams are resumed.
    resume_time: Duration,
    /// Limits the batches that write multi-stream rows at once.
    transactions: Arc<Semaphore>,
}

/// A stream that could not be projected into a generation.
#[derive(Debug)]
pub struct Failed {
    /// The stream.
    pub stream: StreamId,
    /// The generation; none if the generations could not be read.
    pub generation: Option<u32>,
    /// Why.
    pub error: ProjectError,
}

impl Projector {
    /// A projector from that store into those read models, that audit index and that journal.
    pub fn new(
        store: EventStore,
        read_models: ReadModels,
        audit_index: AuditIndex,
        journal: Journal,
    ) -> Self {
        let registry = Registry::new(read_models.clone());
        let transactions = Arc::new(Semaphore::new(CONCURRENT_TRANSACTIONS));
        Self {
            store,
            read_models,
            audit_index,
            journal,
            registry,
            fault: None,
            resume_time: RESUME_TIME,
            transactions,
        }
    }

    /// The same, but one projection fails on events of one type: to test what happens then.
    #[must_use]
    pub fn with_fault(
        mut self,
        projection: impl Into<String>,
        event_type: impl Into<String>,
    ) -> Self {
        self.fault =
            Some(InjectedFault { projection: projection.into(), event_type: event_type.into() });
        self
    }

    /// The same, but it caches generations for that long instead of a second. All users of the same
    /// read models need the same time: a removal waits until no other process has the generation
    /// cached.
    #[must_use]
    pub fn with_cache_time(mut self, time: Duration) -> Self {
        self.registry = self.registry.with_cache_time(time);
        self
    }

    /// The same, but it fills gaps of resumed streams for that long instead of five seconds.
    #[must_use]
    pub fn with_resume_time(mut self, time: Duration) -> Self {
        self.resume_time = time;
        self
    }

    /// The limit for filling gaps of resumed streams, from now on.
    pub fn resume_limit(&self) -> TimeLimit {
        TimeLimit::after(self.resume_time)
    }

    /// Applies the notified commits to every generation that is written. Returns the streams that
    /// failed. A failed stream does not delay others.
    ///
    /// After the batch the projector reads the generations again. It writes those that were begun
    /// meanwhile; those that are begun later find the events in the store. So no generation misses
    /// any.
    pub async fn project(
        &self,
        projection: &Projection,
        notifications: Vec<Notification>,
        limit: TimeLimit,
    ) -> Vec<Failed> {
        let notified = join(notifications, projection.follows);
        if notified.is_empty() {
            return Vec::new();
        }
        let mut generations = match self.registry.claimed(projection).await {
            Ok(generations) => generations,
            Err(error) => return all_failed(notified, &error),
        };
        let mut numbers = generations.written_by(projection);
        let (mut written, mut failures) = (Vec::new(), Vec::new());
        while !numbers.is_empty() {
            failures.extend(self.project_each(projection, &numbers, &notified, limit).await);
            written.append(&mut numbers);
            generations = match self.registry.refreshed(projection).await {
                Ok(generations) => generations,
                Err(error) => return all_failed(notified, &error),
            };
            numbers = generations.written_by(projection);
            numbers.retain(|number| !written.contains(number));
        }
        failures.extend(failed_by_shape(projection, &generations, notified));
        failures
    }

    /// Applies commits to generations, the active one last: an event in the active generation is
    /// also in the standby. Gaps of the standby are filled after the active one is written.
    async fn project_each(
        &self,
        projection: &Projection,
        numbers: &[u32],
        notified: &[NotifiedStream],
        limit: TimeLimit,
    ) -> Vec<Failed> {
        let Some((active, others)) = numbers.split_last() else { return Vec::new() };
        let (mut failures, mut left) = (Vec::new(), vec![(*active, notified.to_vec())]);
        for number in others {
            let failed = self
                .project_into(projection, *number, notified.to_vec(), limit.without_gaps())
                .await;
            let (gaps, failed): (Vec<_>, Vec<_>) =
                failed.into_iter().partition(|(_, error)| error.is_out_of_time());
            failures.extend(failed_in(*number, failed));
            let has_gap = |notified: &&NotifiedStream| {
                gaps.iter().any(|(stream, _)| *stream == notified.stream)
            };
            left.push((*number, notified.iter().filter(has_gap).cloned().collect()));
        }
        for (number, notified) in left {
            failures.extend(failed_in(
                number,
                self.project_into(projection, number, notified, limit).await,
            ));
        }
        failures
    }

    /// Applies commits to one generation.
    pub(crate) async fn project_into(
        &self,
        projection: &Projection,
        generation: u32,
        notified: Vec<NotifiedStream>,
        limit: TimeLimit,
    ) -> Vec<(StreamId, ProjectError)> {
        let context = self.context(projection, projection.generation(generation));
        let (store, read_models) = (&self.store, &self.read_models);
        match projection.kind {
            Kind::SingleStream { fold } => {
                let rows = SingleStream { store, read_models, context, fold };
                let likely = notified.iter().filter(|notified| !notified.begins_the_stream());
                let prefetched =
                    read_models.prefetch(likely.map(|it| rows.key(&it.stream)).collect()).await;
                let work = notified.into_iter().map(|notified| {
                    let row = prefetched.of(&rows.key(&notified.stream));
                    async move { (rows.project(&notified, row, limit).await, notified.stream) }
                });
                failures_of(work).await
            }
            Kind::MultiStream { fold, merge } => {
                // The semaphore is never closed, so this always succeeds.
                let _permit = self.transactions.acquire().await;
                MultiStream { store, read_models, context, fold, merge }
                    .project(notified, limit)
                    .await
            }
            Kind::CommitIndex => {
                let work = notified.into_iter().map(|notified| async move {
                    let index = &self.audit_index;
                    let entered =
                        commit_index::enter(index, store, context.generation, &notified, limit)
                            .await;
                    (entered, notified.stream)
                });
                failures_of(work).await
            }
            Kind::Journal => self.journal_append(generation).append(notified, limit).await,
            // A process writes no rows: its runner calls `react`.
            Kind::Process => Vec::new(),
        }
    }

    /// The journal, and the generation that is read.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn journal(&self) -> Result<(&Journal, u32), TableError> {
        Ok((&self.journal, self.active(&journal::PROJECTION).await?.number))
    }

    pub(crate) fn journal_append(&self, generation: u32) -> JournalAppend<'_> {
        JournalAppend { journal: &self.journal, store: &self.store, generation }
    }

    pub(crate) fn context<'a>(
        &'a self,
        projection: &'a Projection,
        generation: Generation,
    ) -> FoldContext<'a> {
        FoldContext { projection, generation, fault: self.fault.as_ref() }
    }

    /// A page of a list of the active generation, from the highest rank down. Eventually
    /// consistent.
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

    /// Reads the generations, as every call does first. At the start of a program this opens the
    /// connection, and shows whether the table exists.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn warm(&self, projection: &Projection) -> Result<(), TableError> {
        self.registry.recent(projection).await.map(drop)
    }

    /// Gives the first generation this program's shape, if it has none yet. The first message does
    /// the same.
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
}

/// Runs the work for a limited number of streams at once; returns the streams that failed.
async fn failures_of<W>(work: impl Iterator<Item = W>) -> Vec<(StreamId, ProjectError)>
where
    W: Future<Output = (Result<(), ProjectError>, StreamId)>,
{
    let done = futures::stream::iter(work).buffer_unordered(CONCURRENT_STREAMS);
    done.filter_map(async |(result, stream)| result.err().map(|error| (stream, error)))
        .collect()
        .await
}

fn failed_in(
    generation: u32,
    failed: Vec<(StreamId, ProjectError)>,
) -> impl Iterator<Item = Failed> {
    failed.into_iter().map(move |(stream, error)| Failed {
        stream,
        generation: Some(generation),
        error,
    })
}

/// All streams, if only a program of another shape can write the active generation.
fn failed_by_shape(
    projection: &Projection,
    generations: &Generations,
    notified: Vec<NotifiedStream>,
) -> Vec<Failed> {
    let Err(error) = generations.serve(projection) else { return Vec::new() };
    let generation = Some(error.generation);
    let failed = |notified: NotifiedStream| Failed {
        stream: notified.stream,
        generation,
        error: error.clone().into(),
    };
    notified.into_iter().map(failed).collect()
}

/// The generations could not be read.
fn all_failed(notified: Vec<NotifiedStream>, error: &TableError) -> Vec<Failed> {
    let failed = |notified: NotifiedStream| Failed {
        stream: notified.stream,
        generation: None,
        error: error.clone().into(),
    };
    notified.into_iter().map(failed).collect()
}
