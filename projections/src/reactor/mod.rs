//! The reactor: delivers the events of streams to a process, at least once, in order, without a gap.
//!
//! As in a projection, a position says which commits are handled; missing ones come from the
//! notification or from the store. But an effect is not part of the write of the position. The effect
//! comes first; after a crash in between it is repeated. **Effects must be idempotent**, also when two
//! of them run at once.

pub(crate) mod process_state;

use crate::stream_read::TimeLimit;
use crate::engine::multi_stream::position_name;
use crate::engine::notification::{NotifiedStream, join};
use crate::tables::position::Position;
use crate::engine::projector::MAX_ATTEMPTS;
use crate::reactor::process_state::ReadAhead;
use crate::tables::read_models::{ConditionalWrite, Written};
use crate::tables::row::Generation;
use crate::tables::table::{MAX_ITEMS, TableError, pause};
use crate::{Consumer, Notification, ProjectError, Projector, Row, RowData};
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
pub enum FollowError<E: std::error::Error + 'static> {
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

impl<E: std::error::Error + 'static> FollowError<E> {
    /// Whether a notification of that version is not handled.
    pub fn concerns(&self, announced: u64) -> bool {
        match self {
            Self::Effect { version, .. } | Self::Delivery(ProjectError::Fold { version, .. }) => announced >= *version,
            Self::Delivery(ProjectError::Missing { found, .. }) => announced > *found,
            Self::Delivery(ProjectError::OutOfTime { reached }) => announced > *reached,
            Self::Delivery(
                ProjectError::Read(_)
                | ProjectError::Table(_)
                | ProjectError::Stray { .. }
                | ProjectError::OtherShape(_)
                | ProjectError::Contention,
            ) => true,
        }
    }

    /// Whether only the time ran out: the next call continues.
    pub fn is_out_of_time(&self) -> bool {
        matches!(self, Self::Delivery(error) if error.is_out_of_time())
    }

    /// Whether a retry fails in the same way until program or data change; `judge` decides for effects.
    pub fn is_permanent(&self, judge: impl FnOnce(&E) -> bool) -> bool {
        match self {
            Self::Effect { source, .. } => judge(source),
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
    /// Delivers the commits after the positions to `effect`, each stream in order, up to the notified
    /// versions. Returns the streams that failed; none of them holds up another.
    ///
    /// The effect gets whole commits without events that are handled already. It may get the same events
    /// again, also in another process at the same time.
    pub async fn follow<E, W>(
        &self,
        consumer: Consumer,
        news: Vec<Notification>,
        limit: TimeLimit,
        effect: impl Fn(StreamId, Vec<Commit>) -> W + Clone,
    ) -> Vec<(StreamId, FollowError<E>)>
    where
        E: std::error::Error + 'static,
        W: Future<Output = Result<(), Stopped<E>>>,
    {
        self.follow_reading(consumer, news, &ReadAhead::default(), limit, effect).await
    }

    /// The same, but reads states of process instances in one request with the positions, if they fit.
    pub async fn follow_reading<E, W>(
        &self,
        consumer: Consumer,
        news: Vec<Notification>,
        ahead: &ReadAhead,
        limit: TimeLimit,
        effect: impl Fn(StreamId, Vec<Commit>) -> W + Clone,
    ) -> Vec<(StreamId, FollowError<E>)>
    where
        E: std::error::Error + 'static,
        W: Future<Output = Result<(), Stopped<E>>>,
    {
        let news = join(news, consumer.follows);
        let key = |news: &NotifiedStream| position_key(consumer, &news.stream);
        let room = MAX_ITEMS.saturating_sub(news.len());
        let keys = news.iter().map(key).chain(ahead.keys(consumer.name, room));
        let seen = self.read_models.seen(keys.collect()).await;
        ahead.keep(consumer.name, room, &seen);
        let work = news.into_iter().map(|news| {
            let (effect, seen) = (effect.clone(), seen.of(&key(&news)));
            async move {
                let done = self.follow_stream(consumer, &news, seen, limit, effect).await;
                done.err().map(|error| (news.stream, error))
            }
        });
        let done = futures::stream::iter(work).buffer_unordered(CONCURRENT_STREAMS);
        done.filter_map(std::future::ready).collect().await
    }

    async fn follow_stream<E, W>(
        &self,
        consumer: Consumer,
        news: &NotifiedStream,
        seen: Option<Option<Row>>,
        limit: TimeLimit,
        effect: impl Fn(StreamId, Vec<Commit>) -> W,
    ) -> Result<(), FollowError<E>>
    where
        E: std::error::Error + 'static,
        W: Future<Output = Result<(), Stopped<E>>>,
    {
        let position = match seen {
            Some(row) => position_of(row),
            None => self.position(consumer, &news.stream).await,
        };
        let mut position = position.map_err(ProjectError::from)?;
        let mut stepped = false;
        for losses in 0..MAX_ATTEMPTS {
            loop {
                let at = position.unwrap_or_else(|| Position::beginning(&news.stream));
                if at.version >= news.version {
                    return Ok(self.confirm(news, at).await?);
                }
                if stepped && limit.is_over() {
                    return Err(ProjectError::OutOfTime { reached: at.version }.into());
                }
                let commits = step(behind(self.missing(news, at, limit).await?, at.version));
                let positions = positions(&commits);
                let stopped = effect(news.stream.clone(), commits).await.err();
                let handled = |position: &&Position| stopped.as_ref().is_none_or(|at| position.version < at.version);
                if let Some(reached) = positions.iter().rfind(handled).copied() {
                    let moved = self.advance_position(consumer, &news.stream, position, reached).await;
                    if !moved.map_err(ProjectError::from)? {
                        break;
                    }
                    (position, stepped) = (Some(reached), true);
                }
                if let Some(Stopped { version, source }) = stopped {
                    return Err(FollowError::Effect { version, source });
                }
            }
            pause(losses).await;
            position = self.position(consumer, &news.stream).await.map_err(ProjectError::from)?;
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

    async fn position(&self, consumer: Consumer, stream: &StreamId) -> Result<StoredPosition, TableError> {
        position_of(self.read_models.get(position_key(consumer, stream), true).await?)
    }

    /// Advances the position from where it was read. False if another process advanced it meanwhile.
    async fn advance_position(
        &self,
        consumer: Consumer,
        stream: &StreamId,
        seen: StoredPosition,
        reached: Position,
    ) -> Result<bool, TableError> {
        let content = RowData { data: Value::Null, listing: None };
        let row = Row::at(only_generation(consumer.name), &position_name(stream), reached, content);
        let written = self.read_models.put(&ConditionalWrite { row, expected: seen.map(|seen| seen.version) }).await?;
        Ok(matches!(written, Written::Yes))
    }
}

/// The generation of a process: effects are never rebuilt, so there is one for ever.
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

/// As many of the commits as are handled in one step.
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
fn behind(mut commits: Vec<Commit>, handled: u64) -> Vec<Commit> {
    for commit in &mut commits {
        commit.events.retain(|event| event.version > handled);
    }
    commits
}
