//! What commands take from a request: the body, and the headers that say who, why and once.

use super::problem::Problem;
use super::{Api, MAX_BODY_BYTES};
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use eventstore::Id;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use uuid::Uuid;

/// A JSON body, checked by the domain's own rules.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::unsupported_media_type());
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Problem::too_large(format!("a request's body has at most {MAX_BODY_BYTES} bytes"))
            } else {
                Problem::invalid("", "the body could not be read to its end")
            }
        })?;
        parse(&bytes).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        broken_rule(if path == "." { "" } else { &path }, error.inner())
    })?;
    json.end().map_err(|error| broken_rule("", &error))?;
    Ok(value)
}

/// Tells field and rule. A missing field is reported by serde at what it is missing from.
fn broken_rule(path: &str, error: &serde_json::Error) -> Problem {
    let message = error.to_string();
    let rule =
        if error.is_data() { message.rsplit_once(" at line ").map_or(&*message, |(rule, _)| rule) } else { &message };
    let missing = rule.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    match missing {
        Some(name) if path.is_empty() => Problem::invalid(name, "is required"),
        Some(name) => Problem::invalid(format!("{path}.{name}"), "is required"),
        None => Problem::invalid(path, rule),
    }
}

/// Who sends a command, why, and under which key.
pub(crate) struct Sender {
    pub(crate) key: Id,
    pub(crate) actor: Id,
    pub(crate) correlation_id: Id,
    pub(crate) trace_parent: Option<Id>,
    pub(crate) expected_version: Option<u64>,
}

impl FromRequestParts<Arc<Api>> for Sender {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let headers = &parts.headers;
        // Without a key the caller has no retry safety, but the command needs an id all the same.
        let key = id(headers, "Idempotency-Key")?.unwrap_or_else(|| Uuid::now_v7().into());
        Ok(Self {
            actor: id(headers, "X-Actor")?.unwrap_or_else(|| api.default_actor.clone()),
            correlation_id: id(headers, "X-Correlation-Id")?.unwrap_or_else(|| key.clone()),
            trace_parent: id(headers, "traceparent").ok().flatten().filter(is_trace_parent),
            expected_version: if_match(headers)?,
            key,
        })
    }
}

fn id(headers: &HeaderMap, name: &'static str) -> Result<Option<Id>, Problem> {
    let Some(value) = single(headers, name)? else { return Ok(None) };
    let text = value.to_str().map_err(|_| Problem::invalid(name, eventstore::InvalidId.to_string()))?;
    Id::new(text).map(Some).map_err(|rule| Problem::invalid(name, rule.to_string()))
}

fn single<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a header::HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(Problem::invalid(name, "must be given once at most")) } else { Ok(first) }
}

/// The W3C form `00-{trace id}-{parent id}-{flags}`; another one is to be ignored, says the standard.
fn is_trace_parent(id: &Id) -> bool {
    let parts: Vec<&str> = id.as_str().split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let hex = parts.iter().all(|part| part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
    lengths == [2, 32, 16, 2] && hex
}

/// `If-Match: "3"`: the version at which the caller knows the stream.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = single(headers, "If-Match")? else { return Ok(None) };
    let quoted = value.to_str().ok().and_then(|text| text.strip_prefix('"')?.strip_suffix('"'));
    let digits = quoted.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let version = digits.and_then(|text| text.parse().ok());
    version.map(Some).ok_or_else(|| Problem::invalid("If-Match", "must be a version in quotes, such as \"3\""))
}
