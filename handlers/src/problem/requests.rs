//! The problems of requests that are refused at once: foreign pages, slow bodies, too many callers.

use super::{FieldError, Problem};
use axum::http::StatusCode;
use serde_json::json;

/// The most fields in one problem, and the most characters of each path.
const MAX_FIELDS: usize = 20;
const MAX_PATH_CHARS: usize = 64;

impl Problem {
    /// A page of another origin sent it.
    pub(crate) fn foreign_page() -> Self {
        tracing::warn!("a request of a web page of another origin was refused");
        let detail = "a web page of another origin sent this (Origin, Sec-Fetch-Site); only programs and pages of this very origin are served";
        Self::new(StatusCode::FORBIDDEN, "foreign-page", "Other web pages are not served", detail)
    }

    /// The host is a name that anyone can point to this machine.
    pub(crate) fn unknown_host() -> Self {
        tracing::warn!("a request whose Host is not loopback was refused");
        let detail = "without --auth the Host must be localhost, 127.0.0.1 or [::1]: call it by one of these, or start it with --auth";
        Self::new(StatusCode::MISDIRECTED_REQUEST, "unknown-host", "The host is not served here", detail)
    }

    /// A body that is compressed.
    pub(crate) fn encoded_body() -> Self {
        let detail = "the body must be sent as it is, without Content-Encoding";
        let problem =
            Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body is encoded", detail);
        Self { was_coded: true, ..problem }
    }

    /// Fields that break a rule.
    pub(crate) fn invalid_fields(faults: Vec<FieldError>) -> Self {
        let shown = |path: &str| path.chars().take(MAX_PATH_CHARS).collect::<String>();
        let told = faults.into_iter().take(MAX_FIELDS);
        let errors: Vec<_> = told.map(|fault| FieldError { field: shown(&fault.field), ..fault }).collect();
        let texts: Vec<_> = errors.iter().map(|FieldError { field, rule }| format!("{field}: {rule}")).collect();
        Self::invalid("", texts.join("; ")).with("errors", json!(errors))
    }

    /// An answer failed while it was assembled.
    pub(crate) fn broken_off(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Self {
        let detail = "the answer broke off while it was put together: ask again, or ask for less (limit, from, to)";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The answer broke off", detail).logged(error)
    }

    /// The body did not arrive in time.
    pub(crate) fn slow_body(limit_s: u64) -> Self {
        let detail = format!("the body did not come whole within {limit_s} seconds; send it again");
        Self::new(StatusCode::REQUEST_TIMEOUT, "slow-body", "The body came too slowly", detail)
    }

    /// Too many callers watch progress.
    pub(crate) fn too_many_watchers() -> Self {
        let detail = "as many watch progress as can; ask again later, or ask GET /projections/{name} now and then";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Too many watch progress", detail)
    }

    /// The caller's share of the command queue is used up.
    pub(crate) fn share_full(share: u64) -> Self {
        tracing::warn!(share, "a caller has its share of the command queue waiting, its commands are not taken");
        let detail = format!(
            "{share} of your commands wait already, which is one caller's share; send it again later with the same Idempotency-Key"
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, "throttled", "Too many of your commands wait", detail)
    }
}
