//! What a handled command comes to in the model's own types: its events, and the state behind it.

use crate::Unreadable;
use crate::command::request::{CommandRequest, CommandResult, ExecuteError};
use crate::{CommandHandler, Commit, StreamId};
use std::sync::{Arc, Mutex, PoisonError};

/// A command that was handled, in the model's types.
#[derive(Debug, Clone)]
pub struct TypedCommandResult<S, E> {
    /// The events that were recorded for it; none when there was nothing to do.
    pub events: Vec<E>,
    /// The state behind the command, or as it is when there was nothing to do. Not the state behind later commands, also
    /// behind those that were written by the same put. None of a command that had been handled before.
    pub state: Option<S>,
    /// What the store says of it.
    pub result: CommandResult,
}

impl<S, E, R> CommandHandler<S, E, R>
where
    S: Clone + Send + 'static,
    E: 'static,
{
    /// Handles a command as [`handle`](Self::handle) does, and gives its events and the state behind it in the model's types,
    /// without a read. That takes a copy of the state each time that `decide` is called, and decodes the events.
    ///
    /// # Errors
    /// Those of [`handle`](Self::handle). [`ExecuteError::Unreadable`] also means that the command is recorded, by a newer
    /// program, in events that this one does not know.
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
            // What is decided last is what is written, or what is true.
            *decided.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
            Ok(events)
        };
        let result = self.handle(request, decide).await?;
        let state = behind.lock().unwrap_or_else(PoisonError::into_inner).take().filter(|_| !result.replayed);
        let events = result.commit.as_ref().map(|commit| self.events(&stream, commit)).transpose()?;
        Ok(TypedCommandResult { events: events.unwrap_or_default(), state, result })
    }
}

impl<S, E, R> CommandHandler<S, E, R> {
    /// The events of a commit in the model's type; none of a recorded refusal.
    ///
    /// # Errors
    /// [`Unreadable`] when the model does not know one of them.
    pub fn events(&self, stream: &StreamId, commit: &Commit) -> Result<Vec<E>, Unreadable> {
        self.cache.loader.model.read(stream, commit).collect()
    }
}
