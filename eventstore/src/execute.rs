//! Handling a command: load, fold, decide, append, and mend a lost race.

use crate::append::{AppendError, FromTheFuture};
use crate::codec::{CodecError, Model};
use crate::commit::NewCommit;
use crate::fault::Fault;
use crate::load::{Consistency, Loaded, ReadError};
use crate::usage::Usage;
use crate::{Batch, Commit, Damaged, Envelope, EventStore, Head, Id, StreamId, TooLarge};
use std::time::Duration;

/// Losing this often in a row makes the loop read the stream's tail instead of guessing on.
const LOSSES_BEFORE_READ: u32 = 2;
/// The first pause after a lost race; it doubles up to the longest, and half of it is chance.
const FIRST_PAUSE_MS: u64 = 2;
const LONGEST_PAUSE_MS: u64 = 200;

/// A command for one stream, but for what it decides.
#[derive(Debug, Clone)]
pub struct Request {
    /// The stream that it addresses.
    pub stream: StreamId,
    /// Who, why, and its id.
    pub envelope: Envelope,
    /// The version at which the caller knows the stream: elsewhere, nothing is written.
    pub expected_version: Option<u64>,
    /// Whether the command can only start a stream: then nothing is read first.
    pub creates: bool,
}

/// A command that was handled.
#[derive(Debug, Clone)]
pub struct Handled {
    /// What was recorded for it; nothing when there was nothing to do.
    pub commit: Option<Commit>,
    /// The version of the stream behind the commit, or of its head when there was nothing to do.
    pub version: u64,
    /// Whether it had been handled before, and this is the recorded result.
    pub replayed: bool,
    /// How often a quicker command for the stream made it decide again.
    pub lost_races: u32,
    /// What it cost.
    pub usage: Usage,
}

/// Why a command was not handled.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError<R> {
    /// The model refused it: an answer, not a failure. Final, for it was decided on a consistent read.
    #[error("refused")]
    Refused(R),
    /// The id was used for another command on this stream.
    #[error("command id {0} was used for another command on this stream")]
    CommandIdReused(Id),
    /// The stream is not at the version that the caller expects.
    #[error("the stream is at version {actual}, not at {expected}")]
    VersionMismatch {
        /// What the caller expects.
        expected: u64,
        /// Where the stream is.
        actual: u64,
    },
    /// The command id's own time lies too far ahead.
    #[error(transparent)]
    FromTheFuture(#[from] FromTheFuture),
    /// Quicker commands won every time: try again later.
    #[error("{attempts} attempts lost to other commands on the stream")]
    Contention {
        /// How often it was tried.
        attempts: u32,
    },
    /// What it decided cannot fit.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The stream has reached the largest version.
    #[error("the stream is full")]
    StreamFull,
    /// The stream is not as the store wrote it.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// An event of the stream, or of the decision, cannot be translated.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// DynamoDB did not do it, or did not say that it did. Sending the command again is safe.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What is known of the stream while a command is handled.
struct Known<S> {
    head: Head,
    state: S,
    /// Whether it is all that was there when the last read began.
    consistent: bool,
    /// The commit of this very command, if it was met.
    recorded: Option<Commit>,
}

/// The model's answer, and whether it may be given on what is known.
enum Step<E> {
    Write(Vec<E>),
    Done(Box<Handled>),
    ReadAgain,
}

impl EventStore {
    /// Handles a command once, however often it is sent.
    ///
    /// The same id with the same fingerprint gets the recorded result; with another it is refused. What recorded nothing
    /// (a refusal, or nothing to do) is decided again when it is sent again. A refusal, a version
    /// mismatch and "nothing to do" are only given on a consistent read. A lost race is mended from the batch that won.
    ///
    /// # Errors
    /// [`ExecuteError`]; nothing is written, but that after any [`Fault`] it may have been (an earlier try of the
    /// SDK): send it again with the same id.
    pub async fn execute<S, E, R>(
        &self,
        request: &Request,
        model: &Model<S, E>,
        decide: impl Fn(&S) -> Result<Vec<E>, R>,
    ) -> Result<Handled, ExecuteError<R>> {
        self.check_time(&request.envelope.command_id)?;
        let mut usage = Usage::default();
        let mut known = Known::empty(request, model);
        if !request.creates {
            known = self.know(request, model, Consistency::Eventual, &mut usage).await?;
        }
        let mut losses = 0;
        loop {
            let events = match known.step(request, &decide)? {
                Step::Done(handled) => return Ok(Handled { lost_races: losses, usage, ..*handled }),
                Step::ReadAgain => {
                    known = self.know(request, model, Consistency::Strong, &mut usage).await?;
                    continue;
                }
                // Asked only now: the commit that won the last race may be this command's own.
                Step::Write(_) if losses >= self.options.max_attempts => {
                    return Err(ExecuteError::Contention { attempts: losses });
                }
                Step::Write(events) => events,
            };
            match self.append(&known.head, vec![new_commit(request, model, &events)?]).await {
                Ok(appended) => {
                    usage += appended.usage;
                    let handled = handled(appended.batch.commits, losses, usage);
                    return Ok(Handled { replayed: appended.repeated, ..handled });
                }
                Err(AppendError::Conflict { winner, usage: cost }) => {
                    usage += cost;
                    known = known.absorb(request, model, &[*winner])?;
                    known.consistent = false;
                }
                Err(AppendError::TransactionConflict) => {}
                Err(error) => return Err(error.into()),
            }
            losses += 1;
            known = self.catch_up(known, losses, request, model, &mut usage).await?;
        }
    }

    /// Reads the whole stream.
    async fn know<S, E, R>(
        &self,
        request: &Request,
        model: &Model<S, E>,
        consistency: Consistency,
        usage: &mut Usage,
    ) -> Result<Known<S>, ExecuteError<R>> {
        let Loaded { batches, usage: cost, .. } = self.load(&request.stream, consistency).await?;
        *usage += cost;
        let mut known = Known::empty(request, model).absorb(request, model, &batches)?;
        known.consistent = consistency == Consistency::Strong;
        Ok(known)
    }

    /// After a second loss in a row: waits a moment and reads what else was put behind.
    async fn catch_up<S, E, R>(
        &self,
        known: Known<S>,
        losses: u32,
        request: &Request,
        model: &Model<S, E>,
        usage: &mut Usage,
    ) -> Result<Known<S>, ExecuteError<R>> {
        if losses < LOSSES_BEFORE_READ || known.recorded.is_some() {
            return Ok(known);
        }
        tokio::time::sleep(pause(losses - LOSSES_BEFORE_READ)).await;
        let Loaded { batches, usage: cost, .. } = self.load_after(&known.head, Consistency::Strong).await?;
        *usage += cost;
        let mut known = known.absorb(request, model, &batches)?;
        known.consistent = true;
        Ok(known)
    }
}

impl<S> Known<S> {
    fn empty<E>(request: &Request, model: &Model<S, E>) -> Self {
        Self { head: Head::empty(&request.stream), state: (model.initial)(), consistent: false, recorded: None }
    }

    /// Goes on by the batches, which are checked to follow.
    fn absorb<E, R>(
        mut self,
        request: &Request,
        model: &Model<S, E>,
        batches: &[Batch],
    ) -> Result<Self, ExecuteError<R>> {
        for commit in batches.iter().flat_map(|batch| &batch.commits) {
            self.head = self.head.then(commit)?;
            if commit.envelope.command_id == request.envelope.command_id {
                self.recorded = Some(commit.clone());
            }
            for event in &commit.events {
                self.state = (model.evolve)(self.state, &(model.decode)(&event.body)?);
            }
        }
        Ok(self)
    }

    /// What to do on what is known.
    fn step<E, R>(
        &self,
        request: &Request,
        decide: impl Fn(&S) -> Result<Vec<E>, R>,
    ) -> Result<Step<E>, ExecuteError<R>> {
        if let Some(commit) = &self.recorded {
            return replay(request, commit).map(|handled| Step::Done(Box::new(handled)));
        }
        let actual = self.head.version;
        let answer = match request.expected_version {
            Some(expected) if expected != actual => Err(ExecuteError::VersionMismatch { expected, actual }),
            _ => decide(&self.state).map_err(ExecuteError::Refused),
        };
        match answer {
            Ok(events) if !events.is_empty() => Ok(Step::Write(events)),
            _ if !self.consistent => Ok(Step::ReadAgain),
            Ok(_) => Ok(Step::Done(Box::new(nothing_to_do(actual)))),
            Err(refusal) => Err(refusal),
        }
    }
}

/// The recorded result of a command that was handled before.
fn replay<R>(request: &Request, commit: &Commit) -> Result<Handled, ExecuteError<R>> {
    if commit.envelope.fingerprint != request.envelope.fingerprint {
        return Err(ExecuteError::CommandIdReused(request.envelope.command_id.clone()));
    }
    let version = commit.last_version();
    let usage = Usage::default();
    Ok(Handled { commit: Some(commit.clone()), version, replayed: true, lost_races: 0, usage })
}

fn nothing_to_do(version: u64) -> Handled {
    Handled { commit: None, version, replayed: false, lost_races: 0, usage: Usage::default() }
}

fn handled(commits: Vec<Commit>, lost_races: u32, usage: Usage) -> Handled {
    let commit = commits.into_iter().next_back();
    let version = commit.as_ref().map_or(0, Commit::last_version);
    Handled { commit, version, replayed: false, lost_races, usage }
}

fn new_commit<S, E>(request: &Request, model: &Model<S, E>, events: &[E]) -> Result<NewCommit, CodecError> {
    let events = events.iter().map(model.encode).collect::<Result<_, _>>()?;
    Ok(NewCommit { envelope: request.envelope.clone(), events })
}

/// Doubling, half of it by chance, so that writers who lost together do not meet again.
pub(crate) fn pause(doublings: u32) -> Duration {
    let longest = FIRST_PAUSE_MS.saturating_mul(2_u64.saturating_pow(doublings)).min(LONGEST_PAUSE_MS);
    Duration::from_millis(longest / 2 + fastrand::u64(0..=longest / 2))
}

impl<R> From<AppendError> for ExecuteError<R> {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::TooLarge(error) => Self::TooLarge(error),
            AppendError::StreamFull => Self::StreamFull,
            AppendError::FromTheFuture(error) => Self::FromTheFuture(error),
            AppendError::Damaged(error) => Self::Damaged(error),
            AppendError::Fault(fault) => Self::Fault(fault),
            // The loop mends conflicts itself and never appends nothing.
            AppendError::Conflict { .. } | AppendError::TransactionConflict | AppendError::Empty => {
                Self::Contention { attempts: 1 }
            }
        }
    }
}

impl<R> From<ReadError> for ExecuteError<R> {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damaged(damaged) => Self::Damaged(damaged),
            ReadError::Fault(fault) => Self::Fault(fault),
        }
    }
}
