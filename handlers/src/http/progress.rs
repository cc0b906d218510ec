//! A job's progress as server-sent events.

use super::Shared;
use super::extract::Segment;
use super::params::Params;
use super::problem::Problem;
use super::projections::known;
use super::schema::Failures;
use crate::operations::Operations;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use projections::Projection;
use serde::Serialize;
use std::convert::Infallible;
use std::time::{Duration, Instant};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(500);
/// How long one answer tells of progress; then the caller asks again, as browsers do by themselves.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// How far the projection's job has come, twice a second while that changes: events `progress` with what
/// `GET /projections/{name}` answers, and at the end of the job, or at once if there is none, `done` with its report. An event
/// `problem` tells why no more can be told.
#[utoipa::path(get, path = "/projections/{name}/progress", tag = "projections",
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 200, description = "Events, for an hour at most", content_type = "text/event-stream", body = String), Failures))]
pub(crate) async fn progress(
    State(api): Shared,
    Segment(name): Segment,
    params: Params,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    params.only(&[])?;
    let (operations, projection) = (api.operations.clone(), known(&name)?);
    let watch = Watch { operations, projection, until: Instant::now() + LONGEST, told: None, last: None };
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
    /// What was told last.
    told: Option<String>,
    /// What is told when all has been told.
    last: Option<Last>,
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
                tokio::time::sleep(LOOK).await;
            }
            if Instant::now() >= self.until {
                return None;
            }
            let view = match self.operations.view(&self.projection).await {
                Ok(view) => view,
                Err(error) => return Some((event("problem", &Problem::from(error)), self.ended())),
            };
            if view.status.job.is_none() {
                self.last = Some(Last::Event(event("done", &view.status.report)));
            }
            let told = serde_json::to_string(&view).unwrap_or_default();
            if self.last.is_some() || self.told.as_ref() != Some(&told) {
                self.told = Some(told.clone());
                return Some((Event::default().event("progress").data(told), self));
            }
        }
    }

    fn ended(self) -> Self {
        Self { last: Some(Last::Sent), ..self }
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}
