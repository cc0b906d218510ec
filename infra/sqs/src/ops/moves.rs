//! Operations on move tasks.

use serde::{Deserialize, Serialize};

use super::required;
use crate::error::ApiError;
use crate::server::SharedServer;
use crate::store::{Move, NewMove};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StartRequest {
    source_arn: Option<String>,
    destination_arn: Option<String>,
    max_number_of_messages_per_second: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListRequest {
    source_arn: Option<String>,
    max_results: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CancelRequest {
    task_handle: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StartAnswer {
    task_handle: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CancelAnswer {
    approximate_number_of_messages_moved: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListAnswer {
    results: Vec<MoveTask>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MoveTask {
    #[serde(skip_serializing_if = "Option::is_none")]
    task_handle: Option<String>,
    status: String,
    source_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_number_of_messages_per_second: Option<i64>,
    approximate_number_of_messages_moved: u64,
    approximate_number_of_messages_to_move: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
    started_timestamp: u64,
}

impl From<Move> for MoveTask {
    /// Only a running task has its handle in answers, because a handle only cancels.
    fn from(task: Move) -> Self {
        Self {
            task_handle: (task.status == "RUNNING").then_some(task.handle),
            status: task.status,
            source_arn: task.source_arn,
            destination_arn: task.target_arn,
            max_number_of_messages_per_second: task.per_second,
            approximate_number_of_messages_moved: task.moved,
            approximate_number_of_messages_to_move: task.to_move,
            failure_reason: task.failure,
            started_timestamp: task.started_ms,
        }
    }
}

pub(crate) fn start(server: &SharedServer, request: StartRequest) -> Result<StartAnswer, ApiError> {
    let source_arn = required("SourceArn", &request.source_arn)?.to_owned();
    let new_move = NewMove {
        source_arn,
        target_arn: request.destination_arn,
        per_second: request.max_number_of_messages_per_second,
    };
    Ok(StartAnswer { task_handle: server.store().start_move(&new_move)? })
}

pub(crate) fn list(server: &SharedServer, request: ListRequest) -> Result<ListAnswer, ApiError> {
    let source_arn = required("SourceArn", &request.source_arn)?;
    let most = request.max_results.unwrap_or(1);
    if !(1..=10).contains(&most) {
        return Err(ApiError::parameter(format!(
            "Value {most} for parameter MaxResults is invalid. Reason: Must be between 1 and 10."
        )));
    }
    let moves = server.store().moves_of(source_arn, most)?;
    Ok(ListAnswer { results: moves.into_iter().map(MoveTask::from).collect() })
}

pub(crate) fn cancel(
    server: &SharedServer,
    request: CancelRequest,
) -> Result<CancelAnswer, ApiError> {
    let handle = required("TaskHandle", &request.task_handle)?;
    Ok(CancelAnswer { approximate_number_of_messages_moved: server.store().cancel_move(handle)? })
}
