//! The HTTP protocol of DynamoDB and its streams for the embedded engine: one POST per operation,
//! with JSON bodies.
//!
//! The engine has its own server, but that one lets every web page read its answers, which cannot
//! be configured. This router checks no signatures either; the program that serves it controls
//! access.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use dynoxide::DynoxideError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

pub use dynoxide::Database;

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

const SERVICES: [&str; 2] = ["DynamoDB_20120810.", "DynamoDBStreams_20120810."];
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.0");
const REQUEST_ID: &str = "x-amzn-requestid";
const UNKNOWN_OPERATION: &str = r#"{"__type":"com.amazon.coral.service#UnknownOperationException","message":"X-Amz-Target names no operation that this engine supports"}"#;

/// The service, without a limit on a request's body.
pub fn router(database: Database) -> Router {
    Router::new().route("/", post(handle)).layer(DefaultBodyLimit::disable()).with_state(database)
}

async fn handle(State(database): State<Database>, headers: HeaderMap, body: Bytes) -> Response {
    let target =
        headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation =
        SERVICES.iter().find_map(|service| target.strip_prefix(service)).unwrap_or_default();
    match dispatch(&database, operation, &body) {
        Some(Ok(json)) => answer(StatusCode::OK, json),
        Some(Err(error)) => {
            let status = StatusCode::from_u16(error.status_code())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            tracing::debug!(operation, %error, "DynamoDB refused a request");
            answer(status, error.to_json().into_bytes())
        }
        None => answer(StatusCode::BAD_REQUEST, UNKNOWN_OPERATION.as_bytes().to_vec()),
    }
}

fn answer(status: StatusCode, json: Vec<u8>) -> Response {
    let mut response = (status, json).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    if let Ok(id) = HeaderValue::try_from(Uuid::now_v7().simple().to_string()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Returns none for operations that are not supported: PartiQL, tags and vectors.
fn dispatch(
    database: &Database,
    operation: &str,
    body: &[u8],
) -> Option<Result<Vec<u8>, DynoxideError>> {
    let answer = match operation {
        "CreateTable" => call(body, |request| database.create_table(request)),
        "DeleteTable" => call(body, |request| database.delete_table(request)),
        "DescribeTable" => call(body, |request| database.describe_table(request)),
        "ListTables" => call(body, |request| database.list_tables(request)),
        "UpdateTable" => call(body, |request| database.update_table(request)),
        "UpdateTimeToLive" => call(body, |request| database.update_time_to_live(request)),
        "DescribeTimeToLive" => call(body, |request| database.describe_time_to_live(request)),
        "PutItem" => call(body, |request| database.put_item(request)),
        "GetItem" => call(body, |request| database.get_item(request)),
        "DeleteItem" => call(body, |request| database.delete_item(request)),
        "UpdateItem" => call(body, |request| database.update_item(request)),
        "Query" => call(body, |request| database.query(request)),
        "Scan" => call(body, |request| database.scan(request)),
        "BatchGetItem" => call(body, |request| database.batch_get_item(request)),
        "BatchWriteItem" => call(body, |request| database.batch_write_item(request)),
        "TransactGetItems" => call(body, |request| database.transact_get_items(request)),
        "TransactWriteItems" => call(body, |request| database.transact_write_items(request)),
        "ListStreams" => call(body, |request| database.list_streams(request)),
        "DescribeStream" => call(body, |request| database.describe_stream(request)),
        "GetShardIterator" => call(body, |request| database.get_shard_iterator(request)),
        "GetRecords" => call(body, |request| database.get_records(request)),
        _ => return None,
    };
    Some(answer)
}

fn call<Q: DeserializeOwned, A: Serialize>(
    body: &[u8],
    operation: impl FnOnce(Q) -> dynoxide::Result<A>,
) -> Result<Vec<u8>, DynoxideError> {
    let answer = operation(serde_json::from_slice(body).map_err(|error| unreadable(&error))?)?;
    serde_json::to_vec(&answer)
        .map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

/// Classifies a deserialization error. The engine's types mark invalid values by the prefix
/// `VALIDATION`. Other errors in the JSON are serialization errors.
fn unreadable(error: &serde_json::Error) -> DynoxideError {
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(&*message, |(rule, _)| rule);
    let breaks_rule =
        ["missing field", "unknown variant", "invalid type: null", "Supplied AttributeValue"];
    match message.split_once(':') {
        Some((marker, rule)) if marker.starts_with("VALIDATION") => {
            DynoxideError::ValidationException(rule.trim_start().to_owned())
        }
        Some((marker, rule)) if marker.starts_with("SERIALIZATION") => {
            DynoxideError::SerializationException(rule.trim_start().to_owned())
        }
        _ if breaks_rule.iter().any(|part| message.contains(part)) => {
            DynoxideError::ValidationException(message.to_owned())
        }
        _ => DynoxideError::SerializationException(message.to_owned()),
    }
}
