//! The kinds of problems: status, slug, title and detail.

use super::{FieldError, Problem, error_id};
use crate::access::{Scope, Unauthorized};
use crate::app::{CommandRefusal, identity};
use axum::http::StatusCode;
use serde_json::json;

impl Problem {
    /// A field, header or parameter breaks a rule.
    pub fn invalid(field: impl Into<String>, rule: impl Into<String>) -> Self {
        let (field, rule) = (field.into(), rule.into());
        let detail = if field.is_empty() { rule.clone() } else { format!("{field}: {rule}") };
        let errors = json!([FieldError { field, rule }]);
        Self::new(StatusCode::BAD_REQUEST, "invalid-request", "The request breaks a rule", detail)
            .with("errors", errors)
    }

    /// Two fields break a rule together.
    pub(crate) fn invalid_pair(fields: [&str; 2], rule: &str) -> Self {
        let errors =
            fields.map(|field| FieldError { field: field.to_owned(), rule: rule.to_owned() });
        Self::invalid(fields.join(", "), rule).with("errors", json!(errors))
    }

    /// The cursor belongs to another query.
    pub fn foreign_cursor() -> Self {
        Self::invalid("cursor", "must be the next_cursor of an earlier response to the same query")
    }

    /// The function ran out of time. A command may have been recorded.
    pub(crate) fn timed_out(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Self {
        let detail = "the time ran out, and a command may have been recorded: send it again with the same Idempotency-Key";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The request took too long",
            detail,
        )
        .logged(error)
    }

    pub(crate) fn answer_too_large(limit_bytes: usize) -> Self {
        let detail = format!(
            "the response is longer than {limit_bytes} bytes: request less (limit, from, to), or use the command line"
        );
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "answer-too-large",
            "The response is too long",
            detail,
        )
    }

    /// The process is not ready, for these reasons.
    pub(crate) fn not_ready(reasons: &[String]) -> Self {
        let title = "The service is not ready";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", title, reasons.join("; "))
    }

    /// The request has no valid token.
    pub(crate) fn unauthorized(reason: &Unauthorized) -> Self {
        let title = "The request has no valid token";
        let problem =
            Self::new(StatusCode::UNAUTHORIZED, "unauthorized", title, reason.to_string());
        Self { challenge: Some(reason.challenge()), ..problem }
    }

    /// The token lacks the scope.
    pub(crate) fn forbidden(missing: Scope) -> Self {
        let scope = missing.name();
        let detail = format!("the token does not grant the scope {scope}: {}", missing.purpose());
        let problem =
            Self::new(StatusCode::FORBIDDEN, "forbidden", "The token does not allow this", detail);
        let challenge = format!(
            r#"Bearer realm="{}", error="insufficient_scope", scope="{scope}""#,
            identity().name
        );
        Self { challenge: Some(challenge), ..problem.with("scope", scope) }
    }

    /// Something does not exist.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "It does not exist", detail)
    }

    pub(crate) fn method_not_allowed(path: &str) -> Self {
        let detail =
            format!("{path} does not have this method; the Allow header lists its methods");
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "The path does not have this method",
            detail,
        )
    }

    pub(crate) fn unsupported_media_type() -> Self {
        let detail = "the body must be JSON, and Content-Type must say application/json";
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "The body is not JSON",
            detail,
        )
    }

    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "commit-too-large",
            "The request is too large",
            detail,
        )
    }

    pub(crate) fn version_mismatch(detail: impl Into<String>, actual: u64) -> Self {
        let title = "The stream is at another version";
        Self::new(StatusCode::PRECONDITION_FAILED, "version-mismatch", title, detail)
            .with("version", actual)
    }

    /// An operator's step does not fit the state of the projection.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "not-now",
            "The state of the projection does not allow this",
            detail,
        )
    }

    /// A queue could not be read.
    pub(super) fn queue_unavailable(
        error: &(dyn std::error::Error + Send + Sync + 'static),
    ) -> Self {
        let detail = "a queue did not answer; try again";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "A queue is not available",
            detail,
        )
        .logged(error)
    }

    /// A step was recorded, but a queue did not accept its messages.
    pub(super) fn notify_failed(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Self {
        let detail = "a queue did not answer; the step is recorded, and POST …/resume sends its messages again";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "A queue is not available",
            detail,
        )
        .logged(error)
    }

    pub(crate) fn reused(detail: impl Into<String>) -> Self {
        let title = "The Idempotency-Key was used for another command";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", title, detail)
    }

    pub(super) fn refused(CommandRefusal { code, reason }: CommandRefusal) -> Self {
        let title = "The command is refused";
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", title, reason.clone());
        problem.with("code", code).with("reason", reason)
    }

    /// The store rejected an id that was generated here, because the clock was set back meanwhile.
    pub(crate) fn clock_set_back() -> Self {
        tracing::warn!("the clock was set back while a request was answered");
        let detail =
            "the server's clock was set back meanwhile, and nothing was written; send it again";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The store is not available",
            detail,
        )
    }

    pub(crate) fn contention(attempts: u32) -> Self {
        let error_id = error_id();
        tracing::warn!(error_id, attempts, "a command gave up after conflicts with other commands");
        let detail = "every attempt conflicted with another command on the stream; send it again with the same Idempotency-Key";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "contention", "The stream is busy", detail)
            .with("error_id", error_id)
    }

    /// Each attempt of a step conflicted with another step. Nothing has changed.
    pub(super) fn step_contention(detail: String) -> Self {
        let error_id = error_id();
        tracing::warn!(error_id, "an operator's step gave up after conflicts with other steps");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "contention", "The projection is busy", detail)
            .with("error_id", error_id)
    }

    pub(crate) fn throttled() -> Self {
        tracing::warn!("DynamoDB throttled a request");
        let detail =
            "the store's request limit is reached; send it again with the same Idempotency-Key";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "throttled", "Too many requests", detail)
    }

    /// The store failed: the error is logged under an id, and the caller gets only the id.
    pub(crate) fn unavailable(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Self {
        let detail = "the store did not answer; send it again with the same Idempotency-Key";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The store is not available",
            detail,
        )
        .logged(error)
    }

    /// An error that only operators can fix.
    pub(crate) fn internal(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Self {
        Self::for_operators().logged(error)
    }

    /// A panic, which has been reported.
    pub(crate) fn panicked(error_id: String) -> Self {
        Self::for_operators().with("error_id", error_id)
    }

    fn for_operators() -> Self {
        let detail = "an operator must fix this; report the error_id";
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal-error",
            "The request could not be answered",
            detail,
        )
    }
}
