//! The projector: applies what streams say to rows, exactly once, whatever the queue does.
//!
//! A message is only a wake-up call. The fence of a stream says what is applied; what lies between it and the announced
//! version is taken from the message where it fits, and from the store otherwise. Row and fence change in one write that is
//! refused when another projector was quicker; then the row that stands there is the truth.

use crate::multi_stream;
use crate::projection::{Fact, FoldError, Kind, Projection};
use crate::read_models::{FencedWrite, ReadModels, TableError, Written, pause};
use crate::row::{Row, RowData, qualified};
use eventstore::{Batch, Commit, Direction, EventStore, ReadError, StreamId};
use futures::StreamExt;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// How many writes may be lost to other projectors before the news is handed back.
pub(crate) const MAX_ATTEMPTS: u32 = 10;
/// The most events that a gap is mended by at once; the rest follows in the next round.
const GAP_PAGE_EVENTS: u32 = 500;
/// How many streams of a batch are worked on at once.
const CONCURRENT_STREAMS: usize = 10;

/// How many batches of a process write rows of many streams at once.
const CONCURRENT_TRANSACTIONS: usize = 4;

/// Brings projections up to what the store says.
#[derive(Clone)]
pub struct Projector {
    pub(crate) store: EventStore,
    pub(crate) read_models: ReadModels,
    /// How many batches of this process write rows of many streams at once: more would mostly lose to each other.
    pub(crate) turns: Arc<Semaphore>,
}

/// News of a stream.
#[derive(Debug, Clone)]
pub struct WakeUp {
    /// The stream that has something new.
    pub stream: StreamId,
    /// The version that it has reached at least.
    pub version: u64,
    /// The news itself, where it fitted into the message.
    pub batch: Option<Batch>,
}

/// Why a stream could not be projected. Nothing of its failing event is applied; what came before it is.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// A fold cannot apply an event.
    #[error("event {version} cannot be applied")]
    Fold {
        /// The event's version in its stream.
        version: u64,
        /// Why.
        #[source]
        source: FoldError,
    },
    /// The store did not give the missing events.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The read-model table did not take or give the rows.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The stream ends before the version that was announced.
    #[error("the stream was announced at version {announced} but ends at {found}")]
    Missing {
        /// The version of the message.
        announced: u64,
        /// The version at which the store has no more.
        found: u64,
    },
    /// Other projectors were quicker every time: try again.
    #[error("other projectors were quicker {MAX_ATTEMPTS} times")]
    Contention,
}

/// The news of one stream, joined.
#[derive(Debug, Clone)]
pub(crate) struct News {
    pub(crate) stream: StreamId,
    pub(crate) version: u64,
    pub(crate) commits: Vec<Commit>,
}

impl News {
    /// Whether it begins with the stream, so that there is probably no row yet.
    pub(crate) fn begins_the_stream(&self) -> bool {
        self.commits.first().is_some_and(|commit| commit.version == 1)
    }

    /// The announced commits that stand right behind the fence, up to the first gap.
    fn behind(&self, fence: u64) -> Vec<Commit> {
        let mut next = fence + 1;
        let unapplied = self.commits.iter().filter(|commit| commit.last_version() > fence);
        let without_gap = unapplied.take_while(|commit| {
            let fits = commit.version <= next;
            next = commit.last_version() + 1;
            fits
        });
        without_gap.cloned().collect()
    }
}

impl Projector {
    /// A projector from that store into those read models.
    pub fn new(store: EventStore, read_models: ReadModels) -> Self {
        Self { store, read_models, turns: Arc::new(Semaphore::new(CONCURRENT_TRANSACTIONS)) }
    }

    /// Brings the projection up to the news. A stream that fails is in the answer and holds up no other.
    pub async fn project(&self, projection: &Projection, news: Vec<WakeUp>) -> Vec<(StreamId, ProjectError)> {
        let news = join(news, projection.category);
        match projection.kind {
            Kind::SingleStream { fold } => {
                let work = news.into_iter().map(|news| async move {
                    let done = self.project_row(projection, fold, &news).await;
                    done.err().map(|error| (news.stream, error))
                });
                let done = futures::stream::iter(work).buffer_unordered(CONCURRENT_STREAMS);
                done.filter_map(std::future::ready).collect().await
            }
            Kind::MultiStream { fold, merge } => {
                // The semaphore is never closed, so that there is always a turn.
                let _turn = self.turns.acquire().await;
                multi_stream::Folds { projection, fold, merge }.project(self, news).await
            }
        }
    }

    async fn project_row(&self, projection: &Projection, fold: RowFold, news: &News) -> Result<(), ProjectError> {
        let mut row = match news.begins_the_stream() {
            true => None,
            false => self.read_models.get(projection.name, news.stream.as_str(), true).await?,
        };
        let mut losses = 0;
        while losses < MAX_ATTEMPTS {
            let fence = row.as_ref().map_or(0, |row| row.version);
            if fence >= news.version {
                return Ok(());
            }
            let commits = self.missing(news, fence).await?;
            let Folded { row: next, failed } = fold_row(projection, fold, &news.stream, row.as_ref(), &commits);
            if let Some(next) = next {
                let write = FencedWrite { expected: row.map(|row| row.version), row: next };
                match self.read_models.put(&write).await? {
                    Written::Yes => row = Some(write.row),
                    Written::Lost(theirs) => {
                        // What stands there now is folded anew; whether an event fails is decided again, too.
                        row = self.standing(projection, news, theirs, losses).await?;
                        losses += 1;
                        continue;
                    }
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Err(ProjectError::Contention)
    }

    /// The row that was quicker, read where the refusal did not bring it.
    async fn standing(
        &self,
        projection: &Projection,
        news: &News,
        theirs: Option<Box<Row>>,
        losses: u32,
    ) -> Result<Option<Row>, TableError> {
        match theirs {
            Some(row) => Ok(Some(*row)),
            None => {
                pause(losses).await;
                self.read_models.get(projection.name, news.stream.as_str(), true).await
            }
        }
    }

    /// The commits right behind the fence, at least one: from the message where it has them, else from the store.
    pub(crate) async fn missing(&self, news: &News, fence: u64) -> Result<Vec<Commit>, ProjectError> {
        let announced = news.behind(fence);
        if !announced.is_empty() {
            return Ok(announced);
        }
        tracing::debug!(stream = %news.stream, fence, announced = news.version, "mending a gap from the store");
        let page = self.store.read(&news.stream, fence + 1, Direction::Forwards, GAP_PAGE_EVENTS).await?;
        if page.commits.is_empty() {
            return Err(ProjectError::Missing { announced: news.version, found: fence });
        }
        Ok(page.commits)
    }
}

type RowFold = fn(Option<&Value>, &Fact<'_>) -> Result<RowData, FoldError>;

/// A row folded as far as it goes.
pub(crate) struct Folded {
    /// The row to write; none when no event could be applied.
    pub(crate) row: Option<Row>,
    /// The event that could not be applied.
    pub(crate) failed: Option<ProjectError>,
}

/// Folds the commits behind the row's fence into it, up to the first event that cannot be applied.
pub(crate) fn fold_row(
    projection: &Projection,
    fold: RowFold,
    stream: &StreamId,
    row: Option<&Row>,
    commits: &[Commit],
) -> Folded {
    let fence = row.map_or(0, |row| row.version);
    let (mut content, mut version) = (row.map(|row| row.content.clone()), fence);
    let mut failed = None;
    for (event_version, fact) in facts(stream, commits).filter(|(version, _)| *version > fence) {
        match fold(content.as_ref().map(|content| &content.data), &fact) {
            Ok(next) => (content, version) = (Some(next), event_version),
            Err(source) => {
                failed = Some(ProjectError::Fold { version: event_version, source });
                break;
            }
        }
    }
    let key = qualified(projection.name, stream.as_str());
    let moved = content.filter(|_| version > fence);
    Folded { row: moved.map(|content| Row::folded(projection.name, key, version, content)), failed }
}

/// The events of the commits, each with its version.
pub(crate) fn facts<'a>(stream: &'a StreamId, commits: &'a [Commit]) -> impl Iterator<Item = (u64, Fact<'a>)> {
    commits.iter().flat_map(move |commit| {
        let recorded_at = commit.recorded_at;
        commit.events.iter().map(move |event| (event.version, Fact { stream, recorded_at, event: &event.body }))
    })
}

/// One piece of news a stream, its commits in order; streams of other categories are none of ours.
fn join(news: Vec<WakeUp>, category: &str) -> Vec<News> {
    let mut joined: BTreeMap<StreamId, News> = BTreeMap::new();
    for WakeUp { stream, version, batch } in news.into_iter().filter(|news| news.stream.category() == category) {
        let entry = joined.entry(stream.clone()).or_insert_with(|| News { stream, version: 0, commits: Vec::new() });
        entry.version = entry.version.max(version);
        entry.commits.extend(batch.map(|batch| batch.commits).unwrap_or_default());
    }
    let mut news: Vec<News> = joined.into_values().collect();
    for news in &mut news {
        news.commits.sort_by_key(|commit| commit.version);
        news.commits.dedup_by_key(|commit| commit.version);
    }
    news
}
