//! The headers of a request: idempotency key, correlation, trace parent, expected version, and the
//! caller.

use super::Api;
use super::prefer::prefers;
use crate::access::caller::{Caller, Unauthorized};
use crate::app::command_id;
use crate::audit::Reader;
use crate::problem::Problem;
use crate::telemetry::TraceParent;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use eventstore::Id;
use std::sync::Arc;

/// The headers of a command, and its caller.
pub(crate) struct CommandHeaders {
    pub(crate) key: Id,
    /// Whether the client sent the key. Otherwise it was generated here.
    pub(crate) has_key: bool,
    pub(crate) actor: Id,
    pub(crate) correlation_id: Id,
    pub(crate) trace_parent: Option<Id>,
    pub(crate) expected_version: Option<u64>,
    /// Whether `Prefer: respond-async` was sent.
    pub(crate) prefers_async: bool,
}

impl FromRequestParts<Arc<Api>> for CommandHeaders {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let headers = &parts.headers;
        let given = id(headers, "Idempotency-Key")?;
        if given.as_ref().is_some_and(Id::is_of_system) {
            return Err(Problem::invalid(
                "Idempotency-Key",
                "must not begin with ~: such ids are the system's",
            ));
        }
        let has_key = given.is_some();
        // A command needs an id, even if the client did not send a key.
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

/// The caller of an audit query.
pub(crate) struct AuditReader(pub(crate) Reader);

impl<S: Send + Sync> FromRequestParts<S> for AuditReader {
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

/// The caller whom [`check`](super::access::check) put among the extensions.
fn actor(parts: &Parts) -> Result<Id, Problem> {
    let caller = parts
        .extensions
        .get::<Caller>()
        .ok_or_else(|| Problem::unauthorized(&Unauthorized::Missing))?;
    Ok(caller.actor.clone())
}

/// The id in a header.
pub(super) fn id(headers: &HeaderMap, name: &'static str) -> Result<Option<Id>, Problem> {
    let Some(value) = single(headers, name)? else { return Ok(None) };
    let text =
        value.to_str().map_err(|_| Problem::invalid(name, eventstore::InvalidId.to_string()))?;
    Id::new(text).map(Some).map_err(|rule| Problem::invalid(name, rule.to_string()))
}

fn single<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> Result<Option<&'a header::HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        Err(Problem::invalid(name, "must be sent at most once"))
    } else {
        Ok(first)
    }
}

/// The standard says to ignore a malformed one.
fn is_trace_parent(id: &Id) -> bool {
    TraceParent::parse(id.as_str()).is_some()
}

/// `If-Match: "3"`: the stream's expected version.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = single(headers, "If-Match")? else { return Ok(None) };
    let quoted = value.to_str().ok().and_then(|text| text.strip_prefix('"')?.strip_suffix('"'));
    let digits = quoted.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let version = digits.and_then(|text| text.parse().ok());
    version
        .map(Some)
        .ok_or_else(|| Problem::invalid("If-Match", "must be a version in quotes, such as \"3\""))
}
