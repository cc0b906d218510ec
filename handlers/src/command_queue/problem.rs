//! The problems of commands that are answered later.

use super::{CommandTableError, SendError};
use crate::problem::Problem;
use axum::http::StatusCode;
use uuid::Uuid;

impl Problem {
    /// The command queue did not accept a command. Its row may exist, and waits for the same
    /// command.
    fn not_taken(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Self {
        let detail =
            "the command queue gave no answer; send it again with the same Idempotency-Key";
        let title = "The command queue is not available";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", title, detail).logged(error)
    }

    /// The worker crashed during a command's final attempt. Recorded before that attempt; its
    /// result replaces it.
    pub(crate) fn worker_ended() -> Self {
        let error_id = Uuid::now_v7().to_string();
        // Not reported here: the attempt may succeed, and a failure is reported.
        tracing::info!(error_id, "a command gets its final attempt");
        let detail = "the final attempt is running, or its worker crashed; it may have been recorded: \
                      send it again with the same Idempotency-Key";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The command was given up",
            detail,
        )
        .with("error_id", error_id)
    }

    /// The id of a command is ahead of the clocks of all workers that tried it.
    pub(crate) fn clock_behind() -> Self {
        let detail = "its worker's clock is behind the clock of its id, and nothing was written; \
                      send it again without an Idempotency-Key";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The command was given up",
            detail,
        )
        .with_error_id()
    }

    /// The queue has no message of a waiting command any more, so no worker will answer it.
    pub(crate) fn message_lost() -> Self {
        let error_id = Uuid::now_v7().to_string();
        tracing::info!(error_id, "a command is given up: the queue has no message of it");
        let detail =
            "its message is no longer in the queue; send it again with the same Idempotency-Key";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The command was given up",
            detail,
        )
        .with("error_id", error_id)
    }

    /// A refused command was sent again, and it is unknown whether before its refusal or since.
    fn unsure() -> Self {
        tracing::warn!(
            "a send of a refused command was too slow: it may have come before the refusal"
        );
        let detail = "it was refused, before this send or since; read its status, or send it again with the \
                      same Idempotency-Key";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The command was sent too slowly",
            detail,
        )
    }

    /// The command queue is full.
    fn queue_full(limit: u64) -> Self {
        tracing::warn!(limit, "the command queue is full, commands are refused");
        let detail = format!(
            "{limit} commands wait already; send it again later with the same Idempotency-Key"
        );
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
