//! Following streams with effects: at least once, in order, and without a gap.
//!
//! As for a projection, a message is only a wake-up call, and a fence a stream says what is handled; what lies between it
//! and the announced version is taken from the message where it fits, and from the store otherwise. But an effect cannot be
//! part of the fence's write. It comes first, and whoever dies in between does it again: **effects must be idempotent**, also
//! when two of them run at once.

pub(crate) mod process_state;

use crate::engine::gap::TimeLimit;
use crate::engine::multi_stream::position_name;
use crate::engine::notification::{NotifiedStream, join};
use crate::engine::position::Position;
use crate::engine::projector::MAX_ATTEMPTS;
use crate::reactor::process_state::ReadAhead;
use crate::tables::read_models::{ConditionalWrite, Written};
use crate::tables::row::Generation;
use crate::tables::table::{MAX_ITEMS, TableError, pause};
use crate::{Consumer, Notification, ProjectError, Projector, Row, RowData};
use eventstore::{Commit, Event, StreamId};
use futures::StreamExt;
use serde_json::Value;

/// How many streams of a batch are followed at once.
const CONCURRENT_STREAMS: usize = 10;

/// The most events that an effect is given at once, but for those of one commit: the fence moves behind each of these steps,
/// and commands take time.
const STEP_EVENTS: usize = 50;

/// An effect came no further.
#[derive(Debug)]
pub struct Stopped<E> {
    /// The first event that is not handled. All before it are.
    pub version: u64,
    /// Why.
    pub source: E,
}

/// Why a stream could not be followed up to its news. What came before is handled, and stays so.
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
    /// The events could not be had, or the fence could not be moved.
    #[error(transparent)]
    Delivery(#[from] ProjectError),
}

impl<E: std::error::Error + 'static> FollowError<E> {
    /// Whether news of the stream up to that version is not handled.
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

    /// Whether only time is lacking: the next call goes on.
    pub fn is_out_of_time(&self) -> bool {
        matches!(self, Self::Delivery(error) if error.is_out_of_time())
    }

    /// Whether it will be the same next time, until somebody changes program or data; an effect's own errors by `judge`.
    pub fn is_permanent(&self, judge: impl FnOnce(&E) -> bool) -> bool {
        match self {
            Self::Effect { source, .. } => judge(source),
            Self::Delivery(error) => error.is_permanent(),
        }
    }

    /// The version at which the stream stands still, where the error tells.
    pub fn version(&self) -> Option<u64> {
        match self {
            Self::Effect { version, .. } => Some(*version),
            Self::Delivery(error) => error.version(),
        }
    }
}

/// Where a fence stands; nothing where there is none yet.
type Fence = Option<Position>;

impl Projector {
    /// Hands the consumer what its streams say behind their fences, each stream in order, until the news is reached. A
    /// stream that fails is in the answer and holds up no other.
    ///
    /// The effect is given whole commits, but for events that are handled already: those are left out. It may be given the
    /// same events again, also by somebody else at the same time.
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

    /// The same, and states that the consumer keeps are read in one request with the positions, as far as they fit in.
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
        let fence = match seen {
            Some(row) => place_of(row),
            None => self.fence(consumer, &news.stream).await,
        };
        let mut fence = fence.map_err(ProjectError::from)?;
        let mut stepped = false;
        for losses in 0..MAX_ATTEMPTS {
            loop {
                let at = fence.unwrap_or_else(|| Position::beginning(&news.stream));
                if at.version >= news.version {
                    return Ok(self.confirm(news, at).await?);
                }
                if stepped && limit.is_over() {
                    return Err(ProjectError::OutOfTime { reached: at.version }.into());
                }
                let commits = step(behind(self.missing(news, at, limit).await?, at.version));
                let places = places(&commits);
                let stopped = effect(news.stream.clone(), commits).await.err();
                let handled = |place: &&Position| stopped.as_ref().is_none_or(|at| place.version < at.version);
                if let Some(reached) = places.iter().rfind(handled).copied() {
                    let moved = self.advance_position(consumer, &news.stream, fence, reached).await;
                    if !moved.map_err(ProjectError::from)? {
                        break;
                    }
                    (fence, stepped) = (Some(reached), true);
                }
                if let Some(Stopped { version, source }) = stopped {
                    return Err(FollowError::Effect { version, source });
                }
            }
            pause(losses).await;
            fence = self.fence(consumer, &news.stream).await.map_err(ProjectError::from)?;
        }
        Err(ProjectError::Contention.into())
    }

    /// Lets the consumer hear of the stream from its beginning again, with the next news of it: its effects are idempotent.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn rewind(&self, consumer: Consumer, stream: &StreamId) -> Result<(), TableError> {
        self.read_models.remove(&[position_key(consumer, stream)]).await
    }

    async fn fence(&self, consumer: Consumer, stream: &StreamId) -> Result<Fence, TableError> {
        place_of(self.read_models.get(position_key(consumer, stream), true).await?)
    }

    /// Moves the fence from where it was seen; no, where it is elsewhere by now.
    async fn advance_position(
        &self,
        consumer: Consumer,
        stream: &StreamId,
        seen: Fence,
        reached: Position,
    ) -> Result<bool, TableError> {
        let content = RowData { data: Value::Null, listing: None };
        let row = Row::at(only_generation(consumer.name), &position_name(stream), reached, content);
        let written = self.read_models.put(&ConditionalWrite { row, expected: seen.map(|seen| seen.version) }).await?;
        Ok(matches!(written, Written::Yes))
    }
}

/// The rows of one who has effects: those are never done again, so there is one generation for ever.
pub(crate) fn only_generation(consumer: &'static str) -> Generation {
    Generation { projection: consumer, number: 1 }
}

fn position_key(consumer: Consumer, stream: &StreamId) -> String {
    only_generation(consumer.name).key(&position_name(stream))
}

fn place_of(row: Option<Row>) -> Result<Fence, TableError> {
    Ok(row.map(|row| row.position()).transpose()?)
}

/// The places of the commits' events, in order.
fn places(commits: &[Commit]) -> Vec<Position> {
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
