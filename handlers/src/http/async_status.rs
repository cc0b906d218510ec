//! Commands that are answered later: where their answers stand, and what stands there.

use super::extract::{Segment, Sender};
use super::params::Params;
use super::schema::{CommandAnswer, CommandStatus};
use super::{Api, Shared};
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

/// When to ask again for a command that waits, in seconds.
const ASK_AGAIN_S: u64 = 1;

/// A command is said to be done, and its stream does not have it there.
#[derive(Debug, thiserror::Error)]
#[error("command {command_id} is said to be done, and {stream} does not have it at version {version}")]
struct Gone {
    command_id: Id,
    stream: StreamId,
    version: u64,
}

/// What became of a command that was sent with `Prefer: respond-async`, for a month after its answer. Only its sender is told.
#[utoipa::path(get, path = "/commands/{command_id}", tag = "commands",
    params(("command_id" = String, Path, pattern = "^[!-~]{1,128}$", description = "The command's id: its Idempotency-Key")),
    responses((status = 200, description = "It is known; while it waits, Retry-After says when to ask again", body = CommandStatus)))]
pub(crate) async fn status(
    State(api): Shared,
    Segment(command_id): Segment,
    params: Params,
    sender: Sender,
) -> Result<Response, Problem> {
    params.only(&[])?;
    let command_id = Id::new(command_id).map_err(|rule| Problem::invalid("command_id", rule.to_string()))?;
    let unknown = || {
        Problem::not_found(format!(
            "{command_id} is none of your commands that are answered later, or it is too long ago"
        ))
    };
    let queue = api.command_queue.as_ref().ok_or_else(unknown)?;
    let row = queue.status(&sender.actor, &command_id).await?.ok_or_else(unknown)?;
    let commit = commit(&api, &row, sender.actor, &command_id).await?;
    let told = |status| CommandStatus { command_id: command_id.to_string(), status, result: None, problem: None };
    let body = match (commit, row.answer) {
        (Some(commit), _) => {
            CommandStatus { result: Some(CommandAnswer::recorded(&row.stream, &commit)), ..told("done") }
        }
        (None, CommandProgress::Pending) => {
            return Ok(([(header::RETRY_AFTER, ASK_AGAIN_S)], Json(told("pending"))).into_response());
        }
        (None, CommandProgress::Done { version, .. }) => {
            let result = CommandAnswer::nothing_to_do(&row.stream, version, &command_id, &row.correlation_id);
            CommandStatus { result: Some(result), ..told("done") }
        }
        (None, CommandProgress::Refused { problem }) => {
            CommandStatus { problem: Some(document(problem)?), ..told("refused") }
        }
        (None, CommandProgress::Failed { problem }) => {
            CommandStatus { problem: Some(document(problem)?), ..told("failed") }
        }
    };
    Ok(Json(body).into_response())
}

/// The commit of a command that is answered, if it has one. Its row may not know of one that another send recorded, or a put whose
/// answer was lost: so the store is asked before anything else is told.
async fn commit(api: &Api, row: &StatusRow, actor: Id, command_id: &Id) -> Result<Option<Commit>, Problem> {
    match row.answer {
        CommandProgress::Pending => Ok(None),
        CommandProgress::Done { version, recorded: true } => {
            recorded(&api.operations.store, &row.stream, version, command_id).await.map(Some)
        }
        CommandProgress::Done { recorded: false, .. } | CommandProgress::Refused { .. } => {
            Ok(api.commands.recorded(row.request(actor, command_id.clone())).await?)
        }
        CommandProgress::Failed { .. } => match api.commands.recorded(row.request(actor, command_id.clone())).await {
            // Very likely that is why it failed, and asking again would not help.
            Err(error) if is_unreadable(&error) => Ok(None),
            found => Ok(found?),
        },
    }
}

/// The command's commit, which ends with that version. It is not kept in the row: an event may be as large as an item.
async fn recorded(store: &EventStore, stream: &StreamId, version: u64, command_id: &Id) -> Result<Commit, Problem> {
    let page = store.read(stream, version, Direction::Backwards, 1).await?;
    let is_its = |commit: &Commit| commit.last_version() == version && commit.metadata.command_id == *command_id;
    let gone = || Gone { command_id: command_id.clone(), stream: stream.clone(), version };
    page.commits.into_iter().find(is_its).ok_or_else(|| Problem::internal(&gone()))
}

fn document(text: String) -> Result<Box<RawValue>, Problem> {
    RawValue::from_string(text).map_err(|error| Problem::internal(&error))
}

/// Where a command's answer stands.
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

/// Whether a command's id can stand in an address: clients take `.` and `..` there for steps, even encoded, and the API gateway
/// decodes an address before it looks for its parts.
pub(crate) fn is_addressable(command_id: &Id) -> Result<(), Problem> {
    let id = command_id.as_str();
    if matches!(id, "." | "..") || id.contains(['/', '?', '#', '%']) {
        let rule = "must not be . or .., nor have one of / ? # %, where the answer is to come later";
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
            ("0190d6a8-5c1e-7cc0-b4d0-3f1f5a3c9a10", "/commands/0190d6a8-5c1e-7cc0-b4d0-3f1f5a3c9a10"),
            ("{\"a\":1}", "/commands/%7B%22a%22%3A1%7D"),
        ] {
            assert_eq!(location(&Id::new(id).unwrap()), expected);
        }
    }
}
