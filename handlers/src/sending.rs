//! What all who send commands share.

use crate::canonical_json::CanonicalJson;
use crate::telemetry::{Metric, add, count};
use eventstore::{CommandRequest, CommandResult, EventStore, ExecuteAllError, ExecuteError, Fingerprint, Id};
use uuid::{NoContext, Timestamp, Uuid};

/// The fingerprint of a command: who asks for what. The same id from another actor is another command, not a retry.
///
/// It covers what the client sent, and no type of this program: a field that is left out is not the same as one that is sent
/// with its default, and a release that adds such a field knows the retries of commands that came before it.
pub(crate) fn fingerprint(name: &str, actor: &Id, sent: &CanonicalJson) -> Fingerprint {
    Fingerprint::of(&[b"ledgerfold/command/1", name.as_bytes(), actor.as_str().as_bytes(), sent.as_bytes()])
}

/// An id for a command that came without one. By the clock that the store checks ids with: it is never ahead of it, also when that
/// clock was set back.
pub(crate) fn new_id(store: &EventStore) -> Id {
    let now = store.now();
    let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, now.timestamp_subsec_nanos())).into()
}

/// Counts what kept a command from being handled: refusals, and races lost.
pub(crate) fn count_failed<R>(error: &ExecuteError<R>) {
    match error {
        ExecuteError::Refused(_) => count(Metric::Refusals),
        ExecuteError::Contention { attempts } => add(Metric::Conflicts, f64::from(*attempts)),
        ExecuteError::CommandIdReused(_)
        | ExecuteError::VersionMismatch { .. }
        | ExecuteError::ClockSkew(_)
        | ExecuteError::TooLarge(_)
        | ExecuteError::StreamFull
        | ExecuteError::Corrupt(_)
        | ExecuteError::Unreadable(_)
        | ExecuteError::Codec(_)
        | ExecuteError::Store(_) => {}
    }
}

/// The same for a command over several streams.
pub(crate) fn count_failed_across<R>(error: &ExecuteAllError<R>) {
    match error {
        ExecuteAllError::Refused(_) => count(Metric::Refusals),
        ExecuteAllError::Contention { attempts } => add(Metric::Conflicts, f64::from(*attempts)),
        ExecuteAllError::VersionMismatch { .. }
        | ExecuteAllError::Misshapen { .. }
        | ExecuteAllError::TwoTables { .. }
        | ExecuteAllError::Unreadable(_)
        | ExecuteAllError::Codec(_)
        | ExecuteAllError::Append(_) => {}
    }
}

/// Counts a command that was handled, now or before.
pub(crate) fn count_handled(replayed: bool) {
    count(Metric::Commands);
    if replayed {
        count(Metric::Replays);
    }
}

/// Counts a handled command. What it cost is told at level debug: what it came to is in the line of its request.
pub(crate) fn log(request: &CommandRequest, handled: &CommandResult) {
    count_handled(handled.replayed);
    add(Metric::Conflicts, f64::from(handled.lost_races));
    tracing::debug!(
        stream = %request.stream,
        command_id = %request.metadata.command_id,
        version = handled.version,
        replayed = handled.replayed,
        lost_races = handled.lost_races,
        requests = handled.usage.requests,
        write_units = handled.usage.write_units,
        read_units = handled.usage.read_units,
        "command handled"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical_json::ExactJson;

    fn of(name: &str, actor: &str, json: &str) -> String {
        let ExactJson(value) = serde_json::from_str(json).unwrap();
        fingerprint(name, &Id::new(actor).unwrap(), &CanonicalJson::of(&value).unwrap()).to_string()
    }

    /// They are stored with commits. A release that changes one refuses the retries of all commands before it.
    #[test]
    fn fingerprints_stay_what_they_are() {
        let order =
            r#"{"customer_id":"c","currency":"EUR","lines":[{"item":"book","quantity":1,"unit_price_minor":5}]}"#;
        for (name, actor, json, expected) in [
            ("ReceiveStock", "anna", r#"{"quantity":5}"#, "qJs2of-1Z6KOwwsxKAcPVA"),
            ("ReceiveStock", "anna", "{ \"quantity\" : 5 }", "qJs2of-1Z6KOwwsxKAcPVA"),
            ("ReceiveStock", "anna", r#"{"quantity":5,"note":null}"#, "KOp1Lw10xshYR2sVRpCBug"),
            ("ReceiveStock", "bert", r#"{"quantity":5}"#, "Wgwd_9oYHfmGxVIERqL-Ug"),
            ("ReserveStock", "anna", r#"{"quantity":5}"#, "jJPT1jTkz_8Yjf6NyGGEhA"),
            ("ConfirmOrder", "anna", "{}", "a-hktt0p2hmseBdweyeSEg"),
            ("PlaceOrder", "anna", order, "BuiCW9w6L4EimY4E_zZtDA"),
        ] {
            assert_eq!(of(name, actor, json), expected, "{name} by {actor}: {json}");
        }
    }
}
