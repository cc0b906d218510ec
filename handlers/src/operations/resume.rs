//! What stands still in a projection, and setting it going again.

use crate::operations::{OperateError, Operations};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eventstore::{Consistency, ReadError, StreamId};
use projections::{GenerationState, ListCursor, Parked, Projection, Resumed, TimeLimit};
use serde::Serialize;
use std::fmt;
use std::str::FromStr;
use std::time::Instant;
use uuid::Uuid;

/// The most pages of lists that one page of the answer is made of.
const MAX_PAGES: u32 = 4;
/// Streams that are resumed before it is looked whether the time is up.
const PAGE: u32 = 25;

/// What was set going again.
#[derive(Debug, Clone, Serialize)]
pub struct Resumption {
    /// The job that goes on, if one was under way.
    pub job: Option<u64>,
    /// The streams that stood still, each in its generation.
    pub streams: Vec<ResumedStream>,
    /// Where another call goes on, if the time of this one was up.
    pub next_cursor: Option<ParkedCursor>,
}

/// One call that resumes streams.
struct Call {
    begun: Instant,
    /// How long gaps are mended.
    limit: TimeLimit,
    /// What its messages are deduplicated by.
    reason: String,
}

/// What became of a stream that stood still.
#[derive(Debug, Clone, Serialize)]
pub struct ResumedStream {
    /// The stream.
    pub stream: StreamId,
    /// The generation.
    pub generation: u32,
    /// The version at which it stood still, where that is known.
    pub version: Option<u64>,
    /// What became of it.
    pub state: ResumedState,
    /// Why it still stands still.
    pub reason: Option<String>,
}

/// What became of a stream that stood still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResumedState {
    /// It has caught up.
    CaughtUp,
    /// It stands still as before.
    Parked,
    /// It was announced to its process manager or projector, which goes on with it.
    Announced,
}

impl Resumption {
    /// What two calls came to, the later one last.
    pub fn add(&mut self, later: Self) {
        self.job = self.job.or(later.job);
        self.streams.extend(later.streams);
        self.next_cursor = later.next_cursor;
    }

    /// Whether something still stands still.
    pub fn is_stuck(&self) -> bool {
        self.streams.iter().any(|stream| stream.state == ResumedState::Parked)
    }
}

/// A page of the streams that stand still.
#[derive(Debug, Clone, Serialize)]
pub struct ParkedStreams {
    /// The streams: those of the generation that is read first, each generation's newest first.
    pub streams: Vec<Parked>,
    /// Where to go on. There may be one on a page with fewer streams than asked for, even with none.
    pub next_cursor: Option<ParkedCursor>,
}

/// A place in the list of the streams that stand still: text that is safe in a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedCursor {
    generation: u32,
    behind: Option<ListCursor>,
    /// The generations that are behind it: which one is read may change between two pages.
    done: Vec<u32>,
}

/// A text is no place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one that an earlier answer to the same question gave as next_cursor")]
pub struct ForeignCursor;

impl ParkedCursor {
    /// The beginning of the first generation that has not been gone through.
    fn unread(written: &[u32], done: Vec<u32>) -> Option<Self> {
        let generation = *written.iter().find(|number| !done.contains(number))?;
        Some(Self { generation, behind: None, done })
    }
}

impl fmt::Display for ParkedCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(&(self.generation, &self.behind, &self.done)).map_err(|_| fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

impl FromStr for ParkedCursor {
    type Err = ForeignCursor;

    fn from_str(text: &str) -> Result<Self, ForeignCursor> {
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| ForeignCursor)?;
        let (generation, behind, done): (u32, Option<ListCursor>, Vec<u32>) =
            serde_json::from_slice(&json).map_err(|_| ForeignCursor)?;
        let fits = behind.as_ref().is_none_or(ListCursor::fits);
        if fits { Ok(Self { generation, behind, done }) } else { Err(ForeignCursor) }
    }
}

impl Serialize for ParkedCursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Operations {
    /// Resumes the job if there is one, whether it was paused or its calls were lost, and every
    /// parked stream; or only that stream. Does as much as fits into the time of a call; with the
    /// cursor of its answer, another call goes on.
    ///
    /// # Errors
    /// [`OperateError`]; what was set going until then goes on, and the same call may be sent
    /// again.
    pub async fn resume(
        &self,
        projection: &Projection,
        stream: Option<&StreamId>,
        cursor: Option<&ParkedCursor>,
    ) -> Result<Resumption, OperateError> {
        let job = match (stream, cursor) {
            (None, None) => self.resume_job(projection).await?,
            (Some(_), _) | (None, Some(_)) => None,
        };
        let call = Call {
            begun: Instant::now(),
            limit: self.projector.resume_limit(),
            reason: format!("resume:{}", Uuid::now_v7()),
        };
        if let Some(stream) = stream.filter(|_| projection.is_read_model()) {
            let resumed = self.projector.resume_stream(projection, stream).await?;
            let streams = self.with_those_far_behind(projection, resumed, &call).await?;
            return Ok(Resumption { job, streams, next_cursor: None });
        }
        let (mut streams, mut next_cursor) = (Vec::new(), cursor.cloned());
        loop {
            let page = self.parked(projection, PAGE, next_cursor.as_ref()).await?;
            let is_asked_for = |parked: &Parked| stream.is_none_or(|only| *only == parked.stream);
            let parked = page.streams.into_iter().filter(is_asked_for).collect();
            streams.extend(self.resume_page(projection, parked, &call).await?);
            next_cursor = page.next_cursor;
            if next_cursor.is_none() || call.begun.elapsed() >= self.step_time {
                return Ok(Resumption { job, streams, next_cursor });
            }
        }
    }

    /// Rows are caught up here. A process manager is told of its streams, and only then are their
    /// notes removed: their effects are not done here, and its own handler parks them again if they
    /// still cannot be handled.
    async fn resume_page(
        &self,
        projection: &Projection,
        parked: Vec<Parked>,
        call: &Call,
    ) -> Result<Vec<ResumedStream>, OperateError> {
        if projection.is_read_model() {
            let resumed = self.projector.resume(projection, parked, call.limit).await?;
            return self.with_those_far_behind(projection, resumed, call).await;
        }
        let mut told = Vec::new();
        for parked in parked {
            told.push(self.tell_of(projection, parked, &call.reason).await?);
        }
        Ok(told)
    }

    /// What became of streams. One that is far behind is announced: its projector catches it up.
    async fn with_those_far_behind(
        &self,
        projection: &Projection,
        resumed: Vec<Resumed>,
        call: &Call,
    ) -> Result<Vec<ResumedStream>, OperateError> {
        let mut streams = Vec::new();
        for resumed in resumed {
            streams.push(match resumed.still {
                Some(error) if error.is_out_of_time() => self.tell_of(projection, resumed.parked, &call.reason).await?,
                _ => caught_up(resumed),
            });
        }
        Ok(streams)
    }

    async fn tell_of(
        &self,
        projection: &Projection,
        parked: Parked,
        reason: &str,
    ) -> Result<ResumedStream, OperateError> {
        let head = match self.store.head(&parked.stream, Consistency::Strong).await {
            Ok((head, _)) => head,
            Err(ReadError::Corrupt(damaged)) => {
                return Ok(resumed_stream(parked, ResumedState::Parked, Some(damaged.to_string())));
            }
            Err(error) => return Err(error.into()),
        };
        if parked.version.is_none() && !projection.is_read_model() {
            // It is held for what was learned from other streams: told from its beginning, it asks for all of it again.
            self.projector.rewind(projection.consumer(), &parked.stream).await?;
        }
        if head.version() == 0 {
            // The stream is gone: there is nothing to tell.
            self.projector.unpark(projection, &parked).await?;
            return Ok(resumed_stream(parked, ResumedState::CaughtUp, None));
        }
        let behind = vec![(parked.stream.clone(), head.version())];
        self.announce(projection, reason, behind.clone()).await?;
        self.projector.unpark(projection, &parked).await?;
        // The first message may have come while the note still stood there, and have been let go.
        self.announce(projection, &format!("{reason}:after"), behind).await?;
        Ok(resumed_stream(parked, ResumedState::Announced, None))
    }

    /// A page of the streams that stand still, in every generation that is written. Eventually consistent.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn parked(
        &self,
        projection: &Projection,
        limit: u32,
        cursor: Option<&ParkedCursor>,
    ) -> Result<ParkedStreams, OperateError> {
        let status = self.projector.status(projection).await?;
        let other = status.other.filter(|other| other.state != GenerationState::Removing);
        let written: Vec<u32> = [status.active].into_iter().chain(other.map(|other| other.number)).collect();
        let mut next = cursor.cloned().or_else(|| ParkedCursor::unread(&written, Vec::new()));
        let mut streams: Vec<Parked> = Vec::new();
        // The end of a generation is known only when nothing comes behind a page.
        for _ in 0..MAX_PAGES {
            let missing = limit.saturating_sub(u32::try_from(streams.len()).unwrap_or(u32::MAX));
            let Some(ParkedCursor { generation, behind, mut done }) = next.take_if(|_| missing > 0) else { break };
            let page = self.projector.parked(projection, generation, missing, behind.as_ref()).await?;
            streams.extend(page.streams);
            next = match page.next {
                Some(behind) => Some(ParkedCursor { generation, behind: Some(behind), done }),
                None => {
                    done.push(generation);
                    ParkedCursor::unread(&written, done)
                }
            };
        }
        Ok(ParkedStreams { streams, next_cursor: next })
    }
}

fn caught_up(resumed: Resumed) -> ResumedStream {
    let reason = resumed.reason();
    let state = if reason.is_some() { ResumedState::Parked } else { ResumedState::CaughtUp };
    resumed_stream(resumed.parked, state, reason)
}

fn resumed_stream(parked: Parked, state: ResumedState, reason: Option<String>) -> ResumedStream {
    ResumedStream { stream: parked.stream, generation: parked.generation, version: parked.version, state, reason }
}
