//! Errors as RFC 9457 problem documents.
//!
//! | module | what it has |
//! |---|---|
//! | `kinds` | a function for each kind of problem |
//! | `of_errors` | which error of a crate is which kind |
//! | `requests`, `across`, `audit` | problems of HTTP requests, of commands over several streams, of audit questions |

mod across;
mod audit;
mod kinds;
mod of_errors;
mod requests;

use crate::app::identity;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

/// The `Retry-After` of temporary problems, in seconds.
const RETRY_AFTER_S: u64 = 1;

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// The type of the problem: stable, for programs.
    #[serde(rename = "type")]
    #[schema(example = "https://ledgerfold.dev/problems/invalid-request")]
    pub(crate) kind: String,
    /// The type in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What went wrong in this case.
    pub(crate) detail: String,
    /// Further members for programs: `instance`, `errors`, `code` and `reason` of a refusal,
    /// `version`, `scope`, `error_id`.
    #[serde(flatten)]
    pub(crate) more: Map<String, Value>,
    /// The header `WWW-Authenticate`.
    #[serde(skip)]
    challenge: Option<String>,
    /// Whether the body was encoded. `Accept-Encoding` then says that no encoding is accepted.
    #[serde(skip)]
    was_encoded: bool,
}

/// A field of the request that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// The field's path in the body, or the name of a header or parameter.
    pub(crate) field: String,
    /// The rule that it breaks.
    pub(crate) rule: String,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        slug: &str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let (kind, status, detail) =
            (format!("{}{slug}", identity().problems), status.as_u16(), detail.into());
        // A URN names the occurrence, so that a caller can quote it.
        let instance = Uuid::now_v7().urn().to_string();
        Self { kind, title, status, detail, more: Map::new(), challenge: None, was_encoded: false }
            .with("instance", instance)
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn logged(self, error: &(dyn std::error::Error + Send + Sync + 'static)) -> Self {
        let error_id = error_id();
        let error: &dyn std::error::Error = error;
        tracing::error!(error_id, error, problem = self.kind, "a request failed");
        self.with("error_id", error_id)
    }

    fn retry_after(&self) -> Option<HeaderValue> {
        let is_temporary = self.status == StatusCode::SERVICE_UNAVAILABLE
            || self.status == StatusCode::TOO_MANY_REQUESTS;
        is_temporary.then(|| HeaderValue::from(RETRY_AFTER_S))
    }
}

/// The id under which an occurrence is logged and reported.
fn error_id() -> String {
    Uuid::now_v7().simple().to_string()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        if let Some(challenge) = self.challenge.and_then(|text| HeaderValue::from_str(&text).ok()) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if self.was_encoded {
            response
                .headers_mut()
                .insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use projections::rebuild::RebuildError;

    #[test]
    fn every_problem_has_an_instance() {
        let written = serde_json::to_value(Problem::not_found("nothing")).unwrap();
        let instance = written.get("instance").and_then(Value::as_str).unwrap_or_default();
        assert!(instance.starts_with("urn:uuid:"), "{written}");
    }

    #[test]
    fn a_step_that_met_conflicts_may_be_tried_again() {
        let response = Problem::from(RebuildError::Contention).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            response.headers().get(header::RETRY_AFTER),
            Some(&HeaderValue::from(RETRY_AFTER_S))
        );
        let problem = Problem::from(RebuildError::Contention);
        assert_eq!(problem.kind, "https://ledgerfold.dev/problems/contention");
    }
}
