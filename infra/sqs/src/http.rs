//! The protocol: one POST per operation, which a header names, with JSON bodies.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, ErrorKind};
use crate::ops;
use crate::server::{SharedServer, log_failure};
use crate::token::random_uuid;

/// Enough for a batch of 1 MiB with each byte escaped as `\u00XX`.
const REQUEST_LIMIT_BYTES: usize = 8 * 1_024 * 1_024;
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.0");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");

pub(crate) fn router(server: Arc<SharedServer>) -> Router {
    Router::new().fallback(handle).with_state(server)
}

async fn handle(State(server): State<Arc<SharedServer>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let operation = match operation(&parts.method, &parts.headers) {
        Ok(operation) => operation,
        Err(error) => return refuse("unknown", &error),
    };
    let Ok(body) = to_bytes(body, REQUEST_LIMIT_BYTES).await else {
        let message =
            format!("The request is larger than {REQUEST_LIMIT_BYTES} bytes, or incomplete.");
        return refuse(&operation, &ApiError::new(ErrorKind::RequestTooLarge, message));
    };
    match dispatch(&server, &operation, &body).await {
        Ok(json) => answer(StatusCode::OK, json),
        Err(error) => refuse(&operation, &error),
    }
}

/// The operation that the headers name.
fn operation(method: &Method, headers: &HeaderMap) -> Result<String, ApiError> {
    let unknown = |message: &str| ApiError::new(ErrorKind::UnknownOperation, message);
    if method != Method::POST {
        return Err(unknown("Only POST is supported."));
    }
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    let Some(target) = target else {
        return Err(unknown(
            "The header X-Amz-Target is missing; only the awsJson1_0 protocol is supported.",
        ));
    };
    match target.strip_prefix("AmazonSQS.") {
        Some(operation) => Ok(operation.to_owned()),
        None => Err(unknown("The header X-Amz-Target does not name an operation of AmazonSQS.")),
    }
}

async fn dispatch(server: &SharedServer, operation: &str, body: &[u8]) -> Result<Bytes, ApiError> {
    match operation {
        "CreateQueue" => to_json(ops::queues::create(server, from_json(body)?)?),
        "DeleteQueue" => to_json(ops::queues::delete(server, from_json(body)?)?),
        "ListQueues" => to_json(ops::queues::list(server, from_json(body)?)?),
        "GetQueueUrl" => to_json(ops::queues::url(server, from_json(body)?)?),
        "GetQueueAttributes" => to_json(ops::queues::attributes(server, from_json(body)?)?),
        "SetQueueAttributes" => to_json(ops::queues::set_attributes(server, from_json(body)?)?),
        "PurgeQueue" => to_json(ops::queues::purge(server, from_json(body)?)?),
        "ListDeadLetterSourceQueues" => {
            to_json(ops::queues::dead_letter_sources(server, from_json(body)?)?)
        }
        "TagQueue" => to_json(ops::tags::tag(server, from_json(body)?)?),
        "UntagQueue" => to_json(ops::tags::untag(server, from_json(body)?)?),
        "ListQueueTags" => to_json(ops::tags::list(server, from_json(body)?)?),
        "SendMessage" => to_json(ops::send::one(server, from_json(body)?)?),
        "SendMessageBatch" => to_json(ops::send::batch(server, from_json(body)?)?),
        "ReceiveMessage" => to_json(ops::receive::receive(server, from_json(body)?).await?),
        "DeleteMessage" => to_json(ops::settle::delete(server, from_json(body)?)?),
        "DeleteMessageBatch" => to_json(ops::settle::delete_batch(server, from_json(body)?)?),
        "ChangeMessageVisibility" => {
            to_json(ops::settle::change_visibility(server, from_json(body)?)?)
        }
        "ChangeMessageVisibilityBatch" => {
            to_json(ops::settle::change_visibility_batch(server, from_json(body)?)?)
        }
        "StartMessageMoveTask" => to_json(ops::moves::start(server, from_json(body)?)?),
        "ListMessageMoveTasks" => to_json(ops::moves::list(server, from_json(body)?)?),
        "CancelMessageMoveTask" => to_json(ops::moves::cancel(server, from_json(body)?)?),
        "AddPermission" | "RemovePermission" => Err(ApiError::new(
            ErrorKind::UnsupportedOperation,
            "There are no permissions on this server.",
        )),
        _ => Err(ApiError::new(
            ErrorKind::UnknownOperation,
            format!("The operation {operation} does not exist."),
        )),
    }
}

fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::new(ErrorKind::Serialization, error.to_string()))
}

/// `null` is the answer of operations without one. AWS then sends no body.
fn to_json<T: Serialize>(answer: T) -> Result<Bytes, ApiError> {
    let json = serde_json::to_vec(&answer)
        .map_err(|error| ApiError::new(ErrorKind::Internal, error.to_string()))?;
    Ok(if json == b"null" { Bytes::new() } else { Bytes::from(json) })
}

fn answer(status: StatusCode, json: Bytes) -> Response {
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    if let Ok(id) = HeaderValue::try_from(random_uuid()) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

fn refuse(operation: &str, error: &ApiError) -> Response {
    log_failure(operation, error);
    let (shape, code) = error.kind.names();
    let (status, fault) = if error.kind == ErrorKind::Internal {
        (StatusCode::INTERNAL_SERVER_ERROR, "Receiver")
    } else if error.kind == ErrorKind::RequestTooLarge {
        (StatusCode::PAYLOAD_TOO_LARGE, "Sender")
    } else {
        (StatusCode::BAD_REQUEST, "Sender")
    };
    let json = serde_json::json!({ "__type": shape, "message": error.message });
    let mut response = answer(status, Bytes::from(json.to_string()));
    if let Ok(value) = HeaderValue::try_from(format!("{code};{fault}")) {
        response.headers_mut().insert(QUERY_ERROR, value);
    }
    response
}
