//! The operations: each checks its request, calls the store and builds its answer.

pub(crate) mod batch;
pub(crate) mod moves;
pub(crate) mod queues;
pub(crate) mod receive;
pub(crate) mod send;
pub(crate) mod settle;
pub(crate) mod tags;

use serde::Deserialize;

use crate::error::ApiError;

/// A request that names only a queue.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct QueueRequest {
    queue_url: Option<String>,
}

/// The parameter, or the error that it is missing.
fn required<'a>(parameter: &str, value: &'a Option<String>) -> Result<&'a str, ApiError> {
    value.as_deref().filter(|text| !text.is_empty()).ok_or_else(|| ApiError::missing(parameter))
}
