//! Handling a command over several streams of one kind: read, fold, decide, append to all, and mend a lost race.

use crate::append_all::{self, AppendAllError, AppendedAll, AppendedPart};
use crate::codec::{CodecError, Unreadable};
use crate::dedup::FindCommit;
use crate::handler::Shared;
use crate::known::{Known, Memory, RecallError};
use crate::load::Consistency;
use crate::meter;
use crate::round::pause;
use crate::transaction::{bind, check_streams, is_of};
use crate::usage::Usage;
use crate::{Batch, CommandHandler, Commit, Envelope, Head, StreamId};
use futures::future::{join_all, try_join_all};

/// Losing this often in a row makes the loop wait a moment and read what else was put behind the refused streams.
const LOSSES_BEFORE_READ: u32 = 2;

/// A command for several streams, but for what it decides.
#[derive(Debug, Clone)]
pub struct RequestAll {
    /// The streams that it addresses, each once, at most [`MAX_STREAMS`](crate::MAX_STREAMS).
    pub streams: Vec<StreamId>,
    /// Who, why, and its id.
    pub envelope: Envelope,
    /// The versions at which the caller knows the streams, in their order; a stream without one may be at any version.
    pub expected_versions: Vec<Option<u64>>,
}

impl RequestAll {
    /// A command to streams, at whatever versions they are.
    pub fn new(streams: Vec<StreamId>, envelope: Envelope) -> Self {
        Self { streams, envelope, expected_versions: Vec::new() }
    }
}

/// A command over several streams that was handled.
#[derive(Debug, Clone)]
pub struct HandledAll {
    /// What was recorded for it, in the order of the streams; nothing when there was nothing to do.
    pub parts: Vec<AppendedPart>,
    /// Whether it had been handled before, and this is the recorded result.
    pub replayed: bool,
    /// How often quicker commands for the streams made it decide again.
    pub lost_races: u32,
    /// What it cost.
    pub usage: Usage,
}

/// Why a command over several streams was not handled.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteAllError<R> {
    /// The model refused it: an answer, not a failure. Final, for all states were true at one moment.
    #[error("refused: {0}")]
    Refused(R),
    /// A stream is not at the version that the caller expects. Final, as a refusal is.
    #[error("stream {stream} is at version {actual}, not at {expected}")]
    VersionMismatch {
        /// The stream.
        stream: StreamId,
        /// What the caller expects.
        expected: u64,
        /// Where the stream is.
        actual: u64,
    },
    /// The decision has lists of events for more or fewer streams than the command addresses.
    #[error("the decision is for {decided} streams, the command for {addressed}")]
    Misshapen {
        /// How many lists of events there are.
        decided: usize,
        /// How many streams.
        addressed: usize,
    },
    /// Quicker commands won every time: try again later.
    #[error("{attempts} attempts lost to other commands on the streams")]
    Contention {
        /// How often it was tried.
        attempts: u32,
    },
    /// An event of one of the streams cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// An event that was decided cannot be stored.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// It was not written, for one of the reasons that the store has; never a conflict of any kind.
    #[error(transparent)]
    Append(#[from] AppendAllError),
}

/// A command while it is handled.
struct Handling<'a, S, E> {
    memory: &'a Memory<S, E>,
    request: &'a RequestAll,
    /// The envelope as it is stored.
    bound: Envelope,
    /// In the order of the command's streams.
    streams: Vec<Part<S>>,
    /// The commits of this very command that were met.
    found: Vec<AppendedPart>,
    /// Whether its id was met on a commit that asked for something else.
    reused: bool,
    lost_races: u32,
}

/// One of the streams.
struct Part<S> {
    known: Known<S>,
    /// Every commit up to this version was compared with the command.
    compared_to: u64,
}

impl<S: Clone, E, R> CommandHandler<S, E, R> {
    /// Handles a command over several streams once, however often it is sent: all that it decides is written, or nothing.
    ///
    /// `decide` is given the states of the streams, in their order, and answers with a list of events for each, or with no
    /// list at all when there is nothing to do. A stream without events is not written to, but must not have gone on: what
    /// was decided holds for all states **at one moment**. So do a refusal and "nothing to do", which a transaction of
    /// checks alone confirms. Streams are read and cached as [`CommandHandler::handle`] does.
    ///
    /// # A command is handled once
    /// In each stream the command's id is compared with every commit up to the head that is known, as `handle` does. So a
    /// recorded commit of this command is found, or stands behind its stream's head. There the append, which puts or checks
    /// something behind **every** head, is refused by it or by what stands before it. Finding it in one stream is finding it
    /// in all ([`EventStore::append_all`](crate::EventStore::append_all)). No read has to be consistent for that.
    ///
    /// # Errors
    /// [`ExecuteAllError`]; nothing is written, but that after any [`Fault`](crate::Fault) it may have been (an earlier
    /// try of the SDK): send it again with the same id.
    pub async fn handle_all(
        &self,
        request: &RequestAll,
        decide: impl Fn(&[&S]) -> Result<Vec<Vec<E>>, R>,
    ) -> Result<HandledAll, ExecuteAllError<R>> {
        check_streams(request.streams.iter())?;
        let (handled, usage) = meter::measured(self.handle_streams(request, decide)).await;
        Ok(HandledAll { usage, ..handled? })
    }

    async fn handle_streams(
        &self,
        request: &RequestAll,
        decide: impl Fn(&[&S]) -> Result<Vec<Vec<E>>, R>,
    ) -> Result<HandledAll, ExecuteAllError<R>> {
        let mut handling = Handling::begin(&self.shared, request).await?;
        loop {
            handling.look_up().await?;
            if handling.is_recorded()? {
                return handling.recorded().await;
            }
            // Asked only now: the commit that won the last race may be this command's own.
            if handling.lost_races >= handling.memory.store.options.max_attempts {
                return Err(ExecuteAllError::Contention { attempts: handling.lost_races });
            }
            let decided = match handling.unexpected() {
                Some(mismatch) => Err(mismatch),
                None => decide(&handling.states()).map_err(ExecuteAllError::Refused),
            };
            let refused = match handling.append(decided.as_deref().unwrap_or_default()).await? {
                Ok(appended) if appended.repeated => return Ok(handling.handled(appended.parts, true)),
                Ok(appended) => {
                    handling.settle(decided.as_deref().unwrap_or_default(), &appended);
                    handling.remember(&self.shared);
                    let handled = handling.handled(appended.parts, false);
                    return decided.map(|_| handled);
                }
                Err(error) => handling.learn(error)?,
            };
            handling.catch_up(&refused).await?;
        }
    }
}

impl<'a, S: Clone, E> Handling<'a, S, E> {
    /// Takes what is cached of the streams, and reads the others.
    async fn begin<R>(shared: &'a Shared<S, E, R>, request: &'a RequestAll) -> Result<Self, ExecuteAllError<R>> {
        let memory = &shared.memory;
        let cached = join_all(request.streams.iter().map(|stream| shared.cached(stream))).await;
        let unknown: Vec<StreamId> =
            request.streams.iter().zip(&cached).filter(|(_, known)| known.is_none()).map(|(s, _)| s.clone()).collect();
        let known = request
            .streams
            .iter()
            .zip(cached)
            .map(|(stream, known)| Part { known: known.unwrap_or_else(|| memory.nothing(stream)), compared_to: 0 });
        let mut handling = Self {
            memory,
            request,
            bound: bind(&request.envelope, request.streams.iter()),
            streams: known.collect(),
            found: Vec::new(),
            reused: false,
            lost_races: 0,
        };
        handling.read(&unknown, Consistency::Eventual).await?;
        Ok(handling)
    }

    fn states(&self) -> Vec<&S> {
        self.streams.iter().map(|part| &part.known.state).collect()
    }

    /// The first stream that is not at the version that the caller expects.
    fn unexpected<R>(&self) -> Option<ExecuteAllError<R>> {
        self.streams.iter().zip(&self.request.expected_versions).find_map(|(part, expected)| {
            let (stream, actual) = (part.known.head.stream(), part.known.head.version());
            let expected = expected.filter(|expected| *expected != actual)?;
            Some(ExecuteAllError::VersionMismatch { stream: stream.clone(), expected, actual })
        })
    }

    /// Reads what stands behind the heads of the streams.
    async fn read<R>(&mut self, streams: &[StreamId], consistency: Consistency) -> Result<(), ExecuteAllError<R>> {
        let memory = self.memory;
        let parts = self.streams.iter_mut().filter(|part| streams.contains(part.known.head.stream()));
        let reads = parts.map(|part| async move {
            let nothing = memory.nothing(part.known.head.stream());
            let recalled = memory.recall(std::mem::replace(&mut part.known, nothing), consistency).await?;
            part.known = recalled.known;
            Ok::<_, RecallError>(recalled.folded)
        });
        let read = try_join_all(reads).await?;
        self.compare(read.iter().flatten());
        Ok(())
    }

    /// Goes on by the batches of any of the streams, which are checked to follow.
    fn absorb<R>(&mut self, batches: &[Batch]) -> Result<(), ExecuteAllError<R>> {
        for batch in batches {
            for part in self.streams.iter_mut().filter(|part| *part.known.head.stream() == batch.stream) {
                self.memory.absorb(&mut part.known, batch)?;
            }
        }
        self.compare(batches.iter());
        Ok(())
    }

    /// Compares the commits of batches with the command.
    fn compare<'b>(&mut self, batches: impl Iterator<Item = &'b Batch>) {
        for batch in batches {
            for commit in &batch.commits {
                self.note(&batch.stream, commit);
            }
            let mut parts = self.streams.iter_mut().filter(|part| *part.known.head.stream() == batch.stream);
            if let Some(part) = parts.find(|part| batch.version() == part.compared_to + 1) {
                part.compared_to = batch.last_version();
            }
        }
    }

    fn note(&mut self, stream: &StreamId, commit: &Commit) {
        let known = self.found.iter().any(|part| part.head.stream == *stream);
        if !known && is_of(commit, &self.bound) {
            self.found.push(AppendedPart::new(stream, commit.clone()));
        }
        self.reused |= commit.envelope.command_id == self.bound.command_id;
    }

    /// Looks for the command among the commits that were not compared with it.
    async fn look_up<R>(&mut self) -> Result<(), ExecuteAllError<R>> {
        let (store, command) = (&self.memory.store, &self.bound.command_id);
        let finds = self.streams.iter().map(|part| async move {
            let (stream, down_to) = (part.known.head.stream(), part.compared_to);
            let lookup = part.known.ids.look_up(stream, command).behind(down_to);
            store.find_commit(FindCommit { stream, command, lookup, down_to }).await
        });
        let commits = try_join_all(finds).await.map_err(AppendAllError::from)?;
        for (index, commit) in commits.into_iter().enumerate() {
            let Some(part) = self.streams.get_mut(index) else { continue };
            part.compared_to = part.known.head.version();
            let stream = part.known.head.stream().clone();
            if let Some(commit) = commit {
                self.note(&stream, &commit);
            }
        }
        Ok(())
    }

    /// Whether this command's own commit was met; an error if its id was met on another's.
    fn is_recorded(&self) -> Result<bool, AppendAllError> {
        if self.found.is_empty() && self.reused {
            return Err(AppendAllError::CommandIdReused(self.bound.command_id.clone()));
        }
        Ok(!self.found.is_empty())
    }

    /// The recorded result: where a stream's commit was not met, it is looked for from the stream's end.
    async fn recorded<R>(self) -> Result<HandledAll, ExecuteAllError<R>> {
        let Self { memory, request, bound, found, lost_races, .. } = self;
        let recorded = memory.store.recorded(&request.streams, &bound, found, Usage::default()).await?;
        Ok(HandledAll { parts: recorded.parts, replayed: true, lost_races, usage: Usage::default() })
    }

    /// Appends the decision, and writes the snapshots that are due beside it. The inner error may be a lost race.
    async fn append<R>(
        &mut self,
        decided: &[Vec<E>],
    ) -> Result<Result<AppendedAll, AppendAllError>, ExecuteAllError<R>> {
        let (parts, unmoved) = self.parts(decided)?;
        let written = self.streams.iter_mut().zip(decided).filter(|(_, events)| !events.is_empty());
        let due: Vec<_> = written.filter_map(|(part, _)| self.memory.due_snapshot(&mut part.known)).collect();
        let store = &self.memory.store;
        let append = store.transact(&self.request.envelope, parts, &unmoved);
        let (appended, sizes) = store.beside_snapshots(&due, append).await;
        for ((snapshot, _), bytes) in due.iter().zip(sizes) {
            let mut parts = self.streams.iter_mut().map(|part| &mut part.known);
            if let Some((known, bytes)) = parts.find(|it| it.head.stream == snapshot.head.stream).zip(bytes) {
                known.since.wrote_snapshot(bytes);
            }
        }
        Ok(appended)
    }

    /// The decision as parts, and the ends of the streams that it leaves alone: all of them where it decides nothing.
    fn parts<R>(&self, decided: &[Vec<E>]) -> Result<(Vec<append_all::Part>, Vec<Head>), ExecuteAllError<R>> {
        let (mut parts, mut unmoved) = (Vec::new(), Vec::new());
        if !decided.is_empty() && decided.len() != self.streams.len() {
            return Err(ExecuteAllError::Misshapen { decided: decided.len(), addressed: self.streams.len() });
        }
        let none = std::iter::repeat(&[][..]);
        for (part, events) in self.streams.iter().zip(decided.iter().map(Vec::as_slice).chain(none)) {
            let head = part.known.head.clone();
            match events {
                [] => unmoved.push(head),
                events => {
                    let events = events.iter().map(|event| self.memory.model.write(event)).collect::<Result<_, _>>()?;
                    parts.push(append_all::Part { head, events });
                }
            }
        }
        Ok((parts, unmoved))
    }

    /// Makes known what was written.
    fn settle(&mut self, decided: &[Vec<E>], appended: &AppendedAll) {
        for written in &appended.parts {
            let mut parts = self.streams.iter_mut().zip(decided);
            let Some((part, events)) = parts.find(|(part, _)| part.known.head.stream == written.head.stream) else {
                continue;
            };
            let (memory, known) = (self.memory, &mut part.known);
            let state = std::mem::replace(&mut known.state, (memory.model.initial)());
            known.state = memory.evolve(state, events);
            known.head = written.head.clone();
            known.ids.push(&written.commit);
            known.ids.keep(memory.options.ids_in_memory());
            known.since.put(written.bytes);
        }
    }

    /// Leaves what is known of the streams for the next commands.
    fn remember<R>(&mut self, shared: &Shared<S, E, R>) {
        for part in self.streams.drain(..) {
            shared.cache(part.known);
        }
    }

    fn handled(&self, parts: Vec<AppendedPart>, replayed: bool) -> HandledAll {
        HandledAll { parts, replayed, lost_races: self.lost_races, usage: Usage::default() }
    }

    /// Takes over what a refused append brought back, and tells which streams refused it.
    fn learn<R>(&mut self, error: AppendAllError) -> Result<Vec<StreamId>, ExecuteAllError<R>> {
        self.lost_races += 1;
        if let AppendAllError::Conflict { winners, .. } = error {
            self.absorb(&winners)?;
            return Ok(winners.into_iter().map(|batch| batch.stream).collect());
        }
        if let AppendAllError::TransactionConflict { streams, .. } = error {
            return Ok(streams);
        }
        Err(error.into())
    }

    /// After a second loss in a row: waits a moment and reads what else was put behind the streams that refused.
    async fn catch_up<R>(&mut self, refused: &[StreamId]) -> Result<(), ExecuteAllError<R>> {
        if self.lost_races < LOSSES_BEFORE_READ || !self.found.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(pause(self.lost_races - LOSSES_BEFORE_READ)).await;
        self.read(refused, Consistency::Strong).await
    }
}

impl<R> From<RecallError> for ExecuteAllError<R> {
    fn from(error: RecallError) -> Self {
        match error {
            RecallError::Read(error) => Self::Append(error.into()),
            RecallError::Unreadable(error) => Self::Unreadable(error),
        }
    }
}
