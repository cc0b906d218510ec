//! Handles the commands of one model, each exactly once.

use super::cached_stream::CachedStream;
use super::group_commit;
use super::refusal::RefusalCodec;
use super::request::{CommandRequest, CommandResult, ExecuteError};
use super::stream_cache::StreamCache;
use super::stream_queue::{CommandAnswer, Decide, QueuedCommand};
use crate::{EventStore, HandlerOptions, Model};
use std::fmt::Display;
use std::panic::resume_unwind;
use std::sync::Arc;
use tokio::sync::oneshot::error::RecvError;

/// Handles the commands of one model: each once, however often it is sent.
///
/// It caches streams, so that a command on a cached stream costs one put. Concurrent commands for
/// one stream queue up, are decided in order, and are written by one put (group commit). Each has
/// its own id and its own answer. Clones share the cache.
pub struct CommandHandler<S, E, R> {
    pub(crate) cache: Arc<StreamCache<S, E, R>>,
}

impl<S: Clone, E, R> CommandHandler<S, E, R> {
    /// A handler with the default [`HandlerOptions`].
    pub fn new(store: EventStore, model: Model<S, E>) -> Self {
        Self::with_options(store, model, HandlerOptions::default())
    }

    /// A handler with other options.
    pub fn with_options(store: EventStore, model: Model<S, E>, options: HandlerOptions) -> Self {
        Self { cache: Arc::new(StreamCache::new(store, model, options)) }
    }

    /// Handles a command.
    ///
    /// The same id with the same fingerprint gets the recorded result again, also [a recorded
    /// refusal](crate::Commit::refusal). With another fingerprint it is refused. Rejected and no-op
    /// commands are not recorded; a retry is evaluated again. A refusal, a version mismatch or a
    /// no-op is only answered on a state that was current after the command arrived. A lost race is
    /// resolved with the batch that won.
    ///
    /// `decide` may be called several times, also by the task of another command for the same
    /// stream. If it panics, only its own caller panics. The first queued command handles them all
    /// in its own task, so **poll what you have started**: a future of `handle` that is not polled
    /// blocks the other commands of the stream in this process. A dropped future does not, but its
    /// command is withdrawn only if it was not started. Give the SDK's client an attempt time-out:
    /// a put without one may block the stream.
    ///
    /// In [`Usage::of`](crate::Usage::of), the leader pays for all commands of a group commit.
    ///
    /// # Errors
    /// [`ExecuteError`]. Nothing is written, except that after a [`StoreError`](crate::StoreError)
    /// an earlier attempt of the SDK may have succeeded: retry with the same id.
    pub async fn handle(
        &self,
        request: CommandRequest,
        decide: impl Fn(&S) -> Result<Vec<E>, R> + Send + Sync + 'static,
    ) -> Result<CommandResult, ExecuteError<R>> {
        self.run(request, Box::new(decide), None).await
    }

    /// Handles a command as [`handle`](Self::handle) does, and **records a refusal** too: as a
    /// commit of one event under the command's id. Every retry is refused, even if the state
    /// would allow it by then. This is for callers that act on the refusal, such as processes.
    ///
    /// [`Commit::refusal`](crate::Commit::refusal) reads a recorded refusal from
    /// [`CommandResult::commit`]. `code` returns its stable code, and [`Display`] its text. A lost
    /// race decides again, as for events. A version mismatch or a no-op records nothing.
    ///
    /// The event is the store's own, of type `$Refused`: models and projections skip it. But it has
    /// a version like any other. It moves [`CommandResult::version`], so callers that expect the
    /// version before it must look again. **It may be the first event of a stream**; the state is
    /// still the initial one then. A command that [`creates`](CommandRequest::creates) the stream
    /// still succeeds later. With nothing cached, it loses one race to the refusal.
    ///
    /// # Errors
    /// Those of [`handle`](Self::handle), except [`ExecuteError::Refused`].
    pub async fn handle_recording_refusals(
        &self,
        request: CommandRequest,
        decide: impl Fn(&S) -> Result<Vec<E>, R> + Send + Sync + 'static,
        code: fn(&R) -> &'static str,
    ) -> Result<CommandResult, ExecuteError<R>>
    where
        R: Display,
    {
        self.run(request, Box::new(decide), Some(RefusalCodec { code, reason: R::to_string })).await
    }

    async fn run(
        &self,
        request: CommandRequest,
        decide: Decide<S, E, R>,
        refusals: Option<RefusalCodec<R>>,
    ) -> Result<CommandResult, ExecuteError<R>> {
        let loader = &self.cache.loader;
        let queue = self.cache.queue(&request.stream);
        let (queued, mut answered) = QueuedCommand::new(request, decide, refusals);
        queue.join(queued);
        loop {
            let mut cached: tokio::sync::MutexGuard<'_, Option<CachedStream<S>>> = tokio::select! {
                biased;
                answer = &mut answered => return received(answer),
                cached = queue.cached.lock() => cached,
            };
            // The leader handles all queued commands, with its own among them unless there are too
            // many.
            if answered.is_empty() {
                group_commit::run_as_leader(loader, &queue, &mut cached).await;
            }
        }
    }
}

fn received<R>(
    answer: Result<CommandAnswer<R>, RecvError>,
) -> Result<CommandResult, ExecuteError<R>> {
    match answer {
        Ok(CommandAnswer::Result(result)) => *result,
        Ok(CommandAnswer::Panicked(panic)) => resume_unwind(panic),
        // A command leaves the queue only with an answer; a retry would find out.
        Err(_) => Err(ExecuteError::Contention { attempts: 0 }),
    }
}

impl<S, E, R> Clone for CommandHandler<S, E, R> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone() }
    }
}
