//! Lists parked streams, and resumes them.

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

/// The most list pages that are read for one page of the answer.
const MAX_PAGES: u32 = 4;
/// How many streams are resumed between two checks of the time.
const PAGE: u32 = 25;

/// The result of a resume.
#[derive(Debug, Clone, Serialize)]
pub struct Resumption {
    /// The job that was resumed, if there was one.
    pub job: Option<u64>,
    /// The parked streams, each in its generation.
    pub streams: Vec<ResumedStream>,
    /// Where another call continues, if the time was up.
    pub next_cursor: Option<ParkedCursor>,
}

/// One call that resumes streams.
struct ResumeCall {
    begun: Instant,
    /// How long gaps are filled.
    limit: TimeLimit,
    /// The prefix of its messages' deduplication ids.
    reason: String,
}

/// A parked stream after a resume.
#[derive(Debug, Clone, Serialize)]
pub struct ResumedStream {
    /// The stream.
    pub stream: StreamId,
    /// The generation.
    pub generation: u32,
    /// The version at which it was parked, if known.
    pub version: Option<u64>,
    /// Its state now.
    pub state: ResumedState,
    /// Why it is still parked.
    pub reason: Option<String>,
}

/// The state of a stream after a resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResumedState {
    /// It has caught up.
    CaughtUp,
    /// It is still parked.
    Parked,
    /// A notification was sent: its process or projector continues it.
    Announced,
}

impl Resumption {
    /// Adds the result of a later call.
    pub fn add(&mut self, later: Self) {
        self.job = self.job.or(later.job);
        self.streams.extend(later.streams);
        self.next_cursor = later.next_cursor;
    }

    /// Whether a stream is still parked.
    pub fn is_stuck(&self) -> bool {
        self.streams.iter().any(|stream| stream.state == ResumedState::Parked)
    }
}

/// A page of the parked streams.
#[derive(Debug, Clone, Serialize)]
pub struct ParkedStreams {
    /// The streams: the active generation first, in each generation the newest first.
    pub streams: Vec<Parked>,
    /// The next page; none at the end. A short or empty page may have a next one.
    pub next_cursor: Option<ParkedCursor>,
}

/// A place in the list of parked streams: text that is safe in a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedCursor {
    generation: u32,
    behind: Option<ListCursor>,
    /// The generations that are listed already: the active one may change between two pages.
    done: Vec<u32>,
}

/// The text is no [`ParkedCursor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one that an earlier answer to the same question gave as next_cursor")]
pub struct InvalidParkedCursor;

impl ParkedCursor {
    /// The beginning of the first generation that is not listed yet.
    fn unread(written: &[u32], done: Vec<u32>) -> Option<Self> {
        let generation = *written.iter().find(|number| !done.contains(number))?;
        Some(Self { generation, behind: None, done })
    }
}

impl fmt::Display for ParkedCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(&(self.generation, &self.behind, &self.done))
            .map_err(|_| fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

impl FromStr for ParkedCursor {
    type Err = InvalidParkedCursor;

    fn from_str(text: &str) -> Result<Self, InvalidParkedCursor> {
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidParkedCursor)?;
        let (generation, behind, done): (u32, Option<ListCursor>, Vec<u32>) =
            serde_json::from_slice(&json).map_err(|_| InvalidParkedCursor)?;
        let fits = behind.as_ref().is_none_or(ListCursor::fits);
        if fits { Ok(Self { generation, behind, done }) } else { Err(InvalidParkedCursor) }
    }
}

impl Serialize for ParkedCursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Operations {
    /// Resumes the job, if it is paused or its tasks were lost, and every parked stream; or only
    /// that stream. Works within the time of a call; another call continues at the returned cursor.
    ///
    /// # Errors
    /// [`OperateError`]; some streams may be resumed, and the call may be repeated.
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
        let call = ResumeCall {
            begun: Instant::now(),
            limit: self.projector.resume_limit(),
            reason: format!("resume:{}", Uuid::now_v7()),
        };
        if let Some(stream) = stream.filter(|_| projection.is_read_model()) {
            let resumed = self.projector.resume_stream(projection, stream).await?;
            let streams = self.with_notified(projection, resumed, &call).await?;
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

    /// Rows of a read model are caught up here. A process must do its effects itself: it is
    /// notified of its streams, and then they are unparked. Its handler parks them again if they
    /// still fail.
    async fn resume_page(
        &self,
        projection: &Projection,
        parked: Vec<Parked>,
        call: &ResumeCall,
    ) -> Result<Vec<ResumedStream>, OperateError> {
        if projection.is_read_model() {
            let resumed = self.projector.resume(projection, parked, call.limit).await?;
            return self.with_notified(projection, resumed, call).await;
        }
        let mut notified = Vec::new();
        for parked in parked {
            notified.push(self.notify_head(projection, parked, &call.reason).await?);
        }
        Ok(notified)
    }

    /// The states of resumed streams. One that is far behind is notified: its projector catches it
    /// up.
    async fn with_notified(
        &self,
        projection: &Projection,
        resumed: Vec<Resumed>,
        call: &ResumeCall,
    ) -> Result<Vec<ResumedStream>, OperateError> {
        let mut streams = Vec::new();
        for resumed in resumed {
            streams.push(match resumed.still {
                Some(error) if error.is_out_of_time() => {
                    self.notify_head(projection, resumed.parked, &call.reason).await?
                }
                _ => caught_up(resumed),
            });
        }
        Ok(streams)
    }

    async fn notify_head(
        &self,
        projection: &Projection,
        parked: Parked,
        reason: &str,
    ) -> Result<ResumedStream, OperateError> {
        let head = match self.store.head(&parked.stream, Consistency::Strong).await {
            Ok((head, _)) => head,
            Err(ReadError::Corrupt(corrupt)) => {
                return Ok(resumed_stream(parked, ResumedState::Parked, Some(corrupt.to_string())));
            }
            Err(error) => return Err(error.into()),
        };
        if parked.version.is_none() && !projection.is_read_model() {
            // Its instance is held because of its asks: delivered from the beginning, the events
            // send them again.
            self.projector.rewind(projection.consumer(), &parked.stream).await?;
        }
        if head.version() == 0 {
            // The stream is gone.
            self.projector.unpark(projection, &parked).await?;
            return Ok(resumed_stream(parked, ResumedState::CaughtUp, None));
        }
        let behind = vec![(parked.stream.clone(), head.version())];
        self.notify(projection, reason, behind.clone()).await?;
        self.projector.unpark(projection, &parked).await?;
        // The first message may have been dropped because the stream was still parked.
        self.notify(projection, &format!("{reason}:after"), behind).await?;
        Ok(resumed_stream(parked, ResumedState::Announced, None))
    }

    /// A page of the parked streams in every written generation. Eventually consistent.
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
        let written: Vec<u32> =
            [status.active].into_iter().chain(other.map(|other| other.number)).collect();
        let mut next = cursor.cloned().or_else(|| ParkedCursor::unread(&written, Vec::new()));
        let mut streams: Vec<Parked> = Vec::new();
        // Only a page without a next one shows the end of a generation.
        for _ in 0..MAX_PAGES {
            let missing = limit.saturating_sub(u32::try_from(streams.len()).unwrap_or(u32::MAX));
            let Some(ParkedCursor { generation, behind, mut done }) = next.take_if(|_| missing > 0)
            else {
                break;
            };
            let page =
                self.projector.parked(projection, generation, missing, behind.as_ref()).await?;
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
    ResumedStream {
        stream: parked.stream,
        generation: parked.generation,
        version: parked.version,
        state,
        reason,
    }
}
