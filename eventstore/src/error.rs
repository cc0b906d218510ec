//! What can go wrong between the store and DynamoDB.

use crate::metering::operation_event::Report;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;
use std::sync::Arc;

/// The answer of DynamoDB, kept as the source of an error, and shared by the commands that waited for it together.
pub type Source = Arc<dyn Error + Send + Sync>;

/// DynamoDB did not do what it was asked, after the retries of the SDK.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// More was asked than the table or account may do: ask again later.
    #[error("DynamoDB throttled the request")]
    Throttled(#[source] Source),
    /// No answer, or one that says nothing about the request. A write may have been done; repeating it is safe.
    #[error("DynamoDB gave no answer")]
    Unavailable(#[source] Source),
    /// There is no such table in that account and region.
    #[error("table {table:?} does not exist")]
    NoTable {
        /// The table's name.
        table: String,
        /// DynamoDB's answer.
        #[source]
        source: Source,
    },
    /// DynamoDB refused the request for good: rights, keys, or a defect here.
    #[error("DynamoDB refused the request")]
    Rejected(#[source] Source),
}

/// Sorts an error of the SDK by what the caller can do about it.
pub(crate) fn classify<E>(error: SdkError<E>, table: &str) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let code = error.code().map(str::to_owned);
    // Something on the way may answer for DynamoDB with a bare 502 or 503.
    let server_error = error.raw_response().is_some_and(|response| response.status().is_server_error());
    let no_answer = server_error
        || matches!(error, SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_));
    let source: Source = Arc::new(error);
    match code.as_deref() {
        Some(
            "ProvisionedThroughputExceededException"
            | "ThrottlingException"
            | "RequestLimitExceeded"
            | "LimitExceededException",
        ) => StoreError::Throttled(source),
        Some("ResourceNotFoundException") => StoreError::NoTable { table: table.to_owned(), source },
        // The SDK's own retry came while its first try was still being done: that one may well succeed.
        Some("TransactionInProgressException") => StoreError::Unavailable(source),
        _ if no_answer => StoreError::Unavailable(source),
        _ => StoreError::Rejected(source),
    }
}

impl From<&StoreError> for Report {
    fn from(fault: &StoreError) -> Self {
        Self::outcome(match fault {
            StoreError::Throttled(_) => "throttled",
            StoreError::Unavailable(_) => "unavailable",
            StoreError::NoTable { .. } => "no_table",
            StoreError::Rejected(_) => "rejected",
        })
    }
}
