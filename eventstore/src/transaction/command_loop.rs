//! The command loop over several streams: read, fold, decide, append to all, and retry a lost race.
//!
//! The streams are of one model, or of two: `first` and `second`. For one model, `second` is empty.

use super::addressed_stream::{AddressedStream, AddressedStreams};
use super::handle_all::{ExecuteAllError, MultiStreamRequest, MultiStreamResult};
use super::parts::{AppendAllError, AppendedAll, AppendedPart, Part};
use super::transact_items::{bind, is_of};
use crate::command::backoff::pause;
use crate::command::stream_cache::StreamCache;
use crate::command::stream_loader::StreamLoadError;
use crate::snapshot::stored::Snapshot;
use crate::{
    Batch, CodecError, CommandMetadata, Commit, Consistency, EventStore, Head, NewEvent, StreamId,
    Usage,
};
use futures::future::{try_join, try_join_all};

/// After this many lost races in a row, the loop pauses and reads the refused streams.
const LOSSES_BEFORE_READ: u32 = 2;

/// A list of events for each stream of both models, in order; no list at all is a no-op.
pub(crate) struct StreamDecision<E, F> {
    pub(crate) first: Vec<Vec<E>>,
    pub(crate) second: Vec<Vec<F>>,
}

impl<E, F> StreamDecision<E, F> {
    pub(crate) fn empty() -> Self {
        Self { first: Vec::new(), second: Vec::new() }
    }
}

/// A command that is being handled.
pub(crate) struct MultiStreamCommand<'a, S, E, T, F> {
    store: &'a EventStore,
    request: &'a MultiStreamRequest,
    /// The metadata as stored.
    bound: CommandMetadata,
    first: Vec<AddressedStream<'a, S, E>>,
    second: Vec<AddressedStream<'a, T, F>>,
    /// The commits of this command that were found.
    found: Vec<AppendedPart>,
    /// Whether its id was found on a commit of another command.
    reused: bool,
    lost_races: u32,
}

impl<'a, S: Clone, E, T: Clone, F> MultiStreamCommand<'a, S, E, T, F> {
    pub(crate) fn new(
        store: &'a EventStore,
        request: &'a MultiStreamRequest,
        first: AddressedStreams<'a, S, E>,
        second: AddressedStreams<'a, T, F>,
    ) -> Self {
        let bound = bind(&request.metadata, request.streams.iter());
        let (found, reused, lost_races) = (Vec::new(), false, 0);
        let (first, second, read) = (first.streams, second.streams, [first.read, second.read]);
        let mut command = Self { store, request, bound, first, second, found, reused, lost_races };
        command.compare(read.iter().flatten());
        command
    }

    /// Handles the command and caches the streams.
    pub(crate) async fn run<R, Q, X>(
        mut self,
        first: &StreamCache<S, E, R>,
        second: Option<&StreamCache<T, F, Q>>,
        decide: impl Fn(&[&S], &[&T]) -> Result<StreamDecision<E, F>, X>,
    ) -> Result<MultiStreamResult, ExecuteAllError<X>> {
        let empty = StreamDecision::empty();
        loop {
            self.look_up().await?;
            if self.is_recorded()? {
                return self.recorded().await;
            }
            // Checked only now: the commit that won the last race may be this command's own.
            if self.lost_races >= self.store.options.max_attempts {
                return Err(ExecuteAllError::Contention { attempts: self.lost_races });
            }
            let decided = match self.version_mismatch() {
                Some(mismatch) => Err(mismatch),
                None => decide(&states(&self.first), &states(&self.second))
                    .map_err(ExecuteAllError::Refused),
            };
            let decision = decided.as_ref().unwrap_or(&empty);
            let refused = match self.append(decision).await? {
                Ok(appended) if appended.repeated => return Ok(self.handled(appended.parts, true)),
                Ok(appended) => {
                    apply_written(&mut self.first, &decision.first, &appended.parts);
                    apply_written(&mut self.second, &decision.second, &appended.parts);
                    let handled = self.handled(appended.parts, false);
                    self.first.into_iter().for_each(|stream| stream.cache(first));
                    if let Some(second) = second {
                        self.second.into_iter().for_each(|stream| stream.cache(second));
                    }
                    return decided.map(|_| handled);
                }
                Err(error) => self.take_winners(error)?,
            };
            self.catch_up(&refused).await?;
        }
    }

    fn heads(&self) -> impl Iterator<Item = &Head> {
        self.first
            .iter()
            .map(AddressedStream::head)
            .chain(self.second.iter().map(AddressedStream::head))
    }

    /// The first stream that is not at the expected version.
    fn version_mismatch<X>(&self) -> Option<ExecuteAllError<X>> {
        self.heads().zip(&self.request.expected_versions).find_map(|(head, expected)| {
            let (stream, actual) = (head.stream(), head.version());
            let expected = expected.filter(|expected| *expected != actual)?;
            Some(ExecuteAllError::VersionMismatch { stream: stream.clone(), expected, actual })
        })
    }

    /// Reads, strongly consistent, what follows the heads of the streams.
    async fn read(&mut self, streams: &[StreamId]) -> Result<(), StreamLoadError> {
        let (first, second) =
            try_join(read(&mut self.first, streams), read(&mut self.second, streams)).await?;
        self.compare(first.iter().chain(&second).flatten());
        Ok(())
    }

    /// Applies the next batches of any of the streams.
    fn apply(&mut self, batches: &[Batch]) -> Result<(), StreamLoadError> {
        for batch in batches {
            self.first.iter_mut().try_for_each(|stream| stream.apply(batch))?;
            self.second.iter_mut().try_for_each(|stream| stream.apply(batch))?;
        }
        self.compare(batches.iter());
        Ok(())
    }

    /// Matches the commits of batches with the command.
    fn compare<'b>(&mut self, batches: impl Iterator<Item = &'b Batch>) {
        for batch in batches {
            for commit in &batch.commits {
                self.match_commit(&batch.stream, commit);
            }
            self.first.iter_mut().for_each(|stream| stream.compared(batch));
            self.second.iter_mut().for_each(|stream| stream.compared(batch));
        }
    }

    fn match_commit(&mut self, stream: &StreamId, commit: &Commit) {
        let known = self.found.iter().any(|part| part.head.stream == *stream);
        if !known && is_of(commit, &self.bound) {
            self.found.push(AppendedPart::new(stream, commit.clone()));
        }
        self.reused |= commit.metadata.command_id == self.bound.command_id;
    }

    /// Looks for the command among the commits that were not compared with it.
    async fn look_up(&mut self) -> Result<(), AppendAllError> {
        let command = &self.bound.command_id;
        let first = try_join_all(self.first.iter_mut().map(|stream| stream.look_up(command)));
        let second = try_join_all(self.second.iter_mut().map(|stream| stream.look_up(command)));
        let (first, second) = try_join(first, second).await?;
        for (stream, commit) in first.into_iter().chain(second).flatten() {
            self.match_commit(&stream, &commit);
        }
        Ok(())
    }

    /// Whether a commit of this command was found; an error if its id was found on another
    /// command's.
    fn is_recorded(&self) -> Result<bool, AppendAllError> {
        if self.found.is_empty() && self.reused {
            return Err(AppendAllError::CommandIdReused(self.bound.command_id.clone()));
        }
        Ok(!self.found.is_empty())
    }

    /// The recorded result. Missing commits are searched from the end of their streams.
    async fn recorded<X>(self) -> Result<MultiStreamResult, ExecuteAllError<X>> {
        let Self { store, request, bound, found, lost_races, .. } = self;
        let recorded = store.recorded(&request.streams, &bound, found, Usage::default()).await?;
        Ok(MultiStreamResult {
            parts: recorded.parts,
            replayed: true,
            lost_races,
            usage: Usage::default(),
        })
    }

    /// Appends the decision, and writes due snapshots concurrently. The inner error may be a lost
    /// race.
    async fn append<X>(
        &mut self,
        decision: &StreamDecision<E, F>,
    ) -> Result<Result<AppendedAll, AppendAllError>, ExecuteAllError<X>> {
        let (parts, unmoved) = self.parts(decision)?;
        let mut due = due_snapshots(&mut self.first, &decision.first);
        due.extend(due_snapshots(&mut self.second, &decision.second));
        let append = self.store.transact(&self.request.metadata, parts, &unmoved);
        let (appended, sizes) = self.store.with_snapshots(&due, append).await;
        for ((snapshot, _), bytes) in due.iter().zip(sizes) {
            let Some(bytes) = bytes else { continue };
            self.first.iter_mut().for_each(|stream| stream.wrote_snapshot(snapshot, bytes));
            self.second.iter_mut().for_each(|stream| stream.wrote_snapshot(snapshot, bytes));
        }
        Ok(appended)
    }

    /// The parts to append, and the heads of the streams without events.
    fn parts<X>(
        &self,
        decision: &StreamDecision<E, F>,
    ) -> Result<(Vec<Part>, Vec<Head>), ExecuteAllError<X>> {
        let decided = decision.first.len() + decision.second.len();
        let addressed = self.first.len() + self.second.len();
        if decided != 0 && decided != addressed {
            return Err(ExecuteAllError::Misshapen { decided, addressed });
        }
        let (mut parts, mut unmoved) = (Vec::new(), Vec::new());
        for (head, events) in
            encoded(&self.first, &decision.first).chain(encoded(&self.second, &decision.second))
        {
            match events? {
                events if events.is_empty() => unmoved.push(head),
                events => parts.push(Part { head, events }),
            }
        }
        Ok((parts, unmoved))
    }

    fn handled(&self, parts: Vec<AppendedPart>, replayed: bool) -> MultiStreamResult {
        MultiStreamResult { parts, replayed, lost_races: self.lost_races, usage: Usage::default() }
    }

    /// Applies the batches that a refused append returned, and names the streams that refused it.
    fn take_winners<X>(
        &mut self,
        error: AppendAllError,
    ) -> Result<Vec<StreamId>, ExecuteAllError<X>> {
        self.lost_races += 1;
        if let AppendAllError::Conflict { winners, .. } = error {
            self.apply(&winners)?;
            return Ok(winners.into_iter().map(|batch| batch.stream).collect());
        }
        if let AppendAllError::TransactionConflict { streams, .. } = error {
            return Ok(streams);
        }
        Err(error.into())
    }

    /// After repeated losses it pauses and reads what else was put to the refused streams.
    async fn catch_up<X>(&mut self, refused: &[StreamId]) -> Result<(), ExecuteAllError<X>> {
        if self.lost_races < LOSSES_BEFORE_READ || !self.found.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(pause(self.lost_races - LOSSES_BEFORE_READ)).await;
        Ok(self.read(refused).await?)
    }
}

fn states<'s, S: Clone, E>(streams: &'s [AddressedStream<'_, S, E>]) -> Vec<&'s S> {
    streams.iter().map(AddressedStream::state).collect()
}

/// The heads of the streams with the encoded events for each.
fn encoded<S: Clone, E>(
    streams: &[AddressedStream<'_, S, E>],
    decided: &[Vec<E>],
) -> impl Iterator<Item = (Head, Result<Vec<NewEvent>, CodecError>)> {
    let decided = decided.iter().map(Vec::as_slice).chain(std::iter::repeat(&[][..]));
    streams
        .iter()
        .zip(decided)
        .map(|(stream, events)| (stream.head().clone(), stream.encode(events)))
}

/// Reads the named streams.
async fn read<S: Clone, E>(
    streams: &mut [AddressedStream<'_, S, E>],
    named: &[StreamId],
) -> Result<Vec<Vec<Batch>>, StreamLoadError> {
    let streams = streams.iter_mut().filter(|stream| named.contains(stream.stream()));
    try_join_all(streams.map(|stream| stream.read(Consistency::Strong))).await
}

/// The due snapshots of the streams that are written to.
fn due_snapshots<S: Clone, E>(
    streams: &mut [AddressedStream<'_, S, E>],
    decided: &[Vec<E>],
) -> Vec<(Snapshot, bool)> {
    let written = streams.iter_mut().zip(decided).filter(|(_, events)| !events.is_empty());
    written.filter_map(|(stream, _)| stream.take_due_snapshot()).collect()
}

/// Applies the written commits.
fn apply_written<S: Clone, E>(
    streams: &mut [AddressedStream<'_, S, E>],
    decided: &[Vec<E>],
    written: &[AppendedPart],
) {
    for (stream, events) in streams.iter_mut().zip(decided) {
        if let Some(written) =
            written.iter().find(|written| written.head.stream == *stream.stream())
        {
            stream.apply_written(events, written);
        }
    }
}
