//! Commands over HTTP: from request to store to response.

use super::request_headers::CommandHeaders;
use super::schema::{AcceptedCommand, AcrossAnswer, CommandAnswer, RecordedEvent};
use super::{Api, async_status};
use crate::app::canonical_json::CanonicalJson;
use crate::app::command_id::fingerprint;
use crate::app::{Command, CommandValue, is_clock_skew};
use crate::problem::Problem;
use crate::telemetry;
use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use eventstore::{
    AppendAllError, CommandMetadata, CommandRequest, CommandResult, Commit, ExecuteAllError, Id,
    MultiStreamRequest, StreamId, time_text,
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// Handles a command and returns what was recorded. With `Prefer: respond-async`, puts it into the
/// command queue.
///
/// `sent` is the body, for the fingerprint.
pub(crate) async fn send(
    api: &Api,
    headers: CommandHeaders,
    stream: StreamId,
    command: Command,
    sent: &CanonicalJson,
) -> Result<CommandResponse, Problem> {
    let (metadata, creates) = (metadata(&headers, command.name(), sent), command.creates());
    let request =
        CommandRequest { stream, metadata, expected_version: headers.expected_version, creates };
    telemetry::annotate(&request.stream, request.expected_version, &request.metadata);
    match api.command_queue.as_ref().filter(|_| headers.prefers_async) {
        Some(queue) => {
            async_status::check_addressable(&request.metadata.command_id)?;
            queue.send(request.clone(), command, !headers.has_key).await?;
            Ok(CommandResponse::Accepted(request))
        }
        None => match api.commands.handle(request.clone(), &command).await {
            Ok(handled) => Ok(CommandResponse::Handled(request, Box::new(handled))),
            Err(error) if is_clock_skew(&error) && !headers.has_key => {
                Err(Problem::clock_set_back())
            }
            Err(error) => Err(error.into()),
        },
    }
}

fn metadata(headers: &CommandHeaders, command: &str, sent: &CanonicalJson) -> CommandMetadata {
    CommandMetadata {
        command_id: headers.key.clone(),
        fingerprint: fingerprint(command, &headers.actor, sent),
        correlation_id: headers.correlation_id.clone(),
        causation_id: None,
        actor: headers.actor.clone(),
        trace_parent: headers.trace_parent.clone(),
    }
}

/// Handles a command over several streams and returns what was recorded.
pub(crate) async fn handle_across_streams(
    api: &Api,
    headers: CommandHeaders,
    name: &str,
    streams: Vec<StreamId>,
    command: CommandValue,
    sent: &CanonicalJson,
) -> Result<Response, Problem> {
    if headers.expected_version.is_some() {
        return Err(Problem::invalid(
            "If-Match",
            "must not be sent: the command addresses several streams",
        ));
    }
    let metadata = metadata(&headers, name, sent);
    let request = MultiStreamRequest::new(streams, metadata.clone());
    let handled = match api.commands.handle_across(name, request, command).await {
        Err(ExecuteAllError::Append(AppendAllError::ClockSkew(_))) if !headers.has_key => {
            return Err(Problem::clock_set_back());
        }
        handled => handled?,
    };
    let recorded = handled.commits.first().map_or(&metadata, |(_, commit)| &commit.metadata);
    let mut headers = ids(recorded);
    if handled.replayed {
        insert(&mut headers, IDEMPOTENCY_REPLAYED, "true");
    }
    let body = AcrossAnswer {
        command_id: recorded.command_id.to_string(),
        correlation_id: recorded.correlation_id.to_string(),
        streams: handled
            .commits
            .iter()
            .map(|(stream, commit)| CommandAnswer::recorded(stream, commit))
            .collect(),
    };
    Ok((headers, Json(body)).into_response())
}

/// The response to a command.
pub(crate) enum CommandResponse {
    /// It was handled: 200, or 201 with an address.
    Handled(CommandRequest, Box<CommandResult>),
    /// It is in the command queue: 202.
    Accepted(CommandRequest),
}

impl CommandResponse {
    /// 201 with the address of what the command created, if it was handled.
    pub(crate) fn created(self, location: &str) -> Response {
        let is_handled = matches!(self, Self::Handled(..));
        let mut response = self.into_response();
        if is_handled {
            *response.status_mut() = StatusCode::CREATED;
            insert(response.headers_mut(), header::LOCATION, location);
        }
        response
    }
}

impl IntoResponse for CommandResponse {
    fn into_response(self) -> Response {
        match self {
            Self::Handled(request, handled) => handled_response(&request, &handled),
            Self::Accepted(request) => accepted_response(&request),
        }
    }
}

fn handled_response(request: &CommandRequest, handled: &CommandResult) -> Response {
    // A replay returns the recorded correlation and trace, even if the retry sent others.
    let metadata = handled.commit.as_ref().map_or(&request.metadata, |commit| &commit.metadata);
    let mut headers = ids(metadata);
    insert(&mut headers, header::ETAG, &format!("\"{}\"", handled.version));
    if handled.replayed {
        insert(&mut headers, IDEMPOTENCY_REPLAYED, "true");
    }
    let body = match &handled.commit {
        Some(commit) => CommandAnswer::recorded(&request.stream, commit),
        None => CommandAnswer::nothing_to_do(
            &request.stream,
            handled.version,
            &metadata.command_id,
            &metadata.correlation_id,
        ),
    };
    (headers, Json(body)).into_response()
}

fn accepted_response(request: &CommandRequest) -> Response {
    let CommandRequest { stream, metadata, .. } = request;
    let mut headers = ids(metadata);
    insert(&mut headers, header::LOCATION, &async_status::location(&metadata.command_id));
    insert(&mut headers, PREFERENCE_APPLIED, "respond-async");
    let body = AcceptedCommand {
        stream: stream.to_string(),
        command_id: metadata.command_id.to_string(),
        correlation_id: metadata.correlation_id.to_string(),
    };
    (StatusCode::ACCEPTED, headers, Json(body)).into_response()
}

/// The headers with the ids of command, correlation and trace.
fn ids(metadata: &CommandMetadata) -> HeaderMap {
    let mut headers = HeaderMap::new();
    insert(&mut headers, IDEMPOTENCY_KEY, metadata.command_id.as_str());
    insert(&mut headers, CORRELATION_ID, metadata.correlation_id.as_str());
    if let Some(trace_parent) = &metadata.trace_parent {
        insert(&mut headers, TRACE_PARENT, trace_parent.as_str());
    }
    headers
}

impl CommandAnswer {
    /// The body for a commit.
    pub(crate) fn recorded(stream: &StreamId, commit: &Commit) -> Self {
        let events = commit.events.iter().map(|event| RecordedEvent {
            version: event.version,
            event_type: event.body.event_type.clone(),
            recorded_at: time_text(commit.recorded_at),
            data: event.body.data.clone(),
        });
        let (events, metadata) = (events.collect(), &commit.metadata);
        let version = commit.last_version();
        Self {
            events,
            ..Self::nothing_to_do(stream, version, &metadata.command_id, &metadata.correlation_id)
        }
    }

    /// The body for a no-op command.
    pub(crate) fn nothing_to_do(
        stream: &StreamId,
        version: u64,
        command_id: &Id,
        correlation_id: &Id,
    ) -> Self {
        Self {
            stream: stream.to_string(),
            version,
            command_id: command_id.to_string(),
            correlation_id: correlation_id.to_string(),
            events: Vec::new(),
        }
    }
}

/// Ids are visible ASCII, so each can be a header's value.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
