//! Deleting messages, and changing their visibility.

use serde::{Deserialize, Serialize};

use super::batch::{self, BatchAnswer};
use super::required;
use crate::error::ApiError;
use crate::server::SharedServer;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteRequest {
    queue_url: Option<String>,
    receipt_handle: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct VisibilityRequest {
    queue_url: Option<String>,
    receipt_handle: Option<String>,
    visibility_timeout: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchRequest {
    queue_url: Option<String>,
    #[serde(default)]
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(default)]
    id: String,
    #[serde(default)]
    receipt_handle: String,
    /// Only for changes of visibility.
    visibility_timeout: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchSuccess {
    id: String,
}

fn success(id: &str, (): ()) -> BatchSuccess {
    BatchSuccess { id: id.to_owned() }
}

/// The result of a batch of one.
fn only(results: Vec<Result<(), ApiError>>) -> Result<(), ApiError> {
    results.into_iter().collect()
}

pub(crate) fn delete(server: &SharedServer, request: DeleteRequest) -> Result<(), ApiError> {
    let url = required("QueueUrl", &request.queue_url)?;
    let handle = required("ReceiptHandle", &request.receipt_handle)?;
    only(server.store().delete(url, &[handle])?)
}

pub(crate) fn delete_batch(
    server: &SharedServer,
    request: BatchRequest,
) -> Result<BatchAnswer<BatchSuccess>, ApiError> {
    let url = required("QueueUrl", &request.queue_url)?;
    server.store().queue(url)?;
    let ids: Vec<&str> = request.entries.iter().map(|entry| entry.id.as_str()).collect();
    batch::check_ids(&ids)?;
    let handles: Vec<&str> =
        request.entries.iter().map(|entry| entry.receipt_handle.as_str()).collect();
    Ok(batch::answer(&ids, server.store().delete(url, &handles)?, success))
}

pub(crate) fn change_visibility(
    server: &SharedServer,
    request: VisibilityRequest,
) -> Result<(), ApiError> {
    let url = required("QueueUrl", &request.queue_url)?;
    let handle = required("ReceiptHandle", &request.receipt_handle)?;
    let seconds =
        request.visibility_timeout.ok_or_else(|| ApiError::missing("VisibilityTimeout"))?;
    only(server.store().change_visibility(url, &[(handle, seconds)])?)
}

pub(crate) fn change_visibility_batch(
    server: &SharedServer,
    request: BatchRequest,
) -> Result<BatchAnswer<BatchSuccess>, ApiError> {
    let url = required("QueueUrl", &request.queue_url)?;
    server.store().queue(url)?;
    let ids: Vec<&str> = request.entries.iter().map(|entry| entry.id.as_str()).collect();
    batch::check_ids(&ids)?;
    let change = |entry: &'_ Entry| {
        entry.visibility_timeout.ok_or_else(|| ApiError::missing("VisibilityTimeout"))
    };
    let seconds = request.entries.iter().map(change).collect::<Result<Vec<i64>, _>>()?;
    let handles = request.entries.iter().map(|entry| entry.receipt_handle.as_str());
    let changes: Vec<(&str, i64)> = handles.zip(seconds).collect();
    Ok(batch::answer(&ids, server.store().change_visibility(url, &changes)?, success))
}
