//! Metrics and log lines of commands.

use super::{Metric, add, count};
use eventstore::{CommandRequest, CommandResult, ExecuteAllError, ExecuteError};

/// Counts rejections and conflicts.
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

/// Counts a command that was handled, now or by an earlier try.
pub(crate) fn count_handled(replayed: bool) {
    count(Metric::Commands);
    if replayed {
        count(Metric::Replays);
    }
}

/// Counts a handled command, and logs its cost at level debug. The line of its request has the
/// rest.
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
