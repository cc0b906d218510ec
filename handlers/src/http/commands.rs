//! What all commands share: from request to store to answer.

use super::extract::Sender;
use super::problem::Problem;
use super::schema::{CommandAnswer, RecordedEvent};
use crate::{sending, telemetry};
use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use eventstore::{CommandHandler, Envelope, Handled, Id, Request, StreamId, time_text};
use serde::Serialize;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// A command to a stream.
pub(crate) struct Addressed<C> {
    pub(crate) stream: StreamId,
    pub(crate) command: C,
    /// Whether it can only start its stream.
    pub(crate) creates: bool,
}

/// Handles the command and tells what was recorded.
pub(crate) async fn handle<C, S, E, R>(
    handler: &CommandHandler<S, E, R>,
    sender: Sender,
    addressed: Addressed<C>,
    decide: fn(&S, &C) -> Result<Vec<E>, R>,
) -> Result<Answer, Problem>
where
    C: Serialize + Send + Sync + 'static,
    S: Clone + 'static,
    E: 'static,
    R: std::fmt::Display + 'static,
{
    let Addressed { stream, command, creates } = addressed;
    let envelope = envelope(&sender, &command)?;
    let request = Request { stream, envelope, expected_version: sender.expected_version, creates };
    telemetry::about(&request.stream, request.expected_version, &request.envelope);
    let handled = handler.handle(request.clone(), move |state| decide(state, &command)).await;
    let handled = handled.inspect_err(sending::count_failed)?;
    sending::log(&request, &handled);
    telemetry::about(&request.stream, Some(handled.version), &request.envelope);
    Ok(Answer { request, handled })
}

fn envelope<C: Serialize>(sender: &Sender, command: &C) -> Result<Envelope, Problem> {
    let fingerprint = sending::fingerprint(&sender.actor, command);
    Ok(Envelope {
        command_id: sender.key.clone(),
        fingerprint: fingerprint.map_err(|error| Problem::invalid("", error.to_string()))?,
        correlation_id: sender.correlation_id.clone(),
        causation_id: None,
        actor: sender.actor.clone(),
        trace_parent: sender.trace_parent.clone(),
    })
}

/// A handled command, to be answered with 200, or with 201 and an address.
pub(crate) struct Answer {
    request: Request,
    handled: Handled,
}

impl Answer {
    /// 201 with the address of what the command created.
    pub(crate) fn created(self, location: &str) -> Response {
        let mut response = self.into_response();
        *response.status_mut() = StatusCode::CREATED;
        insert(response.headers_mut(), header::LOCATION, location);
        response
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let Self { request, handled } = self;
        // A replay tells what was recorded, whatever the retry said of correlation and trace.
        let envelope = handled.commit.as_ref().map_or(&request.envelope, |commit| &commit.envelope);
        let mut headers = HeaderMap::new();
        insert(&mut headers, header::ETAG, &format!("\"{}\"", handled.version));
        insert(&mut headers, IDEMPOTENCY_KEY, request.envelope.command_id.as_str());
        insert(&mut headers, CORRELATION_ID, envelope.correlation_id.as_str());
        if let Some(trace_parent) = &envelope.trace_parent {
            insert(&mut headers, TRACE_PARENT, trace_parent.as_str());
        }
        if handled.replayed {
            insert(&mut headers, IDEMPOTENCY_REPLAYED, "true");
        }
        let events = handled.commit.iter().flat_map(|commit| {
            commit.events.iter().map(|event| RecordedEvent {
                version: event.version,
                event_type: event.body.event_type.clone(),
                recorded_at: time_text(commit.recorded_at),
                data: event.body.data.clone(),
            })
        });
        let body = CommandAnswer {
            stream: request.stream.to_string(),
            version: handled.version,
            command_id: text(&envelope.command_id),
            correlation_id: text(&envelope.correlation_id),
            events: events.collect(),
        };
        (headers, Json(body)).into_response()
    }
}

fn text(id: &Id) -> String {
    id.as_str().to_owned()
}

/// Ids are visible ASCII, so that each is a header value.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
