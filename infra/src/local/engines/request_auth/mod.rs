//! The door of an engine: who may speak to it.
//!
//! The engines listen on loopback, where every program of the machine and every web page in its browser can reach them. So a
//! request passes only
//!
//! - with a `Host` that names loopback, which a page that rebinds a name cannot send;
//! - without an `Origin`, which no SDK sends and every page must; a preflight is a request with one;
//! - signed with the access key of this start.

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
/// SDKs of this machine send a body at once.
const BODY_COMES_WITHIN: Duration = Duration::from_secs(30);
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
/// What SDKs look at to tell an error of the JSON protocol that once was one of the query protocol.
const QUERY_ERROR: &str = "x-amzn-query-error";

/// Who checks the requests to one engine.
struct Doorkeeper {
    verifier: Verifier,
}

/// Why a request does not pass. Each is told as AWS tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// A web page sent it, or lets a browser ask whether it may.
    #[error("requests of web pages are refused: this engine serves programs of this machine only")]
    WebPage,
    /// It was sent to another name.
    #[error("the Host header must name a loopback address")]
    OtherHost,
    /// It is unsigned, or signed in another way.
    #[error("the request {0}: sign it (Signature Version 4) with the access key that `ledgerfold dev` prints")]
    NotSigned(&'static str),
    /// Another key signed it.
    #[error(
        "the access key is not that of this start: export the line that `ledgerfold dev` printed last under \"operate\""
    )]
    UnknownKey,
    /// The key's secret did not sign it, or it was changed since.
    #[error(
        "the signature does not match: the secret key is not the one that `ledgerfold dev` printed, or the request was changed"
    )]
    WrongSignature,
    /// Its body is too large, or ended early.
    #[error("the body has more than 16 MiB, or did not come whole within 30 seconds")]
    Body,
}

impl Refusal {
    fn code(self) -> &'static str {
        match self {
            Self::WebPage | Self::OtherHost => "AccessDeniedException",
            Self::NotSigned(_) => "MissingAuthenticationTokenException",
            Self::UnknownKey => "UnrecognizedClientException",
            Self::WrongSignature => "InvalidSignatureException",
            Self::Body => "RequestEntityTooLargeException",
        }
    }

    /// AWS answers 400 to a signature that it does not know; what a browser sent is plainly forbidden.
    fn status(self) -> StatusCode {
        match self {
            Self::WebPage | Self::OtherHost => StatusCode::FORBIDDEN,
            Self::NotSigned(_) | Self::UnknownKey | Self::WrongSignature => StatusCode::BAD_REQUEST,
            Self::Body => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }
}

impl IntoResponse for Refusal {
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

/// Answers for an engine until `stop`, at its door. A client that holds a request half sent does not keep it from ending.
pub(crate) async fn serve(listener: TcpListener, service: Router, key: &AccessKey, stop: CancellationToken) {
    let service = guarded(service, key);
    let no_room = server::no_room(
        CONTENT_TYPE,
        r#"{"__type":"com.amazon.coral.service#ServiceUnavailableException","message":"too many connections are open"}"#,
    );
    server::serve(listener, service, Limits::default(), no_room, stop).await;
}

/// The service of an engine behind its door: it answers requests that are signed with the key.
fn guarded(service: Router, key: &AccessKey) -> Router {
    let doorkeeper = Doorkeeper { verifier: Verifier::new(key.clone()) };
    service.layer(from_fn_with_state(Arc::new(doorkeeper), admit))
}

async fn admit(State(doorkeeper): State<Arc<Doorkeeper>>, request: Request, next: Next) -> Response {
    match doorkeeper.admit(request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => {
            tracing::warn!(code = refusal.code(), "a request to an engine of this machine was refused: {refusal}");
            refusal.into_response()
        }
    }
}

impl Doorkeeper {
    /// The request, if it may pass. What costs least is looked at first.
    async fn admit(&self, request: Request) -> Result<Request, Refusal> {
        let (parts, body) = request.into_parts();
        if parts.headers.contains_key(header::ORIGIN) {
            return Err(Refusal::WebPage);
        }
        if !names_loopback(&parts.headers) {
            return Err(Refusal::OtherHost);
        }
        let body = tokio::time::timeout(BODY_COMES_WITHIN, to_bytes(body, MAX_BODY_BYTES)).await;
        let body: Bytes = body.map_err(|_| Refusal::Body)?.map_err(|_| Refusal::Body)?;
        self.verifier.verify(&parts, &body)?;
        Ok(Request::from_parts(parts, Body::from(body)))
    }
}

/// Whether the one `Host` names loopback. The port does not matter: a page cannot choose it, and a tunnel may have another.
fn names_loopback(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else { return false };
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let name = host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name);
    matches!(name, "127.0.0.1" | "[::1]") || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests;
