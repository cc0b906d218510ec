//! What all commands share: from request to store to answer.

use super::extract::Sender;
use super::schema::{AcrossAnswer, CommandAnswer, RecordedEvent, TakenCommand};
use super::{Api, async_status};
use crate::app::canonical_json::CanonicalJson;
use crate::app::command_id::fingerprint;
use crate::app::{Command, CommandValue, is_from_the_future};
use crate::problem::Problem;
use crate::telemetry;
use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use eventstore::{
    AppendAllError, CommandMetadata, CommandRequest, CommandResult, Commit, ExecuteAllError, Id, MultiStreamRequest,
    StreamId, time_text,
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// Handles the command and tells what was recorded; or takes it, to be answered later, where its sender prefers that.
///
/// `sent` is the request's body: what tells the command from another one under the same key.
pub(crate) async fn send(
    api: &Api,
    sender: Sender,
    stream: StreamId,
    command: Command,
    sent: &CanonicalJson,
) -> Result<Answer, Problem> {
    let (metadata, creates) = (metadata(&sender, command.name(), sent), command.creates());
    let request = CommandRequest { stream, metadata, expected_version: sender.expected_version, creates };
    telemetry::annotate(&request.stream, request.expected_version, &request.metadata);
    match api.command_queue.as_ref().filter(|_| sender.prefers_async) {
        Some(queue) => {
            async_status::is_addressable(&request.metadata.command_id)?;
            queue.send(request.clone(), command, !sender.has_key).await?;
            Ok(Answer::Taken(request))
        }
        None => match api.commands.handle(request.clone(), &command).await {
            Ok(handled) => Ok(Answer::Handled(request, Box::new(handled))),
            Err(error) if is_from_the_future(&error) && !sender.has_key => Err(Problem::clock_set_back()),
            Err(error) => Err(error.into()),
        },
    }
}

fn metadata(sender: &Sender, command: &str, sent: &CanonicalJson) -> CommandMetadata {
    CommandMetadata {
        command_id: sender.key.clone(),
        fingerprint: fingerprint(command, &sender.actor, sent),
        correlation_id: sender.correlation_id.clone(),
        causation_id: None,
        actor: sender.actor.clone(),
        trace_parent: sender.trace_parent.clone(),
    }
}

/// Handles a command over several streams, and tells what was recorded.
pub(crate) async fn send_across(
    api: &Api,
    sender: Sender,
    name: &str,
    streams: Vec<StreamId>,
    command: CommandValue,
    sent: &CanonicalJson,
) -> Result<Response, Problem> {
    if sender.expected_version.is_some() {
        return Err(Problem::invalid("If-Match", "must not be sent: the command addresses several streams"));
    }
    let metadata = metadata(&sender, name, sent);
    let request = MultiStreamRequest::new(streams, metadata.clone());
    let handled = match api.commands.handle_across(name, request, command).await {
        Err(ExecuteAllError::Append(AppendAllError::ClockSkew(_))) if !sender.has_key => {
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
        streams: handled.commits.iter().map(|(stream, commit)| CommandAnswer::recorded(stream, commit)).collect(),
    };
    Ok((headers, Json(body)).into_response())
}

/// What the sender of a command is told.
pub(crate) enum Answer {
    /// It was handled: 200, or 201 and an address.
    Handled(CommandRequest, Box<CommandResult>),
    /// It was taken, and is answered later: 202.
    Taken(CommandRequest),
}

impl Answer {
    /// 201 with the address of what the command created, where it was handled.
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

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Handled(request, handled) => handled_response(&request, &handled),
            Self::Taken(request) => taken_response(&request),
        }
    }
}

fn handled_response(request: &CommandRequest, handled: &CommandResult) -> Response {
    // A replay tells what was recorded, whatever the retry said of correlation and trace.
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

fn taken_response(request: &CommandRequest) -> Response {
    let CommandRequest { stream, metadata, .. } = request;
    let mut headers = ids(metadata);
    insert(&mut headers, header::LOCATION, &async_status::location(&metadata.command_id));
    insert(&mut headers, PREFERENCE_APPLIED, "respond-async");
    let body = TakenCommand {
        stream: stream.to_string(),
        command_id: metadata.command_id.to_string(),
        correlation_id: metadata.correlation_id.to_string(),
    };
    (StatusCode::ACCEPTED, headers, Json(body)).into_response()
}

/// The headers that say which command is spoken of, and which process it belongs to.
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
    /// What a commit says.
    pub(crate) fn recorded(stream: &StreamId, commit: &Commit) -> Self {
        let events = commit.events.iter().map(|event| RecordedEvent {
            version: event.version,
            event_type: event.body.event_type.clone(),
            recorded_at: time_text(commit.recorded_at),
            data: event.body.data.clone(),
        });
        let (events, metadata) = (events.collect(), &commit.metadata);
        let version = commit.last_version();
        Self { events, ..Self::nothing_to_do(stream, version, &metadata.command_id, &metadata.correlation_id) }
    }

    /// What there is to say where nothing was to be done.
    pub(crate) fn nothing_to_do(stream: &StreamId, version: u64, command_id: &Id, correlation_id: &Id) -> Self {
        Self {
            stream: stream.to_string(),
            version,
            command_id: command_id.to_string(),
            correlation_id: correlation_id.to_string(),
            events: Vec::new(),
        }
    }
}

/// Ids are visible ASCII, so that each is a header value.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
