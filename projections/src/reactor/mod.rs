//! The reactor: delivers the events of streams to a process, at least once, in order, without a
//! gap.
//!
//! As in a read model, a position says which commits are handled, and missing ones come from the
//! notification or from the store. But the effect and the position are two writes, and the effect
//! comes first. After a crash between them it is repeated. **Effects must be idempotent**, also
//! when two of them run at once.

pub(crate) mod process_state;

use crate::definition::consumer::Consumer;
use crate::engine::gap::{confirm, missing_commits};
use crate::engine::notification::{Notification, NotifiedStream, join};
use crate::engine::project_error::{MAX_ATTEMPTS, ProjectError};
use crate::engine::projector::Projector;
use crate::reactor::process_state::ReadAhead;
use crate::stream_read::TimeLimit;
use crate::tables::position::{Position, position_name};
use crate::tables::read_models::{ConditionalWrite, Written};
use crate::tables::row::{Generation, Row, RowData};
use crate::tables::table::{MAX_ITEMS, TableError, pause};
use eventstore::{Commit, Event, StreamId};
use futures::StreamExt;
use serde_json::Value;

/// How many streams of a batch are handled at once.
const CONCURRENT_STREAMS: usize = 10;

/// The most events of one step, unless one commit has more. The position advances after each step,
/// because commands take time.
const STEP_EVENTS: usize = 50;

/// An effect failed at an event.
#[derive(Debug)]
pub struct Stopped<E> {
    /// The first event that is not handled. All before it are.
    pub version: u64,
    /// Why.
    pub source: E,
}

/// Why a stream could not be handled up to its notified version. Earlier events are handled.
#[derive(Debug, thiserror::Error)]
pub enum ReactError<E: std::error::Error + 'static> {
    /// An event's effect failed.
    #[error("event {version} cannot be handled")]
    Effect {
        /// The event's version in its stream.
        version: u64,
        /// Why.
        #[source]
        source: E,
    },
    /// The events could not be read, or the position could not be advanced.
    #[error(transparent)]
    Delivery(#[from] ProjectError),
}

impl<E: std::error::Error + 'static> ReactError<E> {
    /// Whether a notification of that version is not handled.
    pub fn concerns(&self, notified: u64) -> bool {
        match self {
            Self::Effect { version, .. } | Self::Delivery(ProjectError::Fold { version, .. }) => {
                notified >= *version
            }
            Self::Delivery(ProjectError::Missing { found, .. }) => notified > *found,
            Self::Delivery(ProjectError::OutOfTime { reached }) => notified > *reached,
            Self::Delivery(
                ProjectError::Read(_)
                | ProjectError::Table(_)
                | ProjectError::Diverged { .. }
                | ProjectError::OtherShape(_)
                | ProjectError::Contention,
            ) => true,
        }
    }

    /// Whether only the time ran out: the next call continues.
    pub fn is_out_of_time(&self) -> bool {
        matches!(self, Self::Delivery(error) if error.is_out_of_time())
    }

    /// Whether a retry fails in the same way until program or data change.
    pub fn is_permanent(&self, effect_is_permanent: impl FnOnce(&E) -> bool) -> bool {
        match self {
            Self::Effect { source, .. } => effect_is_permanent(source),
            Self::Delivery(error) => error.is_permanent(),
        }
    }

    /// The version at which the stream stops, if the error has one.
    pub fn version(&self) -> Option<u64> {
        match self {
            Self::Effect { version, .. } => Some(*version),
            Self::Delivery(error) => error.version(),
        }
    }
}

/// A stored position; none before the first step.
type StoredPosition = Option<Position>;

impl Projector {
    /// Delivers the commits after the positions to `effect`, each stream in order, up to the
    /// notified versions. Returns the streams that failed. A failed stream does not delay others.
    ///
    /// The effect gets commits without the events that are handled already. It may get the same
    /// events again, also in another process at the same time.
    pub async fn react<E, W>(
        &self,
        consumer: Consumer,
        notifications: Vec<Notification>,
        limit: TimeLimit,
        effect: impl Fn(StreamId, Vec<Commit>) -> W + Clone,
    ) -> Vec<(StreamId, ReactError<E>)>
    where
        E: std::error::Error + 'static,
        W: Future<Output = Result<(), Stopped<E>>>,
    {
        self.react_with_states(consumer, notifications, &ReadAhead::default(), limit, effect).await
    }

    /// The same, but reads states of process instances in one request with the positions, if they
    /// fit.
    pub async fn react_with_states<E, W>(
        &self,
        consumer: Consumer,
        notifications: Vec<Notification>,
        ahead: &ReadAhead,
        limit: TimeLimit,
        effect: impl Fn(StreamId, Vec<Commit>) -> W + Clone,
    ) -> Vec<(StreamId, ReactError<E>)>
    where
        E: std::error::Error + 'static,
        W: Future<Output = Result<(), Stopped<E>>>,
    {
        let notified = join(notifications, consumer.follows);
        let key = |notified: &NotifiedStream| position_key(consumer, &notified.stream);
        let room = MAX_ITEMS.saturating_sub(notified.len());
        let keys = notified.iter().map(key).chain(ahead.keys(consumer.name, room));
        let prefetched = self.read_models.prefetch(keys.collect()).await;
        ahead.store(consumer.name, room, &prefetched);
        let work = notified.into_iter().map(|notified| {
            let (effect, row) = (effect.clone(), prefetched.of(&key(&notified)));
            async move {
                let done = self.react_to_stream(consumer, &notified, row, limit, effect).await;
                done.err().map(|error| (notified.stream, error))
            }
        });
        let done = futures::stream::iter(work).buffer_unordered(CONCURRENT_STREAMS);
        done.filter_map(std::future::ready).collect().await
    }

    async fn react_to_stream<E, W>(
        &self,
        consumer: Consumer,
        notified: &NotifiedStream,
        prefetched: Option<Option<Row>>,
        limit: TimeLimit,
        effect: impl Fn(StreamId, Vec<Commit>) -> W,
    ) -> Result<(), ReactError<E>>
    where
        E: std::error::Error + 'static,
        W: Future<Output = Result<(), Stopped<E>>>,
    {
        let stream = &notified.stream;
        let position = match prefetched {
            Some(row) => position_of(row),
            None => self.position(consumer, stream).await,
        };
        let mut position = position.map_err(ProjectError::from)?;
        let mut stepped = false;
        for conflicts in 0..MAX_ATTEMPTS {
            loop {
                let at = position.unwrap_or_else(|| Position::beginning(stream));
                if at.version >= notified.version {
                    return Ok(confirm(&self.store, notified, at).await?);
                }
                if stepped && limit.is_over() {
                    return Err(ProjectError::OutOfTime { reached: at.version }.into());
                }
                let missing = missing_commits(&self.store, notified, at, limit).await?;
                let commits = step(without_handled(missing, at.version));
                let positions = positions(&commits);
                let stopped = effect(stream.clone(), commits).await.err();
                let handled = |position: &&Position| {
                    stopped.as_ref().is_none_or(|at| position.version < at.version)
                };
                if let Some(reached) = positions.iter().rfind(handled).copied() {
                    let moved = self.advance_position(consumer, stream, position, reached).await;
                    if !moved.map_err(ProjectError::from)? {
                        break;
                    }
                    (position, stepped) = (Some(reached), true);
                }
                if let Some(Stopped { version, source }) = stopped {
                    return Err(ReactError::Effect { version, source });
                }
            }
            pause(conflicts).await;
            position = self.position(consumer, stream).await.map_err(ProjectError::from)?;
        }
        Err(ProjectError::Contention.into())
    }

    /// Removes the position: the next notification delivers the stream from its beginning again.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn rewind(&self, consumer: Consumer, stream: &StreamId) -> Result<(), TableError> {
        self.read_models.remove(&[position_key(consumer, stream)]).await
    }

    async fn position(
        &self,
        consumer: Consumer,
        stream: &StreamId,
    ) -> Result<StoredPosition, TableError> {
        position_of(self.read_models.get(position_key(consumer, stream), true).await?)
    }

    /// Advances the position from where it was read. False if another process advanced it
    /// meanwhile.
    async fn advance_position(
        &self,
        consumer: Consumer,
        stream: &StreamId,
        from: StoredPosition,
        reached: Position,
    ) -> Result<bool, TableError> {
        let content = RowData { data: Value::Null, listing: None };
        let row = Row::at(only_generation(consumer.name), &position_name(stream), reached, content);
        let written = self
            .read_models
            .put(&ConditionalWrite { row, expected: from.map(|from| from.version) })
            .await?;
        Ok(matches!(written, Written::Yes))
    }
}

/// The generation of a process. Effects are never rebuilt, so there is only one.
pub(crate) fn only_generation(consumer: &'static str) -> Generation {
    Generation { projection: consumer, number: 1 }
}

fn position_key(consumer: Consumer, stream: &StreamId) -> String {
    only_generation(consumer.name).key(&position_name(stream))
}

fn position_of(row: Option<Row>) -> Result<StoredPosition, TableError> {
    Ok(row.map(|row| row.position()).transpose()?)
}

/// The positions of the commits' events, in order.
fn positions(commits: &[Commit]) -> Vec<Position> {
    let of = |commit| move |event: &Event| Position::in_commit(commit, event.version);
    commits.iter().flat_map(|commit| commit.events.iter().map(of(commit))).collect()
}

/// The first commits, as many as one step handles.
fn step(commits: Vec<Commit>) -> Vec<Commit> {
    let mut events = 0;
    let fits = |commit: &Commit| {
        let first = events == 0;
        events += commit.events.len();
        first || events <= STEP_EVENTS
    };
    commits.into_iter().take_while(fits).collect()
}

/// The commits, without the events that are handled.
fn without_handled(mut commits: Vec<Commit>, handled: u64) -> Vec<Commit> {
    for commit in &mut commits {
        commit.events.retain(|event| event.version > handled);
    }
    commits
}
