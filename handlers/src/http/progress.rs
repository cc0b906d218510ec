//! A job's progress as server-sent events.

use super::Shared;
use super::extract::Segment;
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

/// How often it is looked how far the job has come.
const LOOK: Duration = Duration::from_secs(1);
/// How long what the queues said is told on: counting them is a request each.
const LAG_KEEPS: Duration = Duration::from_secs(5);
/// How far the projection's job has come, once a second while that changes: events `progress` with what
/// `GET /projections/{name}` answers (`lag` is counted every five seconds), and at the end of the job, or at once if there is
/// none, `done` with the last report: its number says whether it is this job's, which may have been given up. An event `problem`
/// tells why no more can be told.
#[utoipa::path(get, path = "/projections/{name}/progress", tag = "projections",
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 200, description = "Events, for an hour at most", content_type = "text/event-stream", body = String)))]
pub(crate) async fn progress(
    State(api): Shared,
    Segment(name): Segment,
    params: Params,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    params.only(&[])?;
    let (operations, projection) = (api.operations.clone(), known(&api, &name)?);
    let place = Arc::clone(&api.watchers).try_acquire_owned().map_err(|_| Problem::too_many_watchers())?;
    let watch = Watch {
        operations,
        projection,
        until: Instant::now() + api.progress,
        job: None,
        lag: None,
        told: None,
        last: None,
        _place: place,
    };
    let events = futures::stream::unfold(watch, |watch| async {
        let (event, watch) = watch.next().await?;
        Some((Ok(event), watch))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// Somebody who looks on.
struct Watch {
    operations: Operations,
    projection: Projection,
    until: Instant,
    /// The job's number, once it has been seen.
    job: Option<u64>,
    /// How far the projection is behind, and when that was counted.
    lag: Option<(Instant, Lag)>,
    /// What was told last.
    told: Option<String>,
    /// What is told when all has been told.
    last: Option<Last>,
    /// Released when the answer ends.
    _place: OwnedSemaphorePermit,
}

enum Last {
    /// The event to end with.
    Event(Event),
    /// It has been sent.
    Sent,
}

impl Watch {
    /// The next thing to tell; nothing at the end.
    async fn next(mut self) -> Option<(Event, Self)> {
        match self.last.take() {
            Some(Last::Event(event)) => return Some((event, self.ended())),
            Some(Last::Sent) => return None,
            None => {}
        }
        loop {
            if self.told.is_some() {
                if Instant::now() >= self.until {
                    return None;
                }
                tokio::time::sleep(LOOK).await;
            }
            let view = match self.look().await {
                Ok(view) => view,
                Err(error) => return Some((event("problem", &Problem::from(error)), self.ended())),
            };
            let done = || event("done", &view.status.report);
            match view.status.job.as_ref().map(|job| job.number) {
                None => self.last = Some(Last::Event(done())),
                // The one that was watched has ended between two looks, and another has begun.
                Some(number) if number != *self.job.get_or_insert(number) => return Some((done(), self.ended())),
                Some(_) => {}
            }
            let told = serde_json::to_string(&view).unwrap_or_default();
            if self.last.is_some() || self.told.as_ref() != Some(&told) {
                self.told = Some(told.clone());
                return Some((Event::default().event("progress").data(told), self));
            }
        }
    }

    async fn look(&mut self) -> Result<View, OperateError> {
        let status = self.operations.status(&self.projection).await?;
        let counted = self.lag.filter(|(at, _)| at.elapsed() < LAG_KEEPS && status.job.is_some());
        let (at, lag) = match counted {
            Some(counted) => counted,
            None => (Instant::now(), self.operations.lag(&self.projection).await?),
        };
        self.lag = Some((at, lag));
        Ok(View { status, lag: Some(lag) })
    }

    fn ended(self) -> Self {
        Self { last: Some(Last::Sent), ..self }
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}
