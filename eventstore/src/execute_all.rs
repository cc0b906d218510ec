//! Handling a command over several streams of one kind: load, fold, decide, append to all, and mend a lost race.

use crate::append_all::{AppendAllError, AppendedAll, AppendedPart, Part};
use crate::codec::{CodecError, Model, Unreadable};
use crate::load::Consistency;
use crate::round::pause;
use crate::transaction::{bind, check_streams, is_of};
use crate::usage::Usage;
use crate::{Batch, Envelope, EventStore, Head, StreamId};
use futures::future::try_join_all;

/// Losing this often in a row makes the loop wait a moment and read what else was put behind the refused streams.
const LOSSES_BEFORE_READ: u32 = 2;

/// A command for several streams, but for what it decides.
#[derive(Debug, Clone)]
pub struct RequestAll {
    /// The streams that it addresses, each once, at most [`MAX_STREAMS`](crate::MAX_STREAMS).
    pub streams: Vec<StreamId>,
    /// Who, why, and its id.
    pub envelope: Envelope,
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
    #[error("refused")]
    Refused(R),
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

/// What is known of one of the streams.
struct Known<S> {
    head: Head,
    state: S,
}

/// A command while it is handled.
struct Handling<'a, S, E> {
    store: &'a EventStore,
    request: &'a RequestAll,
    model: &'a Model<S, E>,
    /// The envelope as it is stored.
    bound: Envelope,
    /// In the order of the command's streams.
    known: Vec<Known<S>>,
    /// The commits of this very command that were met.
    found: Vec<AppendedPart>,
    /// Whether its id was met on a commit that asked for something else.
    reused: bool,
    lost_races: u32,
    usage: Usage,
}

impl EventStore {
    /// Handles a command over several streams once, however often it is sent: all that it decides is written, or nothing.
    ///
    /// `decide` is given the states of the streams, in their order, and answers with a list of events for each, or with no
    /// list at all when there is nothing to do. A stream
    /// without events is not written to, but must not have gone on: what was decided holds for all states **at one
    /// moment**. So do a refusal and "nothing to do", which a transaction of checks alone confirms.
    ///
    /// # A command is handled once
    /// Each stream is known from its first event on, and its head moves only over commits that were looked at; so a
    /// recorded commit of this command either was met, or stands behind its stream's head. There the append, which puts or
    /// checks something behind **every** head, is refused by it or by what stands before it. Finding it in one stream is
    /// finding it in all ([`EventStore::append_all`]). No read has to be consistent for that.
    ///
    /// # Errors
    /// [`ExecuteAllError`]; nothing is written, but that after any [`Fault`](crate::Fault) it may have been (an earlier
    /// try of the SDK): send it again with the same id.
    pub async fn execute_all<S, E, R>(
        &self,
        request: &RequestAll,
        model: &Model<S, E>,
        decide: impl Fn(&[&S]) -> Result<Vec<Vec<E>>, R>,
    ) -> Result<HandledAll, ExecuteAllError<R>> {
        check_streams(request.streams.iter())?;
        let mut handling = Handling::new(self, request, model);
        handling.read(&request.streams, Consistency::Eventual).await?;
        loop {
            if handling.is_recorded()? {
                return handling.recorded().await;
            }
            // Asked only now: the commit that won the last race may be this command's own.
            if handling.lost_races >= self.options.max_attempts {
                return Err(ExecuteAllError::Contention { attempts: handling.lost_races });
            }
            let decided = decide(&handling.states());
            let (parts, unmoved) = handling.parts(decided.as_deref().unwrap_or_default())?;
            let refused = match self.transact(&request.envelope, parts, &unmoved).await {
                Ok(appended) => return handling.answer(decided, appended),
                Err(error) => handling.learn(error)?,
            };
            handling.catch_up(&refused).await?;
        }
    }
}

impl<'a, S, E> Handling<'a, S, E> {
    fn new(store: &'a EventStore, request: &'a RequestAll, model: &'a Model<S, E>) -> Self {
        let empty = |stream| Known { head: Head::empty(stream), state: (model.initial)() };
        Self {
            store,
            request,
            model,
            bound: bind(&request.envelope, request.streams.iter()),
            known: request.streams.iter().map(empty).collect(),
            found: Vec::new(),
            reused: false,
            lost_races: 0,
            usage: Usage::default(),
        }
    }

    fn states(&self) -> Vec<&S> {
        self.known.iter().map(|known| &known.state).collect()
    }

    /// Reads what stands behind the heads of the streams.
    async fn read<R>(&mut self, streams: &[StreamId], consistency: Consistency) -> Result<(), ExecuteAllError<R>> {
        let heads = self.known.iter().map(|known| &known.head).filter(|head| streams.contains(head.stream()));
        let loads = heads.map(|head| self.store.load_after(head, consistency));
        let mut batches = Vec::new();
        for loaded in try_join_all(loads).await.map_err(AppendAllError::from)? {
            self.usage += loaded.usage;
            batches.extend(loaded.batches);
        }
        self.absorb(&batches)
    }

    /// Goes on by the batches of any of the streams, which are checked to follow.
    fn absorb<R>(&mut self, batches: &[Batch]) -> Result<(), ExecuteAllError<R>> {
        let known = std::mem::take(&mut self.known);
        for Known { mut head, mut state } in known {
            let stream = head.stream.clone();
            let of_stream = batches.iter().filter(|batch| batch.stream == stream);
            for commit in of_stream.flat_map(|batch| &batch.commits) {
                head = head.then(commit).map_err(AppendAllError::from)?;
                if is_of(commit, &self.bound) {
                    self.found.push(AppendedPart::new(&stream, commit.clone()));
                }
                self.reused |= commit.envelope.command_id == self.bound.command_id;
                for event in &commit.events {
                    state = (self.model.evolve)(state, &self.model.read(&stream, event)?);
                }
            }
            self.known.push(Known { head, state });
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

    /// The recorded result: what was not met so far stands behind the heads, but where a stream stood still.
    async fn recorded<R>(mut self) -> Result<HandledAll, ExecuteAllError<R>> {
        let met = |stream: &&StreamId| self.found.iter().any(|part| part.head.stream == **stream);
        let missing: Vec<StreamId> = self.request.streams.iter().filter(|stream| !met(stream)).cloned().collect();
        self.read(&missing, Consistency::Strong).await?;
        let place = |part: &AppendedPart| self.request.streams.iter().position(|stream| *stream == part.head.stream);
        self.found.sort_by_key(place);
        Ok(HandledAll { parts: self.found, replayed: true, lost_races: self.lost_races, usage: self.usage })
    }

    /// The decision as parts, and the ends of the streams that it leaves alone: all of them where it decides nothing.
    fn parts<R>(&self, decided: &[Vec<E>]) -> Result<(Vec<Part>, Vec<Head>), ExecuteAllError<R>> {
        let (mut parts, mut unmoved) = (Vec::new(), Vec::new());
        if !decided.is_empty() && decided.len() != self.known.len() {
            return Err(ExecuteAllError::Misshapen { decided: decided.len(), addressed: self.known.len() });
        }
        let none = std::iter::repeat(&[][..]);
        for (known, events) in self.known.iter().zip(decided.iter().map(Vec::as_slice).chain(none)) {
            let head = known.head.clone();
            match events {
                [] => unmoved.push(head),
                events => {
                    let events = events.iter().map(self.model.encode).collect::<Result<_, _>>()?;
                    parts.push(Part { head, events });
                }
            }
        }
        Ok((parts, unmoved))
    }

    /// The answer on states that were all true at the moment of the transaction.
    fn answer<R>(
        mut self,
        decided: Result<Vec<Vec<E>>, R>,
        appended: AppendedAll,
    ) -> Result<HandledAll, ExecuteAllError<R>> {
        self.usage += appended.usage;
        let AppendedAll { parts, repeated: replayed, .. } = appended;
        match decided {
            Err(refusal) if !replayed => Err(ExecuteAllError::Refused(refusal)),
            _ => Ok(HandledAll { parts, replayed, lost_races: self.lost_races, usage: self.usage }),
        }
    }

    /// Takes over what a refused append brought back, and tells which streams refused it.
    fn learn<R>(&mut self, error: AppendAllError) -> Result<Vec<StreamId>, ExecuteAllError<R>> {
        self.lost_races += 1;
        if let AppendAllError::Conflict { winners, usage } = error {
            self.usage += usage;
            self.absorb(&winners)?;
            return Ok(winners.into_iter().map(|batch| batch.stream).collect());
        }
        if let AppendAllError::TransactionConflict { streams, usage } = error {
            self.usage += usage;
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
