//! Checks the requests to an engine.
//!
//! The engines listen on loopback. Every program on the machine can reach it, and so can web pages
//! in a browser. A request is accepted only
//!
//! - with a `Host` that names loopback, which a page cannot send after DNS rebinding;
//! - without `Origin`, which browsers add, also to preflight requests, and SDKs do not;
//! - if it is signed with the access key of this start.

mod signature;

use super::access_key::AccessKey;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use handlers::http::server::{self, Limits};
use serde_json::json;
use signature::Verifier;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The largest body that DynamoDB takes; SQS takes less.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// Local SDKs send a body at once.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
/// SDKs read the error code of the older query protocol from this header.
const QUERY_ERROR: &str = "x-amzn-query-error";

/// Checks the requests to one engine.
struct RequestGuard {
    verifier: Verifier,
}

/// Why a request is refused, answered as AWS does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestRefusal {
    /// A browser sent it, or its preflight.
    #[error("requests of web pages are refused: this engine serves programs of this machine only")]
    WebPage,
    /// Its `Host` is not loopback.
    #[error("the Host header must name a loopback address")]
    OtherHost,
    /// It is unsigned, or signed by another algorithm.
    #[error(
        "the request {0}: sign it (Signature Version 4) with the access key that `ledgerfold dev` prints"
    )]
    NotSigned(&'static str),
    /// It is signed with another key.
    #[error(
        "the access key is not that of this start: export the line that `ledgerfold dev` printed last under \"operate\""
    )]
    UnknownKey,
    /// The secret is wrong, or the request was changed.
    #[error(
        "the signature does not match: the secret key is not the one that `ledgerfold dev` printed, or the request was changed"
    )]
    WrongSignature,
    /// Its body is too large or incomplete.
    #[error("the body has more than 16 MiB, or was not complete within 30 seconds")]
    Body,
}

impl RequestRefusal {
    fn code(self) -> &'static str {
        match self {
            Self::WebPage | Self::OtherHost => "AccessDeniedException",
            Self::NotSigned(_) => "MissingAuthenticationTokenException",
            Self::UnknownKey => "UnrecognizedClientException",
            Self::WrongSignature => "InvalidSignatureException",
            Self::Body => "RequestEntityTooLargeException",
        }
    }

    /// AWS answers 400 to a wrong signature. A browser gets 403.
    fn status(self) -> StatusCode {
        match self {
            Self::WebPage | Self::OtherHost => StatusCode::FORBIDDEN,
            Self::NotSigned(_) | Self::UnknownKey | Self::WrongSignature => StatusCode::BAD_REQUEST,
            Self::Body => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

impl IntoResponse for RequestRefusal {
    fn into_response(self) -> Response {
        let code = self.code();
        let body = json!({ "__type": format!("com.amazon.coral.service#{code}"), "message": self.to_string() });
        let mut response = (self.status(), body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if let Ok(value) = HeaderValue::try_from(format!("{code};Sender")) {
            headers.insert(QUERY_ERROR, value);
        }
        response
    }
}

/// Serves an engine until `stop`. A request that is only half sent does not delay the end.
pub(crate) async fn serve(
    listener: TcpListener,
    service: Router,
    key: &AccessKey,
    stop: CancellationToken,
) {
    let service = guarded(service, key);
    let no_room = server::overload_response(
        CONTENT_TYPE,
        r#"{"__type":"com.amazon.coral.service#ServiceUnavailableException","message":"too many connections are open"}"#,
    );
    server::serve(listener, service, Limits::default(), no_room, stop).await;
}

/// The service, for requests that are signed with the key.
fn guarded(service: Router, key: &AccessKey) -> Router {
    let guard = RequestGuard { verifier: Verifier::new(key.clone()) };
    service.layer(from_fn_with_state(Arc::new(guard), admit))
}

async fn admit(State(guard): State<Arc<RequestGuard>>, request: Request, next: Next) -> Response {
    match guard.check(request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => {
            tracing::warn!(code = refusal.code(), "request to a local engine refused: {refusal}");
            refusal.into_response()
        }
    }
}

impl RequestGuard {
    /// Returns an accepted request. The cheapest checks come first.
    async fn check(&self, request: Request) -> Result<Request, RequestRefusal> {
        let (parts, body) = request.into_parts();
        if parts.headers.contains_key(header::ORIGIN) {
            return Err(RequestRefusal::WebPage);
        }
        if !names_loopback(&parts.headers) {
            return Err(RequestRefusal::OtherHost);
        }
        let body = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await;
        let body: Bytes =
            body.map_err(|_| RequestRefusal::Body)?.map_err(|_| RequestRefusal::Body)?;
        self.verifier.verify(&parts, &body)?;
        Ok(Request::from_parts(parts, Body::from(body)))
    }
}

/// Whether there is exactly one `Host`, and it names loopback. Any port is accepted, because a
/// tunnel may have another.
fn names_loopback(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next())
    else {
        return false;
    };
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let name =
        host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name);
    matches!(name, "127.0.0.1" | "[::1]") || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests;
