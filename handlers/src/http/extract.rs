//! What commands take from a request: the body, and the headers that say who, why and once. Readers of the audit trail say who
//! as well.

use super::Api;
use super::field_errors;
use super::params::Params;
use super::prefer::prefers;
use crate::access::caller::Caller;
use crate::access::caller::Unauthorized;
use crate::app::canonical_json::{CanonicalJson, ExactJson};
use crate::app::command_id;
use crate::app::{Misread, read_data};
use crate::audit::Reader;
use crate::problem::Problem;
use crate::telemetry::TraceParent;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use eventstore::Id;
use futures::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// The most bytes of a request's body.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// How long a body may take: the largest comes in this time at 26 KB a second.
const BODY_COMES_WITHIN: Duration = Duration::from_secs(10);
/// What is read of a body that is too large before the connection is closed on it.
const MAX_DRAINED_BYTES: usize = 16 * 1024 * 1024;
/// A rule repeats at most this many characters of what a caller sent.
const SHOWN_CHARS: usize = 64;

/// A body that is read by a type alone.
pub(crate) trait Example {
    /// One with all its fields.
    fn example() -> Value;
}

/// The body of a command as it came: no body at all stands for `{}`; a command takes no parameters.
pub(super) async fn command_body(request: Request) -> Result<Vec<u8>, Problem> {
    let (mut parts, body) = request.into_parts();
    Params::from_request_parts(&mut parts, &()).await?.only(&[])?;
    is_plain(&parts.headers)?;
    let (is_json, has_type) = (is_json(&parts.headers), parts.headers.contains_key(header::CONTENT_TYPE));
    if has_type && !is_json {
        return Err(Problem::unsupported_media_type());
    }
    let bytes = read_to_end(body).await?;
    if !is_json && !bytes.is_empty() {
        return Err(Problem::unsupported_media_type());
    }
    Ok(if bytes.trim_ascii().is_empty() { b"{}".to_vec() } else { bytes })
}

/// The body of an operator's step, which takes no parameters: an empty body stands for `{}`. Its type must be said all the
/// same: without one, any web page could make a browser send the step.
pub(crate) struct StepBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Example> FromRequest<S> for StepBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        Params::from_request_parts(&mut parts, state).await?.only(&[])?;
        is_plain(&parts.headers)?;
        if !is_json(&parts.headers) {
            return Err(Problem::unsupported_media_type());
        }
        let bytes = read_to_end(body).await?;
        parse(or_empty_object(&bytes), &read_data::<T>, &T::example()).map(|(value, _)| Self(value))
    }
}

/// A body of blanks, or none, stands for an object without fields.
fn or_empty_object(bytes: &[u8]) -> &[u8] {
    if bytes.trim_ascii().is_empty() { b"{}" } else { bytes }
}

/// Refuses a body that is compressed: it would be told to be no JSON.
fn is_plain(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    if codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        Ok(())
    } else {
        Err(Problem::encoded_body())
    }
}

/// Reads a body, if it comes in time.
async fn read_to_end(body: axum::body::Body) -> Result<Vec<u8>, Problem> {
    let read = tokio::time::timeout(BODY_COMES_WITHIN, read(body)).await;
    read.unwrap_or_else(|_| Err(Problem::slow_body(BODY_COMES_WITHIN.as_secs())))
}

/// Reads a body. One that is too large is read on for a while and thrown away: many clients send all of it before they
/// look for an answer, and would find the connection closed instead.
async fn read(body: axum::body::Body) -> Result<Vec<u8>, Problem> {
    let (mut chunks, mut bytes, mut received) = (body.into_data_stream(), Vec::new(), 0_usize);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::invalid("", "the body could not be read to its end"))?;
        received = received.saturating_add(chunk.len());
        if received <= MAX_BODY_BYTES {
            bytes.extend_from_slice(&chunk);
        } else if received > MAX_DRAINED_BYTES {
            break;
        }
    }
    if received > MAX_BODY_BYTES {
        return Err(Problem::too_large(format!("a request's body has at most {MAX_BODY_BYTES} bytes")));
    }
    Ok(bytes)
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// Reads a value from bytes, and names the fields that it does not have.
pub(super) type Read<'a, T> = &'a dyn Fn(&[u8], &mut Vec<String>) -> Result<T, Misread>;

/// A body, checked by its type's own rules, and all that was sent in it.
pub(super) fn parse<T>(bytes: &[u8], read: Read<'_, T>, example: &Value) -> Result<(T, CanonicalJson), Problem> {
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::invalid("", "must be an object, not an array"));
    }
    // What could be read in two ways is told first. What is no JSON is told by the type, which knows what it expects.
    let exact = match whole::<ExactJson>(bytes) {
        Err((path, error)) if error.is_data() => return Err(broken_rule(&path, &error)),
        exact => exact,
    };
    let mut unknown = Vec::new();
    let value = read(bytes, &mut unknown).map_err(|(path, error)| broken_rule(&path, &error));
    // What the type passes over is to be JSON as well.
    let body = match exact {
        Ok(ExactJson(body)) => body,
        Err((_, error)) => return Err(value.err().unwrap_or_else(|| broken_rule("", &error))),
    };
    let array = array_for_object(&body);
    if value.is_err() || array.is_some() || !unknown.is_empty() {
        let faults = field_errors::of(&body, example, &|body| attempt(body, read));
        if !faults.is_empty() {
            return Err(Problem::invalid_fields(faults));
        }
    }
    let value = value?;
    if let Some(path) = array {
        return Err(Problem::invalid(path, "must be an object, not an array"));
    }
    if let Some(path) = unknown.pop() {
        return Err(Problem::invalid(path, "is not known here"));
    }
    let sent = CanonicalJson::of(&body).map_err(|error| broken_rule("", &error))?;
    Ok((value, sent))
}

/// The rule that a body breaks, if any, and the fields that are not known.
fn attempt<T>(body: &Value, read: Read<'_, T>) -> (Option<String>, Vec<String>) {
    let mut unknown = Vec::new();
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let error = read(&bytes, &mut unknown).err();
    let rule = error.map(|(_, error)| {
        let message = error.to_string();
        in_words_of_json(message.rsplit_once(" at line ").map_or(&*message, |(rule, _)| rule))
    });
    (rule, unknown)
}

#[cfg(test)]
pub(super) fn tried<T: DeserializeOwned>(body: &Value) -> (Option<String>, Vec<String>) {
    attempt(body, &read_data::<T>)
}

/// A value that is all of the text; or where in the text an error is, and which.
fn whole<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Misread> {
    read_data(bytes, &mut Vec::new())
}

/// Where in a body an array stands for an object: serde takes the fields of a struct in their order too, but nobody is
/// told to send them so. The items of every array in a body are objects.
fn array_for_object(body: &Value) -> Option<String> {
    body.as_object()?.iter().find_map(|(name, field)| {
        let index = field.as_array()?.iter().position(Value::is_array)?;
        Some(format!("{name}[{index}]"))
    })
}

/// Tells field and rule. A missing field is reported by serde at what it is missing from.
fn broken_rule(path: &str, error: &serde_json::Error) -> Problem {
    let message = error.to_string();
    // What is no JSON is told by line and column; a path whose end could not be read (`?`) names no field.
    if !error.is_data() {
        let field: String = path.chars().take(SHOWN_CHARS).filter(|_| !path.contains('?')).collect();
        return Problem::invalid(field, format!("is no JSON: {message}"));
    }
    let rule = message.rsplit_once(" at line ").map_or(&*message, |(rule, _)| rule);
    let missing = rule.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    match missing {
        Some(name) if path.is_empty() => Problem::invalid(name, "is required"),
        Some(name) => Problem::invalid(format!("{path}.{name}"), "is required"),
        None => Problem::invalid(path.chars().take(SHOWN_CHARS).collect::<String>(), in_words_of_json(rule)),
    }
}

/// serde speaks of structs, maps and sequences, and repeats what was given however long it is.
fn in_words_of_json(rule: &str) -> String {
    let types = rule.strip_prefix("invalid type: ").and_then(|types| types.rsplit_once(", expected "));
    let Some((given, wanted)) = types else { return rule.to_owned() };
    let wanted = match wanted {
        "a sequence" => "an array",
        structure if structure.starts_with("struct ") => "an object",
        other => other,
    };
    let given = match given {
        "sequence" => "an array".to_owned(),
        "map" => "an object".to_owned(),
        other => other.chars().take(SHOWN_CHARS).collect(),
    };
    format!("must be {wanted}, not {given}")
}

/// The changing part of a path.
pub struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let segment = Path::<String>::from_request_parts(parts, state).await;
        segment.map(|Path(text)| Self(text)).map_err(|_| Problem::invalid("path", "must be UTF-8 once it is decoded"))
    }
}

/// Who sends a command, why, and under which key.
pub(crate) struct Sender {
    pub(crate) key: Id,
    /// Whether the sender gave the key, and it was not made here.
    pub(crate) has_key: bool,
    pub(crate) actor: Id,
    pub(crate) correlation_id: Id,
    pub(crate) trace_parent: Option<Id>,
    pub(crate) expected_version: Option<u64>,
    /// Whether an answer later will do (`Prefer: respond-async`).
    pub(crate) prefers_async: bool,
}

impl FromRequestParts<Arc<Api>> for Sender {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let headers = &parts.headers;
        let given = id(headers, "Idempotency-Key")?;
        if given.as_ref().is_some_and(Id::is_of_system) {
            return Err(Problem::invalid("Idempotency-Key", "must not begin with ~, as the system's own ids do"));
        }
        let has_key = given.is_some();
        // Without a key the caller has no retry safety, but the command needs an id all the same.
        let key = given.unwrap_or_else(|| command_id::new_id(&api.store));
        Ok(Self {
            has_key,
            actor: actor(parts)?,
            correlation_id: id(headers, "X-Correlation-Id")?.unwrap_or_else(|| key.clone()),
            trace_parent: id(headers, "traceparent").ok().flatten().filter(is_trace_parent),
            expected_version: if_match(headers)?,
            prefers_async: prefers(headers, "respond-async"),
            key,
        })
    }
}

/// Who reads the audit trail.
pub(crate) struct By(pub(crate) Reader);

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let headers = &parts.headers;
        Ok(Self(Reader {
            actor: actor(parts)?,
            correlation_id: id(headers, "X-Correlation-Id")?,
            trace_parent: id(headers, "traceparent").ok().flatten().filter(is_trace_parent),
        }))
    }
}

/// The caller, who was let through.
fn actor(parts: &Parts) -> Result<Id, Problem> {
    let caller = parts.extensions.get::<Caller>().ok_or_else(|| Problem::unauthorized(&Unauthorized::Missing))?;
    Ok(caller.actor.clone())
}

/// The id in a header.
pub(super) fn id(headers: &HeaderMap, name: &'static str) -> Result<Option<Id>, Problem> {
    let Some(value) = single(headers, name)? else { return Ok(None) };
    let text = value.to_str().map_err(|_| Problem::invalid(name, eventstore::InvalidId.to_string()))?;
    Id::new(text).map(Some).map_err(|rule| Problem::invalid(name, rule.to_string()))
}

fn single<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a header::HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(Problem::invalid(name, "must be given once at most")) } else { Ok(first) }
}

/// One that is malformed is to be ignored, says the standard.
fn is_trace_parent(id: &Id) -> bool {
    TraceParent::parse(id.as_str()).is_some()
}

/// `If-Match: "3"`: the version at which the caller knows the stream.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = single(headers, "If-Match")? else { return Ok(None) };
    let quoted = value.to_str().ok().and_then(|text| text.strip_prefix('"')?.strip_suffix('"'));
    let digits = quoted.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let version = digits.and_then(|text| text.parse().ok());
    version.map(Some).ok_or_else(|| Problem::invalid("If-Match", "must be a version in quotes, such as \"3\""))
}
