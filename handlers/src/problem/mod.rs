//! Errors as RFC 9457 problem documents.

mod across;
mod audit;
mod requests;

use crate::access::{Scope, Unauthorized};
use crate::app::{CommandRefusal, identity};
use crate::operations::OperateError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use eventstore::{ExecuteError, ReadError, StoreError};
use projections::rebuild::{RebuildError, StatusError};
use projections::{FreshError, ProjectError, TableError};
use serde::Serialize;
use serde_json::{Map, Value, json};
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
    fn conflict(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "not-now",
            "The state of the projection does not allow this",
            detail,
        )
    }

    /// A queue could not be read.
    fn queue_unavailable(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Self {
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
    fn notify_failed(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Self {
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

    fn refused(CommandRefusal { code, reason }: CommandRefusal) -> Self {
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
    fn step_contention(detail: String) -> Self {
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

impl From<StoreError> for Problem {
    fn from(fault: StoreError) -> Self {
        match &fault {
            StoreError::Throttled(_) => Self::throttled(),
            StoreError::Unavailable(_) => Self::unavailable(&fault),
            StoreError::NoTable { .. } | StoreError::Rejected(_) => Self::internal(&fault),
        }
    }
}

impl From<TableError> for Problem {
    fn from(error: TableError) -> Self {
        match &error {
            TableError::Throttled(_) => Self::throttled(),
            TableError::Failed { .. } => Self::unavailable(&error),
            TableError::Unreadable(_) => Self::internal(&error),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Corrupt(damaged) => Self::internal(&damaged),
            ReadError::Store(fault) => fault.into(),
        }
    }
}

impl From<FreshError> for Problem {
    fn from(error: FreshError) -> Self {
        match error {
            FreshError::Beyond { head, .. } => Self::version_mismatch(error.to_string(), head),
            FreshError::Project(error) => error.into(),
        }
    }
}

impl From<ProjectError> for Problem {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::Read(error) => error.into(),
            ProjectError::Table(error) => error.into(),
            ProjectError::OutOfTime { .. } => Self::unavailable(&error),
            ProjectError::Fold { .. }
            | ProjectError::Missing { .. }
            | ProjectError::Diverged { .. } => Self::internal(&error),
            ProjectError::OtherShape(_) | ProjectError::Contention => Self::internal(&error),
        }
    }
}

impl From<OperateError> for Problem {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::Rebuild(error) => error.into(),
            OperateError::Status(StatusError::Table(error)) | OperateError::Table(error) => {
                error.into()
            }
            OperateError::Status(StatusError::Events(fault)) => fault.into(),
            OperateError::Project(error) => error.into(),
            OperateError::DeadLettersInFlight => Self::conflict(error.to_string()),
            OperateError::Queue(error) => Self::queue_unavailable(&error),
            OperateError::Events(error) => error.into(),
        }
    }
}

impl From<RebuildError> for Problem {
    fn from(error: RebuildError) -> Self {
        match error {
            RebuildError::Read(error) => error.into(),
            RebuildError::Table(error) => error.into(),
            RebuildError::Project { source, .. } => source.into(),
            RebuildError::Queue(_) => Self::notify_failed(&error),
            RebuildError::Busy { .. } | RebuildError::Kept { .. } | RebuildError::NothingRuns => {
                Self::conflict(error.to_string())
            }
            RebuildError::NoOther
            | RebuildError::NotComplete { .. }
            | RebuildError::NotBuilt { .. } => Self::conflict(error.to_string()),
            RebuildError::NothingToRollBackTo
            | RebuildError::Active { .. }
            | RebuildError::NoGeneration { .. } => Self::conflict(error.to_string()),
            RebuildError::NoReadModel { .. }
            | RebuildError::NewPositions { .. }
            | RebuildError::OtherShape(_) => Self::conflict(error.to_string()),
            RebuildError::Contention => Self::step_contention(error.to_string()),
        }
    }
}

impl<R: Into<CommandRefusal>> From<ExecuteError<R>> for Problem {
    fn from(error: ExecuteError<R>) -> Self {
        match error {
            ExecuteError::Refused(refusal) => Self::refused(refusal.into()),
            ExecuteError::CommandIdReused(id) => {
                Self::reused(format!("{id} was used for another command on this stream"))
            }
            ExecuteError::VersionMismatch { expected, actual } => Self::version_mismatch(
                format!("the stream is at version {actual}, not at {expected}"),
                actual,
            ),
            ExecuteError::ClockSkew(future) => Self::invalid(
                "Idempotency-Key",
                format!(
                    "the time of a UUIDv7 must not be more than {} s in the future",
                    future.allowed_ms / 1000
                ),
            ),
            ExecuteError::Contention { attempts } => Self::contention(attempts),
            ExecuteError::TooLarge(too_large) => Self::too_large(too_large.to_string()),
            ExecuteError::StreamFull => {
                Self::too_large("the stream is full: it has the most events that a stream can have")
            }
            ExecuteError::Corrupt(damaged) => Self::internal(&damaged),
            ExecuteError::Unreadable(unreadable) => Self::internal(&unreadable),
            ExecuteError::Codec(codec) => Self::internal(&codec),
            ExecuteError::Store(fault) => fault.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
