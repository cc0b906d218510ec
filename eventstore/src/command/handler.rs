//! Handling the commands of one kind of stream, each once.

use super::cached_stream::CachedStream;
use super::group_commit;
use super::refusal::RefusalCodec;
use super::request::{CommandRequest, CommandResult, ExecuteError};
use super::stream_cache::StreamCache;
use super::stream_queue::{Answer, Decide, QueuedCommand};
use crate::{EventStore, HandlerOptions, Model};
use std::fmt::Display;
use std::panic::resume_unwind;
use std::sync::Arc;
use tokio::sync::oneshot::error::RecvError;

/// Handles the commands of one kind of stream: each once, however often it is sent.
///
/// It remembers streams that it has met: a command for one of those is one put. Commands for one stream that arrive together
/// queue up, are decided one after the other, and are written together by one put; each keeps its own id and its own answer.
/// Clones share what they remember.
pub struct CommandHandler<S, E, R> {
    pub(crate) cache: Arc<StreamCache<S, E, R>>,
}

impl<S: Clone, E, R> CommandHandler<S, E, R> {
    /// A handler that remembers as [`HandlerOptions::default`] says.
    pub fn new(store: EventStore, model: Model<S, E>) -> Self {
        Self::with_options(store, model, HandlerOptions::default())
    }

    /// A handler with other options.
    pub fn with_options(store: EventStore, model: Model<S, E>, options: HandlerOptions) -> Self {
        Self { cache: Arc::new(StreamCache::new(store, model, options)) }
    }

    /// Handles a command.
    ///
    /// The same id with the same fingerprint gets the recorded result, [a recorded refusal](crate::Commit::refusal) as
    /// well; with another it is refused. What recorded nothing (a refusal here, or nothing to do) is decided again when it
    /// is sent again. A refusal, a version mismatch and "nothing to do" are only given on all that was there after the
    /// command arrived. A lost race is mended from the batch that won.
    ///
    /// `decide` may be called several times, and by the task of another command for the same stream; a panic in it is its
    /// own caller's. The first of the commands that wait handles them all, in its own task: so **poll what you have begun**. A
    /// future of `handle` that is kept without being polled holds up the stream's other commands in this process; one that
    /// is dropped does not, but it takes its command back only if nobody has begun with it. And give the SDK's client an
    /// attempt time-out: without, a put that never ends holds up the same commands.
    ///
    /// In [`Usage::of`](crate::Usage::of), commands that were written together count for the one that led.
    ///
    /// # Errors
    /// [`ExecuteError`]; nothing is written, but that after any [`StoreError`](crate::StoreError) it may have been (an earlier try of
    /// the SDK): send it again with the same id.
    pub async fn handle(
        &self,
        request: CommandRequest,
        decide: impl Fn(&S) -> Result<Vec<E>, R> + Send + Sync + 'static,
    ) -> Result<CommandResult, ExecuteError<R>> {
        self.run(request, Box::new(decide), None).await
    }

    /// Handles a command as [`handle`](Self::handle) does, and **records a refusal** too: as a commit of one event, under the
    /// command's id, by the put that its events would have taken. Sent again, the command is refused for ever, though the
    /// state would allow it by then. For callers that act on the refusal and must not see it taken back: processes.
    ///
    /// A recorded refusal is in [`CommandResult::commit`], and [`Commit::refusal`](crate::Commit::refusal) reads it; `code` gives its
    /// stable code, and [`Display`] its words. It is true of all that was there, as events are: a lost race decides again. A
    /// version mismatch and "nothing to do" record nothing.
    ///
    /// The event is the store's own, of type `$Refused`: models and projections pass over it. But it has a version like
    /// any other. So it moves [`CommandResult::version`], callers that expect the version before it must look again, and **it may be a
    /// stream's first**. The state is the initial one then, as if there were no stream: a command that
    /// [`creates`](CommandRequest::creates) the stream comes later as well, and only loses one race to the refusal, when nothing is
    /// cached.
    ///
    /// # Errors
    /// Those of [`handle`](Self::handle), but [`ExecuteError::Refused`].
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
            // Whoever comes to lead handles all that wait, its own command among them, unless they are too many.
            if answered.is_empty() {
                group_commit::run_as_leader(loader, &queue, &mut cached).await;
            }
        }
    }
}

fn received<R>(answer: Result<Answer<R>, RecvError>) -> Result<CommandResult, ExecuteError<R>> {
    match answer {
        Ok(Answer::Given(result)) => *result,
        Ok(Answer::Panicked(panic)) => resume_unwind(panic),
        // A command leaves its line by an answer only; the next try would find out.
        Err(_) => Err(ExecuteError::Contention { attempts: 0 }),
    }
}

impl<S, E, R> Clone for CommandHandler<S, E, R> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone() }
    }
}
