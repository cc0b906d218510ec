//! Decides queued commands in order against the cached state. Writes nothing.

use super::cached_stream::CachedStream;
use super::request::{CommandResult, ExecuteError};
use super::stream_loader::StreamLoader;
use super::stream_queue::{CommandAnswer, QueueDrain, QueuedCommand};
use crate::{Appended, Commit, NewCommit};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The commits to put in one group commit, and the outcome of each queued command.
pub(crate) struct Decisions<S, E, R> {
    outcomes: Vec<CommandOutcome<R>>,
    pub(crate) commits: Vec<NewCommit>,
    /// The model's events of each commit. They stay here when `commits` is taken for the put. A
    /// recorded refusal has none.
    events: Vec<Vec<E>>,
    /// The state after the first `folded` commits, if a later command needed it.
    state_ahead: Option<S>,
    folded: usize,
    /// The version after all commits.
    version: u64,
}

/// The outcome of one command.
enum CommandOutcome<R> {
    /// The command writes the commit of this index.
    Write(usize),
    /// The command has the same id as the one that writes this commit.
    Duplicate(usize),
    /// A refusal, a version mismatch, a no-op or an unencodable event. True only if the cached head
    /// is the end of the stream.
    Tentative(Box<Result<CommandResult, ExecuteError<R>>>),
    /// Holds for any end of the stream.
    Final(CommandAnswer<R>),
}

impl<S: Clone, E, R> Decisions<S, E, R> {
    pub(crate) fn make(
        loader: &StreamLoader<S, E>,
        cached: &CachedStream<S>,
        drain: &QueueDrain<'_, S, E, R>,
    ) -> Self {
        let version = cached.head.version();
        let (outcomes, commits, events) = (Vec::new(), Vec::new(), Vec::new());
        let mut decisions =
            Self { outcomes, commits, events, state_ahead: None, folded: 0, version };
        for queued in &drain.commands {
            let outcome = decisions.outcome(loader, cached, queued);
            decisions.outcomes.push(outcome);
        }
        decisions
    }

    fn outcome(
        &mut self,
        loader: &StreamLoader<S, E>,
        cached: &CachedStream<S>,
        queued: &QueuedCommand<S, E, R>,
    ) -> CommandOutcome<R> {
        let metadata = &queued.request.metadata;
        if let Some(commit) = &queued.found {
            return queued.request.replay(commit.clone()).into();
        }
        let twin = self
            .commits
            .iter()
            .position(|commit| commit.metadata.command_id == metadata.command_id);
        if let Some(index) = twin {
            return CommandOutcome::Duplicate(index);
        }
        let actual = self.version;
        if let Some(expected) =
            queued.request.expected_version.filter(|expected| *expected != actual)
        {
            return tentative(Err(ExecuteError::VersionMismatch { expected, actual }));
        }
        self.fold(loader, cached);
        let state = self.state_ahead.as_ref().unwrap_or(&cached.state);
        let decided =
            catch_unwind(AssertUnwindSafe(|| match ((queued.decide)(state), &queued.refusals) {
                (Ok(events), _) => {
                    let encoded = events
                        .iter()
                        .map(|event| loader.model.write(event))
                        .collect::<Result<Vec<_>, _>>()?;
                    Ok((events, encoded))
                }
                (Err(refusal), Some(codec)) => Ok((Vec::new(), vec![codec.encode(&refusal)?])),
                (Err(refusal), None) => Err(ExecuteError::Refused(refusal)),
            }));
        match decided {
            Err(panic) => CommandOutcome::Final(CommandAnswer::Panicked(panic)),
            Ok(Err(error)) => tentative(Err(error)),
            Ok(Ok((_, encoded))) if encoded.is_empty() => {
                tentative(Ok(CommandResult::no_op(actual)))
            }
            Ok(Ok((events, encoded))) => {
                self.write(NewCommit { metadata: metadata.clone(), events: encoded }, events)
            }
        }
    }

    fn write(&mut self, commit: NewCommit, events: Vec<E>) -> CommandOutcome<R> {
        self.version += u64::try_from(commit.events.len()).unwrap_or(u64::MAX);
        self.commits.push(commit);
        self.events.push(events);
        CommandOutcome::Write(self.commits.len() - 1)
    }

    /// Folds the events of all commits so far into the state.
    fn fold(&mut self, loader: &StreamLoader<S, E>, cached: &CachedStream<S>) {
        let new = self.events.get(self.folded..).unwrap_or_default();
        if !new.is_empty() {
            let state = self.state_ahead.take().unwrap_or_else(|| cached.state.clone());
            self.state_ahead =
                Some(new.iter().fold(state, |state, events| loader.evolve(state, events)));
            self.folded = self.events.len();
        }
    }

    /// Whether some outcomes depend on the cached head being the end of the stream.
    pub(crate) fn is_tentative(&self) -> bool {
        self.outcomes.iter().any(|outcome| matches!(outcome, CommandOutcome::Tentative(_)))
    }

    /// The index of the first command that writes.
    pub(crate) fn first_writer(&self) -> Option<usize> {
        self.writer(0)
    }

    /// The number of commands that write the first half of the commits. None for a single commit.
    pub(crate) fn half(&self) -> Option<usize> {
        if self.events.len() > 1 { self.writer(self.events.len() / 2) } else { None }
    }

    fn writer(&self, commit: usize) -> Option<usize> {
        self.outcomes
            .iter()
            .position(|outcome| matches!(outcome, CommandOutcome::Write(index) if *index == commit))
    }

    /// The answers, after the commits were written or if there were none.
    pub(crate) fn answers(
        &mut self,
        commands: &[QueuedCommand<S, E, R>],
        commits: &[Commit],
    ) -> Vec<CommandAnswer<R>> {
        let recorded = |index: usize| commits.get(index).cloned();
        let unwritten = || ExecuteError::Contention { attempts: 0 };
        let answers =
            self.outcomes.drain(..).zip(commands).map(|(outcome, queued)| match outcome {
                CommandOutcome::Final(answer) => answer,
                CommandOutcome::Tentative(result) => CommandAnswer::Result(result),
                CommandOutcome::Write(index) => CommandAnswer::Result(Box::new(
                    recorded(index).map(CommandResult::recorded).ok_or_else(unwritten),
                )),
                CommandOutcome::Duplicate(index) => CommandAnswer::Result(Box::new(
                    recorded(index)
                        .ok_or_else(unwritten)
                        .and_then(|commit| queued.request.replay(commit)),
                )),
            });
        answers.collect()
    }

    /// Applies the written commits to the cached stream.
    pub(crate) fn apply_written(
        self,
        loader: &StreamLoader<S, E>,
        cached: &mut CachedStream<S>,
        appended: &Appended,
    ) {
        let base = std::mem::replace(&mut cached.state, (loader.model.initial)());
        let rest = self.events.get(self.folded..).unwrap_or_default();
        cached.state = rest
            .iter()
            .fold(self.state_ahead.unwrap_or(base), |state, events| loader.evolve(state, events));
        cached.head = appended.head.clone();
        for commit in &appended.batch.commits {
            cached.ids.push(commit);
        }
        cached.ids.trim(loader.options.ids_in_memory());
        cached.snapshot_debt.put(appended.bytes);
    }
}

fn tentative<R>(result: Result<CommandResult, ExecuteError<R>>) -> CommandOutcome<R> {
    CommandOutcome::Tentative(Box::new(result))
}

impl<R> From<Result<CommandResult, ExecuteError<R>>> for CommandOutcome<R> {
    fn from(result: Result<CommandResult, ExecuteError<R>>) -> Self {
        Self::Final(CommandAnswer::Result(Box::new(result)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> CommandOutcome<()> {
        tentative(Err(ExecuteError::Refused(())))
    }

    fn decisions(outcomes: Vec<CommandOutcome<()>>, commits: usize) -> Decisions<(), (), ()> {
        let events = vec![vec![()]; commits];
        Decisions {
            outcomes,
            commits: Vec::new(),
            events,
            state_ahead: None,
            folded: 0,
            version: 9,
        }
    }

    /// Only a command that writes can be too large. Other commands of the group are not rejected.
    #[test]
    fn the_first_writer_is_the_first_command_that_writes() {
        let outcomes =
            vec![refused(), refused(), CommandOutcome::Write(0), CommandOutcome::Duplicate(0)];
        assert_eq!(decisions(outcomes, 1).first_writer(), Some(2));
        assert_eq!(decisions(vec![refused()], 0).first_writer(), None);
    }

    #[test]
    fn half_is_counted_in_commits_and_told_in_commands() {
        let write = CommandOutcome::Write;
        let outcomes = vec![
            refused(),
            write(0),
            CommandOutcome::Duplicate(0),
            write(1),
            refused(),
            write(2),
            write(3),
        ];
        assert_eq!(decisions(outcomes, 4).half(), Some(5));
        assert_eq!(decisions(vec![refused(), write(0), write(1)], 2).half(), Some(2));
        assert_eq!(decisions(vec![write(0), refused()], 1).half(), None, "one commit has no half");
    }
}
