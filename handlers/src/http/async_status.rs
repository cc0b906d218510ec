//! Asynchronous commands: their addresses and their results.

use super::extract::PathParameter;
use super::params::Params;
use super::request_headers::CommandHeaders;
use super::schema::{CommandAnswer, CommandStatus};
use super::{Api, ApiState};
use crate::app::is_unreadable;
use crate::command_queue::{CommandProgress, StatusRow};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use eventstore::{Commit, Direction, EventStore, Id, StreamId};
use serde_json::value::RawValue;
use std::fmt::Write;

/// When to request the status of a pending command again, in seconds.
const RETRY_AFTER_S: u64 = 1;

/// The status row names a commit that the stream does not have.
#[derive(Debug, thiserror::Error)]
#[error("command {command_id} is done, but {stream} has no commit of it at version {version}")]
struct MissingCommit {
    command_id: Id,
    stream: StreamId,
    version: u64,
}

/// The status of a command that was sent with `Prefer: respond-async`, for a month after it is
/// done. Only its sender can read it.
#[utoipa::path(get, path = "/commands/{command_id}", tag = "commands",
    params(("command_id" = String, Path, pattern = "^[!-~]{1,128}$", description = "The command's id: its Idempotency-Key")),
    responses((status = 200, description = "The status. While it is `pending`, Retry-After says when to request it again", body = CommandStatus)))]
pub(crate) async fn status(
    State(api): ApiState,
    PathParameter(command_id): PathParameter,
    params: Params,
    headers: CommandHeaders,
) -> Result<Response, Problem> {
    params.only(&[])?;
    let command_id =
        Id::new(command_id).map_err(|rule| Problem::invalid("command_id", rule.to_string()))?;
    let unknown = || {
        Problem::not_found(format!(
            "{command_id} is not one of your asynchronous commands, or it was done more than a month ago"
        ))
    };
    let queue = api.command_queue.as_ref().ok_or_else(unknown)?;
    let row = queue.status(&headers.actor, &command_id).await?.ok_or_else(unknown)?;
    let commit = commit(&api, &row, headers.actor, &command_id).await?;
    let with_status = |status| CommandStatus {
        command_id: command_id.to_string(),
        status,
        result: None,
        problem: None,
    };
    let body = match (commit, row.answer) {
        (Some(commit), _) => CommandStatus {
            result: Some(CommandAnswer::recorded(&row.stream, &commit)),
            ..with_status("done")
        },
        (None, CommandProgress::Pending) => {
            return Ok(([(header::RETRY_AFTER, RETRY_AFTER_S)], Json(with_status("pending")))
                .into_response());
        }
        (None, CommandProgress::Done { version, .. }) => {
            let result = CommandAnswer::nothing_to_do(
                &row.stream,
                version,
                &command_id,
                &row.correlation_id,
            );
            CommandStatus { result: Some(result), ..with_status("done") }
        }
        (None, CommandProgress::Refused { problem }) => {
            CommandStatus { problem: Some(document(problem)?), ..with_status("refused") }
        }
        (None, CommandProgress::Failed { problem }) => {
            CommandStatus { problem: Some(document(problem)?), ..with_status("failed") }
        }
    };
    Ok(Json(body).into_response())
}

/// The commit of a command, if there is one. The row may miss it: another try may have recorded it,
/// or the response of a put was lost. So the store is read first.
async fn commit(
    api: &Api,
    row: &StatusRow,
    actor: Id,
    command_id: &Id,
) -> Result<Option<Commit>, Problem> {
    match row.answer {
        CommandProgress::Pending => Ok(None),
        CommandProgress::Done { version, recorded: true } => {
            recorded(&api.operations.store, &row.stream, version, command_id).await.map(Some)
        }
        CommandProgress::Done { recorded: false, .. } | CommandProgress::Refused { .. } => {
            Ok(api.commands.recorded(row.request(actor, command_id.clone())).await?)
        }
        CommandProgress::Failed { .. } => {
            match api.commands.recorded(row.request(actor, command_id.clone())).await {
                // The command probably failed for the same reason, and a retry would not help.
                Err(error) if is_unreadable(&error) => Ok(None),
                found => Ok(found?),
            }
        }
    }
}

/// The command's commit, which ends at that version. The row does not store it, since an event can
/// be as large as an item.
async fn recorded(
    store: &EventStore,
    stream: &StreamId,
    version: u64,
    command_id: &Id,
) -> Result<Commit, Problem> {
    let page = store.read(stream, version, Direction::Backwards, 1).await?;
    let is_its = |commit: &Commit| {
        commit.last_version() == version && commit.metadata.command_id == *command_id
    };
    let gone = || MissingCommit { command_id: command_id.clone(), stream: stream.clone(), version };
    page.commits.into_iter().find(is_its).ok_or_else(|| Problem::internal(&gone()))
}

fn document(text: String) -> Result<Box<RawValue>, Problem> {
    RawValue::from_string(text).map_err(|error| Problem::internal(&error))
}

/// The path of a command's status.
pub(crate) fn location(command_id: &Id) -> String {
    let mut location = "/commands/".to_owned();
    for byte in command_id.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            location.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(location, "%{byte:02X}");
        }
    }
    location
}

/// Rejects command ids that cannot be in a path. Clients resolve `.` and `..` even if they are
/// encoded, and the API gateway decodes a path before it splits it.
pub(crate) fn check_addressable(command_id: &Id) -> Result<(), Problem> {
    let id = command_id.as_str();
    if matches!(id, "." | "..") || id.contains(['/', '?', '#', '%']) {
        let rule = "with respond-async it must not be . or .., nor contain / ? # or %";
        return Err(Problem::invalid("Idempotency-Key", rule));
    }
    Ok(())
}

#[cfg(test)]
mod specs {
    use super::*;

    #[test]
    fn any_id_is_one_segment_of_an_address() {
        for (id, expected) in [
            (
                "0190d6a8-5c1e-7cc0-b4d0-3f1f5a3c9a10",
                "/commands/0190d6a8-5c1e-7cc0-b4d0-3f1f5a3c9a10",
            ),
            ("{\"a\":1}", "/commands/%7B%22a%22%3A1%7D"),
        ] {
            assert_eq!(location(&Id::new(id).unwrap()), expected);
        }
    }
}
