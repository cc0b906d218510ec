//! What all who send commands share.

use eventstore::{Handled, Hash, Id, Request};
use serde::Serialize;

/// The fingerprint of a command. It covers who asks for what: the same id from another actor is another command, not a
/// retry.
///
/// # Errors
/// When the command cannot be written as JSON.
pub(crate) fn fingerprint<C: Serialize>(actor: &Id, command: &C) -> serde_json::Result<Hash> {
    Ok(Hash::of(&[actor.as_str().as_bytes(), &serde_json::to_vec(command)?]))
}

/// Writes into the log what a command came to, and what it cost.
pub(crate) fn log(request: &Request, handled: &Handled) {
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
