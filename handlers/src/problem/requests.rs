//! Problems of requests that are rejected early: foreign origins, slow bodies, too many clients.

use super::{FieldError, Problem};
use axum::http::StatusCode;
use serde_json::json;

/// The most fields in one problem, and the most characters of each path.
const MAX_FIELDS: usize = 20;
const MAX_PATH_CHARS: usize = 64;

impl Problem {
    /// A page of another origin sent the request.
    pub(crate) fn foreign_origin() -> Self {
        tracing::warn!("rejected a request of a web page of another origin");
        let detail = "a web page of another origin sent this (Origin, Sec-Fetch-Site); only programs and pages of this origin are served";
        Self::new(StatusCode::FORBIDDEN, "foreign-page", "Other web pages are not served", detail)
    }

    /// The host is a name that could point to this machine by DNS rebinding.
    pub(crate) fn unknown_host() -> Self {
        tracing::warn!("rejected a request whose Host is not loopback");
        let detail = "without --auth the Host must be localhost, 127.0.0.1 or [::1]: use one of these, or start with --auth";
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "unknown-host",
            "The host is not served here",
            detail,
        )
    }

    /// The body is encoded.
    pub(crate) fn encoded_body() -> Self {
        let detail = "the body must have no Content-Encoding";
        let problem = Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "The body is encoded",
            detail,
        );
        Self { was_encoded: true, ..problem }
    }

    /// Fields that break a rule.
    pub(crate) fn invalid_fields(errors: Vec<FieldError>) -> Self {
        let shown = |path: &str| path.chars().take(MAX_PATH_CHARS).collect::<String>();
        let errors = errors.into_iter().take(MAX_FIELDS);
        let errors: Vec<_> =
            errors.map(|error| FieldError { field: shown(&error.field), ..error }).collect();
        let texts: Vec<_> =
            errors.iter().map(|FieldError { field, rule }| format!("{field}: {rule}")).collect();
        Self::invalid("", texts.join("; ")).with("errors", json!(errors))
    }

    /// A response failed while it was assembled.
    pub(crate) fn incomplete_answer(
        error: &(dyn std::error::Error + Send + Sync + 'static),
    ) -> Self {
        let detail = "the response failed while it was assembled: try again, or request less (limit, from, to)";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The response is incomplete",
            detail,
        )
        .logged(error)
    }

    /// The body did not arrive in time.
    pub(crate) fn slow_body(limit_s: u64) -> Self {
        let detail = format!("the body was not complete within {limit_s} seconds; send it again");
        Self::new(StatusCode::REQUEST_TIMEOUT, "slow-body", "The body arrived too slowly", detail)
    }

    /// Too many clients watch progress.
    pub(crate) fn too_many_watchers() -> Self {
        let detail =
            "too many clients watch progress; try again later, or poll GET /projections/{name}";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Too many clients watch progress",
            detail,
        )
    }

    /// The caller's share of the command queue is used up.
    pub(crate) fn share_full(share: u64) -> Self {
        tracing::warn!(
            share,
            "rejected a command: its caller's share of the command queue is used up"
        );
        let detail = format!(
            "{share} of your commands wait already, the most for one caller; send it again later with the same Idempotency-Key"
        );
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "throttled",
            "Too many of your commands wait",
            detail,
        )
    }
}
