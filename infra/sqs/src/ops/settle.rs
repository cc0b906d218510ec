//! Messages deleted, hidden longer, or shown again.

use serde::{Deserialize, Serialize};

use super::batch::{self, BatchAnswer};
use super::required;
use crate::error::ApiError;
use crate::server::Engine;

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
    /// Only when the visibility is changed.
    visibility_timeout: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Done {
    id: String,
}

fn done(id: &str, (): ()) -> Done {
    Done { id: id.to_owned() }
}

/// The result of a batch of one.
fn only(results: Vec<Result<(), ApiError>>) -> Result<(), ApiError> {
    results.into_iter().collect()
}

pub(crate) fn delete(engine: &Engine, request: DeleteRequest) -> Result<(), ApiError> {
    let url = required("QueueUrl", &request.queue_url)?;
    let handle = required("ReceiptHandle", &request.receipt_handle)?;
    only(engine.store().delete(url, &[handle])?)
}

pub(crate) fn delete_batch(engine: &Engine, request: BatchRequest) -> Result<BatchAnswer<Done>, ApiError> {
    let url = required("QueueUrl", &request.queue_url)?;
    engine.store().queue(url)?;
    let ids: Vec<&str> = request.entries.iter().map(|entry| entry.id.as_str()).collect();
    batch::check_ids(&ids)?;
    let handles: Vec<&str> = request.entries.iter().map(|entry| entry.receipt_handle.as_str()).collect();
    Ok(batch::answer(&ids, engine.store().delete(url, &handles)?, done))
}

pub(crate) fn change_visibility(engine: &Engine, request: VisibilityRequest) -> Result<(), ApiError> {
    let url = required("QueueUrl", &request.queue_url)?;
    let handle = required("ReceiptHandle", &request.receipt_handle)?;
    let seconds = request.visibility_timeout.ok_or_else(|| ApiError::missing("VisibilityTimeout"))?;
    only(engine.store().change_visibility(url, &[(handle, seconds)])?)
}

pub(crate) fn change_visibility_batch(engine: &Engine, request: BatchRequest) -> Result<BatchAnswer<Done>, ApiError> {
    let url = required("QueueUrl", &request.queue_url)?;
    engine.store().queue(url)?;
    let ids: Vec<&str> = request.entries.iter().map(|entry| entry.id.as_str()).collect();
    batch::check_ids(&ids)?;
    let change = |entry: &'_ Entry| entry.visibility_timeout.ok_or_else(|| ApiError::missing("VisibilityTimeout"));
    let seconds = request.entries.iter().map(change).collect::<Result<Vec<i64>, _>>()?;
    let handles = request.entries.iter().map(|entry| entry.receipt_handle.as_str());
    let changes: Vec<(&str, i64)> = handles.zip(seconds).collect();
    Ok(batch::answer(&ids, engine.store().change_visibility(url, &changes)?, done))
}
