//! The problems of commands that are answered later.

use super::{CommandTableError, SendError};
use crate::problem::Problem;
use axum::http::StatusCode;
use uuid::Uuid;

impl Problem {
    /// A command was not taken by the command queue, though its row may have been written: that waits for the same command.
    fn not_taken(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Self {
        let detail = "the command queue gave no answer; send it again with the same Idempotency-Key";
        let title = "The command queue is not available";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", title, detail).logged(error)
    }

    /// The worker ended over the last try of a command. Noted before that try, so that it is told if nothing better comes of it.
    pub(crate) fn worker_ended() -> Self {
        let error_id = Uuid::now_v7().to_string();
        // No report: it may well be handled, and if not that is reported.
        tracing::info!(error_id, "a command is tried for the last time");
        let detail = "it is tried for the last time, or whoever handled it ended over it; it may have been recorded: send it again with the same Idempotency-Key";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The command was given up", detail)
            .with("error_id", error_id)
    }

    /// The id that the API made for a command is ahead of the clocks of all workers that tried it.
    pub(crate) fn clock_behind() -> Self {
        let detail = "the clock of its worker is behind the one that made its id, and nothing was written; send it again without an Idempotency-Key";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The command was given up", detail).with_error_id()
    }

    /// No message is left of a command that waits, so that nobody will answer it.
    pub(crate) fn message_lost() -> Self {
        let error_id = Uuid::now_v7().to_string();
        tracing::info!(error_id, "what waits behind a marker is given up");
        let detail = "none of its messages is left in the queue; send it again with the same Idempotency-Key";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The command was given up", detail)
            .with("error_id", error_id)
    }

    /// Whoever was told that the command is refused relies on it, unless they have sent it again since.
    fn unsure() -> Self {
        tracing::warn!("a send of a refused command was too slow to tell whether it came before the refusal");
        let detail = "it was refused, and it is not known whether before this send or since; ask what became of it, or send it again with the same Idempotency-Key";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The command was sent too slowly", detail)
    }

    /// The command queue is as long as it may become.
    fn queue_full(limit: u64) -> Self {
        tracing::warn!(limit, "the command queue is too long, commands are not taken");
        let detail = format!("{limit} commands wait already; send it again later with the same Idempotency-Key");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Too many commands wait", detail)
    }

    /// Which kind of problem it is.
    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }

    /// The same with an id by which operators find it in the log.
    pub(crate) fn with_error_id(self) -> Self {
        if self.more.contains_key("error_id") {
            return self;
        }
        let error_id = Uuid::now_v7().to_string();
        tracing::error!(error_id, problem = self.kind, detail = self.detail, "a request failed");
        self.with("error_id", error_id)
    }
}

impl From<SendError> for Problem {
    fn from(error: SendError) -> Self {
        match error {
            SendError::TooLarge { bytes, limit } => Self::too_large(format!(
                "as a message of the command queue the command has {bytes} bytes, and {limit} are taken at most; send it without respond-async"
            )),
            SendError::Full { limit } => Self::queue_full(limit),
            SendError::ShareFull { share } => Self::share_full(share),
            SendError::Reused { stream } => Self::reused(format!(
                "it was used for another command, to {stream}; where commands are answered later, a key stands for one command"
            )),
            SendError::Unsure => Self::unsure(),
            SendError::Contention { attempts } => Self::contention(attempts),
            SendError::Json(error) => Self::internal(&error),
            SendError::Statuses(error) => error.into(),
            SendError::Queue(error) => Self::not_taken(&error),
        }
    }
}

impl From<CommandTableError> for Problem {
    fn from(error: CommandTableError) -> Self {
        match &error {
            CommandTableError::Throttled(_) => Self::throttled(),
            CommandTableError::Failed { .. } => Self::unavailable(&error),
            CommandTableError::Unreadable { .. } => Self::internal(&error),
        }
    }
}
