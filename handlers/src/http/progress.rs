//! The progress of a job as server-sent events.

use super::ApiState;
use super::extract::PathParameter;
use super::params::Params;
use super::projections::known;
use crate::operations::{Lag, OperateError, Operations, View};
use crate::problem::Problem;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use projections::Projection;
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;

/// How often the job's status is read.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long a lag is reported again: each count costs a request.
const LAG_MAX_AGE: Duration = Duration::from_secs(5);

/// The progress of the projection's job, at most once a second.
///
/// Events `progress` have the body of `GET /projections/{name}`; `lag` is counted every five
/// seconds. At the end of the job, or at once if there is none, an event `done` has the last
/// report. Its number shows whether the report is this job's: a cancelled job has none. An event
/// `problem` says why progress cannot be read any more.
#[utoipa::path(get, path = "/projections/{name}/progress", tag = "projections",
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 200, description = "Events, for at most an hour", content_type = "text/event-stream", body = String)))]
pub(crate) async fn progress(
    State(api): ApiState,
    PathParameter(name): PathParameter,
    params: Params,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    params.only(&[])?;
    let (operations, projection) = (api.operations.clone(), known(&api, &name)?);
    let permit =
        Arc::clone(&api.watchers).try_acquire_owned().map_err(|_| Problem::too_many_watchers())?;
    let stream = ProgressStream {
        operations,
        projection,
        until: Instant::now() + api.progress,
        job: None,
        lag: None,
        sent: None,
        last: None,
        _permit: permit,
    };
    let events = futures::stream::unfold(stream, |stream| async {
        let (event, stream) = stream.next().await?;
        Some((Ok(event), stream))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// What one response has reported.
struct ProgressStream {
    operations: Operations,
    projection: Projection,
    until: Instant,
    /// The job's number, after it was read first.
    job: Option<u64>,
    /// The lag, and when it was counted.
    lag: Option<(Instant, Lag)>,
    /// The last event's data.
    sent: Option<String>,
    /// The final event, once it is known.
    last: Option<FinalEvent>,
    /// Released at the end of the response.
    _permit: OwnedSemaphorePermit,
}

enum FinalEvent {
    /// The event to end with.
    Event(Event),
    /// It has been sent.
    Sent,
}

impl ProgressStream {
    /// The next event; none at the end.
    async fn next(mut self) -> Option<(Event, Self)> {
        match self.last.take() {
            Some(FinalEvent::Event(event)) => return Some((event, self.ended())),
            Some(FinalEvent::Sent) => return None,
            None => {}
        }
        loop {
            if self.sent.is_some() {
                if Instant::now() >= self.until {
                    return None;
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
            let view = match self.read_view().await {
                Ok(view) => view,
                Err(error) => return Some((event("problem", &Problem::from(error)), self.ended())),
            };
            let done = || event("done", &view.status.report);
            match view.status.job.as_ref().map(|job| job.number) {
                None => self.last = Some(FinalEvent::Event(done())),
                // The job ended between two reads, and another one began.
                Some(number) if number != *self.job.get_or_insert(number) => {
                    return Some((done(), self.ended()));
                }
                Some(_) => {}
            }
            let data = serde_json::to_string(&view).unwrap_or_default();
            if self.last.is_some() || self.sent.as_ref() != Some(&data) {
                self.sent = Some(data.clone());
                return Some((Event::default().event("progress").data(data), self));
            }
        }
    }

    async fn read_view(&mut self) -> Result<View, OperateError> {
        let status = self.operations.status(&self.projection).await?;
        let counted = self.lag.filter(|(at, _)| at.elapsed() < LAG_MAX_AGE && status.job.is_some());
        let (at, lag) = match counted {
            Some(counted) => counted,
            None => (Instant::now(), self.operations.lag(&self.projection).await?),
        };
        self.lag = Some((at, lag));
        Ok(View { status, lag: Some(lag) })
    }

    fn ended(self) -> Self {
        Self { last: Some(FinalEvent::Sent), ..self }
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}
