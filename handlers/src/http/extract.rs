//! Parts of a request that handlers take: the body, and the path's parameter.

use super::field_errors;
use super::params::Params;
use crate::app::canonical_json::{CanonicalJson, ExactJson};
use crate::app::{JsonError, read_data};
use crate::problem::Problem;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// The largest body, in bytes.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// How long a body may take. The largest needs 26 KB a second.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a body that is too large is read before the connection is closed.
const MAX_DRAINED_BYTES: usize = 16 * 1024 * 1024;
/// How many characters of the client's text an error repeats at most.
const SHOWN_CHARS: usize = 64;

/// A body that serde reads, with an example.
pub(crate) trait BodyExample {
    /// An example with all fields.
    fn example() -> Value;
}

/// The body of a command, unparsed. No body stands for `{}`. A command takes no query parameters.
pub(super) async fn command_body(request: Request) -> Result<Vec<u8>, Problem> {
    let (mut parts, body) = request.into_parts();
    Params::from_request_parts(&mut parts, &()).await?.only(&[])?;
    is_plain(&parts.headers)?;
    let (is_json, has_type) =
        (is_json(&parts.headers), parts.headers.contains_key(header::CONTENT_TYPE));
    if has_type && !is_json {
        return Err(Problem::unsupported_media_type());
    }
    let bytes = read_to_end(body).await?;
    if !is_json && !bytes.is_empty() {
        return Err(Problem::unsupported_media_type());
    }
    Ok(if bytes.trim_ascii().is_empty() { b"{}".to_vec() } else { bytes })
}

/// The body of an operator's step, which takes no query parameters. An empty body stands for `{}`,
/// but its Content-Type is required: without it, a foreign web page could make a browser send the
/// step.
pub(crate) struct StepBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + BodyExample> FromRequest<S> for StepBody<T> {
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

/// No body, or one of whitespace, stands for an object without fields.
fn or_empty_object(bytes: &[u8]) -> &[u8] {
    if bytes.trim_ascii().is_empty() { b"{}" } else { bytes }
}

/// Rejects an encoded body. Otherwise the error would be that it is not JSON.
fn is_plain(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    if codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        Ok(())
    } else {
        Err(Problem::encoded_body())
    }
}

/// Reads a body within the time limit.
async fn read_to_end(body: axum::body::Body) -> Result<Vec<u8>, Problem> {
    let read = tokio::time::timeout(BODY_TIMEOUT, read(body)).await;
    read.unwrap_or_else(|_| Err(Problem::slow_body(BODY_TIMEOUT.as_secs())))
}

/// Reads a body. A body that is too large is read on and discarded, up to a limit: many clients
/// send all of it before they read a response.
async fn read(body: axum::body::Body) -> Result<Vec<u8>, Problem> {
    let (mut chunks, mut bytes, mut received) = (body.into_data_stream(), Vec::new(), 0_usize);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::invalid("", "the body ended early"))?;
        received = received.saturating_add(chunk.len());
        if received <= MAX_BODY_BYTES {
            bytes.extend_from_slice(&chunk);
        } else if received > MAX_DRAINED_BYTES {
            break;
        }
    }
    if received > MAX_BODY_BYTES {
        return Err(Problem::too_large(format!("a body has at most {MAX_BODY_BYTES} bytes")));
    }
    Ok(bytes)
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// Reads a value from bytes, and collects the names of unknown fields.
pub(super) type ReadBody<'a, T> = &'a dyn Fn(&[u8], &mut Vec<String>) -> Result<T, JsonError>;

/// Reads a body by its type's own rules. Returns the value, and all that was sent, in canonical
/// form.
pub(super) fn parse<T>(
    bytes: &[u8],
    read: ReadBody<'_, T>,
    example: &Value,
) -> Result<(T, CanonicalJson), Problem> {
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::invalid("", "must be an object, not an array"));
    }
    // Ambiguous JSON is reported first. Other errors come from the type, which knows what it
    // expects.
    let exact = match whole::<ExactJson>(bytes) {
        Err((path, error)) if error.is_data() => return Err(broken_rule(&path, &error)),
        exact => exact,
    };
    let mut unknown = Vec::new();
    let value = read(bytes, &mut unknown).map_err(|(path, error)| broken_rule(&path, &error));
    // The parts that the type ignores must be JSON, too.
    let body = match exact {
        Ok(ExactJson(body)) => body,
        Err((_, error)) => return Err(value.err().unwrap_or_else(|| broken_rule("", &error))),
    };
    let array = array_for_object(&body);
    if value.is_err() || array.is_some() || !unknown.is_empty() {
        let errors = field_errors::of(&body, example, &|body| check(body, read));
        if !errors.is_empty() {
            return Err(Problem::invalid_fields(errors));
        }
    }
    let value = value?;
    if let Some(path) = array {
        return Err(Problem::invalid(path, "must be an object, not an array"));
    }
    if let Some(path) = unknown.pop() {
        return Err(Problem::invalid(path, "is unknown"));
    }
    let sent = CanonicalJson::of(&body).map_err(|error| broken_rule("", &error))?;
    Ok((value, sent))
}

/// The rule that a body breaks, if any, and its unknown fields.
fn check<T>(body: &Value, read: ReadBody<'_, T>) -> (Option<String>, Vec<String>) {
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
pub(super) fn check_as<T: DeserializeOwned>(body: &Value) -> (Option<String>, Vec<String>) {
    check(body, &read_data::<T>)
}

/// A value that is all of the text.
fn whole<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    read_data(bytes, &mut Vec::new())
}

/// The path of an array in place of an object. Serde would read it as a struct's fields in order,
/// which the API does not promise. The items of every array in a body are objects.
fn array_for_object(body: &Value) -> Option<String> {
    body.as_object()?.iter().find_map(|(name, field)| {
        let index = field.as_array()?.iter().position(Value::is_array)?;
        Some(format!("{name}[{index}]"))
    })
}

/// The field and the rule. Serde reports a missing field at its parent.
fn broken_rule(path: &str, error: &serde_json::Error) -> Problem {
    let message = error.to_string();
    // A syntax error has line and column. A path with an unreadable end (`?`) names no field.
    if !error.is_data() {
        let field: String =
            path.chars().take(SHOWN_CHARS).filter(|_| !path.contains('?')).collect();
        return Problem::invalid(field, format!("is not JSON: {message}"));
    }
    let rule = message.rsplit_once(" at line ").map_or(&*message, |(rule, _)| rule);
    let missing = rule.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    match missing {
        Some(name) if path.is_empty() => Problem::invalid(name, "is required"),
        Some(name) => Problem::invalid(format!("{path}.{name}"), "is required"),
        None => Problem::invalid(
            path.chars().take(SHOWN_CHARS).collect::<String>(),
            in_words_of_json(rule),
        ),
    }
}

/// Puts serde's structs, maps and sequences into terms of JSON, and shortens what it quotes.
fn in_words_of_json(rule: &str) -> String {
    let types =
        rule.strip_prefix("invalid type: ").and_then(|types| types.rsplit_once(", expected "));
    let Some((given, expected)) = types else { return rule.to_owned() };
    let expected = match expected {
        "a sequence" => "an array",
        structure if structure.starts_with("struct ") => "an object",
        other => other,
    };
    let given = match given {
        "sequence" => "an array".to_owned(),
        "map" => "an object".to_owned(),
        other => other.chars().take(SHOWN_CHARS).collect(),
    };
    format!("must be {expected}, not {given}")
}

/// The parameter of a path.
pub struct PathParameter(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathParameter {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let segment = Path::<String>::from_request_parts(parts, state).await;
        segment
            .map(|Path(text)| Self(text))
            .map_err(|_| Problem::invalid("path", "must be UTF-8 after decoding"))
    }
}
