//! Handling the commands of one kind of stream, each once.

use crate::command::group_commit;
use crate::command::refusal::RefusalCodec;
use crate::command::request::{ExecuteError, Handled, Request};
use crate::command::stream_loader::{Known, Memory};
use crate::command::stream_queue::{Answer, Decide, Job, Line};
use crate::dedup::IdLimits;
use crate::schema::event_codec::Model;
use crate::{EventStore, StreamId};
use lru::LruCache;
use std::fmt::Display;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot::error::RecvError;

/// How much a [`CommandHandler`] remembers, and when it writes snapshots. The default suits most apps.
#[derive(Debug, Clone)]
pub struct HandlerOptions {
    /// Of how many streams, at most, state and head are kept: commands for those read nothing. With 0 every command reads, and
    /// commands for one stream race instead of queueing up.
    pub cached_streams: usize,
    /// How many commands for one stream are at most written together, of those that wait.
    pub commands_per_put: usize,
    /// How many command ids of a cached stream are kept.
    pub remembered_ids: usize,
    /// How many of them its snapshot bears.
    pub snapshot_ids: usize,
    /// How many older ids fit into each of two filters, at most 1,638. It is for ids without a time, from fast clocks, and
    /// those that the system derives; of others only the newest time is kept.
    pub filtered_ids: usize,
    /// After so many batches a snapshot is due,
    pub snapshot_after_batches: usize,
    /// or after so many bytes of them; but a large snapshot only after twice its own bytes.
    pub snapshot_after_bytes: usize,
    /// One of so many snapshots that are used is compared with what the events say; 0: none.
    pub check_one_in: u32,
}

impl Default for HandlerOptions {
    fn default() -> Self {
        Self {
            cached_streams: 1_000,
            commands_per_put: 64,
            remembered_ids: 256,
            snapshot_ids: 32,
            filtered_ids: 1_638,
            snapshot_after_batches: 10,
            snapshot_after_bytes: 16 * 1024,
            check_one_in: 1_000,
        }
    }
}

impl HandlerOptions {
    pub(crate) fn ids_in_memory(&self) -> IdLimits {
        IdLimits { listed: self.remembered_ids, filtered: self.filtered_ids }
    }

    pub(crate) fn ids_in_snapshot(&self) -> IdLimits {
        IdLimits { listed: self.snapshot_ids, filtered: self.filtered_ids }
    }

    /// How many items the first page of a read may have: a snapshot that was written in time is met with what came since.
    pub(crate) fn first_page(&self) -> i32 {
        i32::try_from(self.snapshot_after_batches.saturating_add(2)).unwrap_or(i32::MAX)
    }
}

/// Handles the commands of one kind of stream: each once, however often it is sent.
///
/// It remembers streams that it has met: a command for one of those is one put. Commands for one stream that arrive together
/// queue up, are decided one after the other, and are written together by one put; each keeps its own id and its own answer.
/// Clones share what they remember.
pub struct CommandHandler<S, E, R> {
    pub(crate) shared: Arc<Shared<S, E, R>>,
}

pub(crate) struct Shared<S, E, R> {
    pub(crate) memory: Memory<S, E>,
    lines: Option<Mutex<Lines<S, E, R>>>,
}

type Lines<S, E, R> = LruCache<StreamId, Arc<Line<S, E, R>>>;

impl<S: Clone, E, R> CommandHandler<S, E, R> {
    /// A handler that remembers as [`HandlerOptions::default`] says.
    pub fn new(store: EventStore, model: Model<S, E>) -> Self {
        Self::with_options(store, model, HandlerOptions::default())
    }

    /// A handler with other options.
    pub fn with_options(store: EventStore, model: Model<S, E>, options: HandlerOptions) -> Self {
        let lines = NonZeroUsize::new(options.cached_streams).map(|limit| Mutex::new(LruCache::new(limit)));
        Self { shared: Arc::new(Shared { memory: Memory::new(store, model, options), lines }) }
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
    /// [`ExecuteError`]; nothing is written, but that after any [`Fault`](crate::Fault) it may have been (an earlier try of
    /// the SDK): send it again with the same id.
    pub async fn handle(
        &self,
        request: Request,
        decide: impl Fn(&S) -> Result<Vec<E>, R> + Send + Sync + 'static,
    ) -> Result<Handled, ExecuteError<R>> {
        self.run(request, Box::new(decide), None).await
    }

    /// Handles a command as [`handle`](Self::handle) does, and **records a refusal** too: as a commit of one event, under the
    /// command's id, by the put that its events would have taken. Sent again, the command is refused for ever, though the
    /// state would allow it by then. For callers that act on the refusal and must not see it taken back: processes.
    ///
    /// A recorded refusal is in [`Handled::commit`], and [`Commit::refusal`](crate::Commit::refusal) reads it; `code` gives its
    /// stable code, and [`Display`] its words. It is true of all that was there, as events are: a lost race decides again. A
    /// version mismatch and "nothing to do" record nothing.
    ///
    /// The event is the store's own, of type `$Refused`: models and projections pass over it. But it has a version like
    /// any other. So it moves [`Handled::version`], callers that expect the version before it must look again, and **it may be a
    /// stream's first**. The state is the initial one then, as if there were no stream: a command that
    /// [`creates`](Request::creates) the stream comes later as well, and only loses one race to the refusal, when nothing is
    /// cached.
    ///
    /// # Errors
    /// Those of [`handle`](Self::handle), but [`ExecuteError::Refused`].
    pub async fn handle_recording_refusals(
        &self,
        request: Request,
        decide: impl Fn(&S) -> Result<Vec<E>, R> + Send + Sync + 'static,
        code: fn(&R) -> &'static str,
    ) -> Result<Handled, ExecuteError<R>>
    where
        R: Display,
    {
        self.run(request, Box::new(decide), Some(RefusalCodec { code, reason: R::to_string })).await
    }

    async fn run(
        &self,
        request: Request,
        decide: Decide<S, E, R>,
        refusals: Option<RefusalCodec<R>>,
    ) -> Result<Handled, ExecuteError<R>> {
        let memory = &self.shared.memory;
        let line = self.shared.line(&request.stream);
        let (job, mut answered) = Job::new(request, decide, refusals);
        line.join(job);
        loop {
            let mut known: tokio::sync::MutexGuard<'_, Option<Known<S>>> = tokio::select! {
                biased;
                answer = &mut answered => return received(answer),
                known = line.known.lock() => known,
            };
            // Whoever comes to lead handles all that wait, its own command among them, unless they are too many.
            if answered.is_empty() {
                group_commit::lead(memory, &line, &mut known).await;
            }
        }
    }
}

impl<S: Clone, E, R> Shared<S, E, R> {
    /// What is known of the stream, behind the commands that are being handled.
    pub(crate) async fn cached(&self, stream: &StreamId) -> Option<Known<S>> {
        self.line(stream).known.lock().await.clone()
    }

    /// Keeps what is known of the stream, unless more is known, or a command is being handled, which will find out.
    pub(crate) fn cache(&self, known: Known<S>) {
        let line = self.line(&known.head.stream);
        if let Ok(mut cached) = line.known.try_lock()
            && cached.as_ref().is_none_or(|cached| cached.head.version() < known.head.version())
        {
            *cached = Some(known);
        }
    }
}

impl<S, E, R> Shared<S, E, R> {
    /// Where the commands of the stream queue up.
    fn line(&self, stream: &StreamId) -> Arc<Line<S, E, R>> {
        let Some(lines) = &self.lines else { return Arc::default() };
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.get_or_insert(stream.clone(), Arc::default).clone()
    }
}

fn received<R>(answer: Result<Answer<R>, RecvError>) -> Result<Handled, ExecuteError<R>> {
    match answer {
        Ok(Answer::Given(result)) => *result,
        Ok(Answer::Panicked(panic)) => resume_unwind(panic),
        // A command leaves its line by an answer only; the next try would find out.
        Err(_) => Err(ExecuteError::Contention { attempts: 0 }),
    }
}

impl<S, E, R> Clone for CommandHandler<S, E, R> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}
