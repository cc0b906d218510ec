//! The result of a command in the model's own types: its events, and the state after it.

use crate::Unreadable;
use crate::command::request::{CommandRequest, CommandResult, ExecuteError};
use crate::{CommandHandler, Commit, StreamId};
use std::sync::{Arc, Mutex, PoisonError};

/// The result of a command in the model's types.
#[derive(Debug, Clone)]
pub struct TypedCommandResult<S, E> {
    /// The events that were recorded for it; none for a no-op.
    pub events: Vec<E>,
    /// The state after this command, without later commands of the same put. For a no-op it is the
    /// current state. None for a replay.
    pub state: Option<S>,
    /// The result as stored.
    pub result: CommandResult,
}

impl<S, E, R> CommandHandler<S, E, R>
where
    S: Clone + Send + 'static,
    E: 'static,
{
    /// Handles a command as [`handle`](Self::handle) does, and returns its events and the state
    /// after it, without a read. Each call of `decide` costs a copy of the state, and the events
    /// are decoded.
    ///
    /// # Errors
    /// Those of [`handle`](Self::handle). [`ExecuteError::Unreadable`] also means that a newer
    /// program recorded the command with events that this one does not know.
    pub async fn handle_typed(
        &self,
        request: CommandRequest,
        decide: impl Fn(&S) -> Result<Vec<E>, R> + Send + Sync + 'static,
    ) -> Result<TypedCommandResult<S, E>, ExecuteError<R>> {
        let (stream, evolve) = (request.stream.clone(), self.cache.loader.model.evolve);
        let behind = Arc::new(Mutex::new(None));
        let decided = Arc::clone(&behind);
        let decide = move |state: &S| {
            let events = decide(state)?;
            let state = events.iter().fold(state.clone(), evolve);
            // The last decision is the one that was written or answered.
            *decided.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
            Ok(events)
        };
        let result = self.handle(request, decide).await?;
        let state = behind
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .filter(|_| !result.replayed);
        let events =
            result.commit.as_ref().map(|commit| self.events(&stream, commit)).transpose()?;
        Ok(TypedCommandResult { events: events.unwrap_or_default(), state, result })
    }
}

impl<S, E, R> CommandHandler<S, E, R> {
    /// The events of a commit in the model's type; none for a recorded refusal.
    ///
    /// # Errors
    /// [`Unreadable`] when the model does not know one of them.
    pub fn events(&self, stream: &StreamId, commit: &Commit) -> Result<Vec<E>, Unreadable> {
        self.cache.loader.model.read(stream, commit).collect()
    }
}
