//! What all who send commands share.

use crate::telemetry::{Metric, add, count};
use eventstore::{ExecuteError, Fingerprint, Handled, Id, Request};
use serde::Serialize;

/// The fingerprint of a command. It covers who asks for what: the same id from another actor is another command, not a
/// retry.
///
/// # Errors
/// When the command cannot be written as JSON.
pub(crate) fn fingerprint<C: Serialize>(actor: &Id, command: &C) -> serde_json::Result<Fingerprint> {
    Ok(Fingerprint::of(&[actor.as_str().as_bytes(), &serde_json::to_vec(command)?]))
}

/// Counts what kept a command from being handled: refusals, and races lost.
pub(crate) fn count_failed<R>(error: &ExecuteError<R>) {
    match error {
        ExecuteError::Refused(_) => count(Metric::Refusals),
        ExecuteError::Contention { attempts } => add(Metric::Conflicts, f64::from(*attempts)),
        ExecuteError::CommandIdReused(_)
        | ExecuteError::VersionMismatch { .. }
        | ExecuteError::FromTheFuture(_)
        | ExecuteError::TooLarge(_)
        | ExecuteError::StreamFull
        | ExecuteError::Damaged(_)
        | ExecuteError::Unreadable(_)
        | ExecuteError::Codec(_)
        | ExecuteError::Fault(_) => {}
    }
}

/// Counts a handled command, and writes into the log what it came to and what it cost.
pub(crate) fn log(request: &Request, handled: &Handled) {
    count(Metric::Commands);
    if handled.replayed {
        count(Metric::Replays);
    }
    add(Metric::Conflicts, f64::from(handled.lost_races));
    tracing::info!(
        stream = %request.stream,
        command_id = %request.envelope.command_id,
        version = handled.version,
        replayed = handled.replayed,
        lost_races = handled.lost_races,
        requests = handled.usage.requests,
        write_units = handled.usage.write_units,
        read_units = handled.usage.read_units,
        "command handled"
    );
}
