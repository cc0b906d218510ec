//! The queue of commands for one stream in one process.

use super::cached_stream::CachedStream;
use super::refusal::RefusalCodec;
use super::request::{CommandRequest, CommandResult, ExecuteError};
use crate::Commit;
use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::sync::oneshot;

/// Decides a command on a state: events, or a refusal.
pub(crate) type Decide<S, E, R> = Box<dyn Fn(&S) -> Result<Vec<E>, R> + Send + Sync>;

/// The answer to the caller of a command.
pub(crate) enum CommandAnswer<R> {
    Result(Box<Result<CommandResult, ExecuteError<R>>>),
    /// `decide` panicked; the panic is resumed at its own caller.
    Panicked(Box<dyn Any + Send>),
}

/// A command that waits for its answer.
pub(crate) struct QueuedCommand<S, E, R> {
    pub(crate) request: CommandRequest,
    pub(crate) decide: Decide<S, E, R>,
    /// How to record a refusal, if it is recorded.
    pub(crate) refusals: Option<RefusalCodec<R>>,
    answer: oneshot::Sender<CommandAnswer<R>>,
    /// The commit of this command, if it was found.
    pub(crate) found: Option<Commit>,
    /// Every commit up to this version was compared with the command's id.
    pub(crate) compared_to: u64,
}

/// The queued commands of one stream, and the cached stream. The task that holds the lock leads.
pub(crate) struct StreamQueue<S, E, R> {
    waiting: Mutex<VecDeque<QueuedCommand<S, E, R>>>,
    pub(crate) cached: tokio::sync::Mutex<Option<CachedStream<S>>>,
}

/// Commands taken from the queue by the leader. Dropping it puts unanswered ones back to the front,
/// because the leader's caller may go away at any time.
pub(crate) struct QueueDrain<'a, S, E, R> {
    queue: &'a StreamQueue<S, E, R>,
    pub(crate) commands: Vec<QueuedCommand<S, E, R>>,
}

impl<S, E, R> QueuedCommand<S, E, R> {
    pub(crate) fn new(
        request: CommandRequest,
        decide: Decide<S, E, R>,
        refusals: Option<RefusalCodec<R>>,
    ) -> (Self, oneshot::Receiver<CommandAnswer<R>>) {
        let (answer, answered) = oneshot::channel();
        (Self { request, decide, refusals, answer, found: None, compared_to: 0 }, answered)
    }

    pub(crate) fn complete(self, answer: CommandAnswer<R>) {
        // The caller may have gone away.
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

    /// Takes up to `limit` commands, without those whose caller is gone.
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
    /// Puts all commands after the first `keep` back to the front of the queue.
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
