//! The layer around each request: its trace, its log line, and a response after a panic.

use crate::problem::Problem;
use crate::telemetry::{self, TraceParent, TracedWork, since_ms};
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use eventstore::Usage;
use std::time::SystemTime;

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// The route of an unknown path. The path itself is not logged, since a client typed it.
const NO_ROUTE: &str = "-";

/// Answers a request within its trace, or within a new one, which the response names.
pub(super) async fn trace(mut request: Request, next: Next) -> Response {
    let trace = sent_trace(request.headers()).unwrap_or_else(TraceParent::begin);
    let header = HeaderValue::from_str(trace.as_str()).ok();
    if let Some(header) = header.clone() {
        request.headers_mut().insert(TRACE_PARENT, header);
    }
    let route =
        request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str).to_owned();
    let (name, begun) = (format!("{} {route}", request.method()), SystemTime::now());
    let work = TracedWork { name: &name, kind: "http.server", trace: Some(trace), begun };
    let mut response = work.run(respond(request, next, &route, begun)).await;
    if let Some(header) = header {
        response.headers_mut().entry(TRACE_PARENT).or_insert(header);
    }
    response
}

/// The trace that the client sent. More than one is ignored.
fn sent_trace(headers: &HeaderMap) -> Option<TraceParent> {
    let mut values = headers.get_all(TRACE_PARENT).iter();
    let first = values.next()?;
    values.next().is_none().then(|| TraceParent::parse(first.to_str().ok()?)).flatten()
}

async fn respond(request: Request, next: Next, route: &str, begun: SystemTime) -> Response {
    let method = request.method().clone();
    let (answer, usage) = Usage::of(telemetry::caught(next.run(request))).await;
    let response =
        answer.unwrap_or_else(|panicked| Problem::panicked(panicked.error_id).into_response());
    tracing::info!(
        %method,
        route,
        status = response.status().as_u16(),
        duration_ms = since_ms(begun),
        requests = usage.requests,
        write_units = usage.write_units,
        read_units = usage.read_units,
        "request answered"
    );
    response
}
