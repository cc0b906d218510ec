//! Commands for one stream, waiting in one process to be written together.

use super::cached_stream::CachedStream;
use super::refusal::RefusalCodec;
use super::request::{CommandRequest, CommandResult, ExecuteError};
use crate::Commit;
use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::sync::oneshot;

/// A command's rule: the events that it comes to on a state, or why not.
pub(crate) type Decide<S, E, R> = Box<dyn Fn(&S) -> Result<Vec<E>, R> + Send + Sync>;

/// What a command's caller is told.
pub(crate) enum Answer<R> {
    Given(Box<Result<CommandResult, ExecuteError<R>>>),
    /// Its rule panicked, whoever was leading.
    Panicked(Box<dyn Any + Send>),
}

/// A command that waits for its answer.
pub(crate) struct QueuedCommand<S, E, R> {
    pub(crate) request: CommandRequest,
    pub(crate) decide: Decide<S, E, R>,
    /// How a refusal is recorded, where it is.
    pub(crate) refusals: Option<RefusalCodec<R>>,
    answer: oneshot::Sender<Answer<R>>,
    /// The commit of this very command, if it was met.
    pub(crate) found: Option<Commit>,
    /// Every commit up to this version was compared with it, and none is its own but the one found.
    pub(crate) compared_to: u64,
}

/// The commands for one stream, and what is known of it. Whoever holds the lock leads: it handles what waits.
pub(crate) struct StreamQueue<S, E, R> {
    waiting: Mutex<VecDeque<QueuedCommand<S, E, R>>>,
    pub(crate) cached: tokio::sync::Mutex<Option<CachedStream<S>>>,
}

/// Commands that were taken from their line. Those without an answer go back to its front when this is dropped: the caller
/// that was leading may go away at any time.
pub(crate) struct QueueDrain<'a, S, E, R> {
    queue: &'a StreamQueue<S, E, R>,
    pub(crate) commands: Vec<QueuedCommand<S, E, R>>,
}

impl<S, E, R> QueuedCommand<S, E, R> {
    pub(crate) fn new(
        request: CommandRequest,
        decide: Decide<S, E, R>,
        refusals: Option<RefusalCodec<R>>,
    ) -> (Self, oneshot::Receiver<Answer<R>>) {
        let (answer, answered) = oneshot::channel();
        (Self { request, decide, refusals, answer, found: None, compared_to: 0 }, answered)
    }

    pub(crate) fn complete(self, answer: Answer<R>) {
        // The caller may have gone away: nobody is left to tell.
        drop(self.answer.send(answer));
    }
}

impl<S, E, R> Default for StreamQueue<S, E, R> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), cached: tokio::sync::Mutex::default() }
    }
}

impl<S, E, R> StreamQueue<S, E, R> {
    pub(crate) fn join(&self, queued: QueuedCommand<S, E, R>) {
        self.waiting().push_back(queued);
    }

    /// Takes up to `limit` commands, but none whose caller has gone away.
    pub(crate) fn take(&self, limit: usize) -> QueueDrain<'_, S, E, R> {
        let mut waiting = self.waiting();
        let mut commands = Vec::new();
        while commands.len() < limit.max(1)
            && let Some(queued) = waiting.pop_front()
        {
            if !queued.answer.is_closed() {
                commands.push(queued);
            }
        }
        QueueDrain { queue: self, commands }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<QueuedCommand<S, E, R>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S, E, R> QueueDrain<'_, S, E, R> {
    /// Puts all but the first `keep` commands back to where they were.
    pub(crate) fn requeue(&mut self, keep: usize) {
        let mut waiting = self.queue.waiting();
        for queued in self.commands.drain(keep.min(self.commands.len())..).rev() {
            waiting.push_front(queued);
        }
    }
}

impl<S, E, R> Drop for QueueDrain<'_, S, E, R> {
    fn drop(&mut self) {
        self.requeue(0);
    }
}
