//! What can fail between the store and DynamoDB.

use crate::metering::operation_event::OperationReport;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;
use std::sync::Arc;

/// The error of the SDK, shared by the commands of a group commit.
pub type ErrorSource = Arc<dyn Error + Send + Sync>;

/// A request to DynamoDB failed, after the retries of the SDK.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The table or account is over its limit: retry later.
    #[error("DynamoDB throttled the request")]
    Throttled(#[source] ErrorSource),
    /// No answer, or none about this request. A write may have been done; a retry is safe.
    #[error("DynamoDB gave no answer")]
    Unavailable(#[source] ErrorSource),
    /// The table does not exist in this account and region.
    #[error("table {table:?} does not exist")]
    NoTable {
        /// The table's name.
        table: String,
        /// DynamoDB's answer.
        #[source]
        source: ErrorSource,
    },
    /// DynamoDB rejects the request: permissions, keys, or a defect here.
    #[error("DynamoDB refused the request")]
    Rejected(#[source] ErrorSource),
}

/// Classifies an error of the SDK by what the caller can do about it.
pub(crate) fn classify<E>(error: SdkError<E>, table: &str) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let code = error.code().map(str::to_owned);
    // A proxy may answer for DynamoDB with a bare 502 or 503.
    let server_error =
        error.raw_response().is_some_and(|response| response.status().is_server_error());
    let no_answer = server_error
        || matches!(
            error,
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_)
        );
    let source: ErrorSource = Arc::new(error);
    match code.as_deref() {
        Some(
            "ProvisionedThroughputExceededException"
            | "ThrottlingException"
            | "RequestLimitExceeded"
            | "LimitExceededException",
        ) => StoreError::Throttled(source),
        Some("ResourceNotFoundException") => {
            StoreError::NoTable { table: table.to_owned(), source }
        }
        // The SDK retried while its first attempt was still running; that one may succeed.
        Some("TransactionInProgressException") => StoreError::Unavailable(source),
        _ if no_answer => StoreError::Unavailable(source),
        _ => StoreError::Rejected(source),
    }
}

impl From<&StoreError> for OperationReport {
    fn from(fault: &StoreError) -> Self {
        Self::outcome(match fault {
            StoreError::Throttled(_) => "throttled",
            StoreError::Unavailable(_) => "unavailable",
            StoreError::NoTable { .. } => "no_table",
            StoreError::Rejected(_) => "rejected",
        })
    }
}
