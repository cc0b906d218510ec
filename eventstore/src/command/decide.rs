//! What the commands of a round come to on what is known: decided one after the other, nothing written yet.

use crate::command::request::{ExecuteError, Handled};
use crate::command::stream_loader::{Known, Memory};
use crate::command::stream_queue::{Answer, Job, Taken};
use crate::log::append::Appended;
use crate::{Commit, NewCommit};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Commits to be put together, and the answers that depend on it.
pub(crate) struct Plan<S, E, R> {
    outcomes: Vec<Outcome<R>>,
    pub(crate) commits: Vec<NewCommit>,
    /// The model's events of each of them, which stay when the commits are taken to be put; none of a recorded refusal.
    events: Vec<Vec<E>>,
    /// The state after the first so many commits, where a later command needed it.
    ahead: Option<S>,
    folded: usize,
    /// The version behind all commits.
    version: u64,
}

/// What a command comes to.
enum Outcome<R> {
    /// It is the commit of this index,
    Write(usize),
    /// or the same command as that one, sent twice.
    Twin(usize),
    /// True only if the known head is the stream's end: a refusal, another version, nothing to do, events without a form.
    Tentative(Box<Result<Handled, ExecuteError<R>>>),
    /// True in any case.
    Final(Answer<R>),
}

impl<S: Clone, E, R> Plan<S, E, R> {
    pub(crate) fn make(memory: &Memory<S, E>, known: &Known<S>, taken: &Taken<'_, S, E, R>) -> Self {
        let version = known.head.version();
        let (outcomes, commits, events) = (Vec::new(), Vec::new(), Vec::new());
        let mut plan = Self { outcomes, commits, events, ahead: None, folded: 0, version };
        for job in &taken.jobs {
            let outcome = plan.outcome(memory, known, job);
            plan.outcomes.push(outcome);
        }
        plan
    }

    fn outcome(&mut self, memory: &Memory<S, E>, known: &Known<S>, job: &Job<S, E, R>) -> Outcome<R> {
        let envelope = &job.request.envelope;
        if let Some(commit) = &job.found {
            return job.request.replay(commit.clone()).into();
        }
        let twin = self.commits.iter().position(|commit| commit.envelope.command_id == envelope.command_id);
        if let Some(index) = twin {
            return Outcome::Twin(index);
        }
        let actual = self.version;
        if let Some(expected) = job.request.expected_version.filter(|expected| *expected != actual) {
            return tentative(Err(ExecuteError::VersionMismatch { expected, actual }));
        }
        self.fold(memory, known);
        let state = self.ahead.as_ref().unwrap_or(&known.state);
        let decided = catch_unwind(AssertUnwindSafe(|| match ((job.decide)(state), &job.refusals) {
            (Ok(events), _) => {
                let encoded = events.iter().map(|event| memory.model.write(event)).collect::<Result<Vec<_>, _>>()?;
                Ok((events, encoded))
            }
            (Err(refusal), Some(codec)) => Ok((Vec::new(), vec![codec.encode(&refusal)?])),
            (Err(refusal), None) => Err(ExecuteError::Refused(refusal)),
        }));
        match decided {
            Err(panic) => Outcome::Final(Answer::Panicked(panic)),
            Ok(Err(error)) => tentative(Err(error)),
            Ok(Ok((_, encoded))) if encoded.is_empty() => tentative(Ok(Handled::nothing_to_do(actual))),
            Ok(Ok((events, encoded))) => self.write(NewCommit { envelope: envelope.clone(), events: encoded }, events),
        }
    }

    fn write(&mut self, commit: NewCommit, events: Vec<E>) -> Outcome<R> {
        self.version += u64::try_from(commit.events.len()).unwrap_or(u64::MAX);
        self.commits.push(commit);
        self.events.push(events);
        Outcome::Write(self.commits.len() - 1)
    }

    /// Brings the state ahead up to the last commit.
    fn fold(&mut self, memory: &Memory<S, E>, known: &Known<S>) {
        let new = self.events.get(self.folded..).unwrap_or_default();
        if !new.is_empty() {
            let state = self.ahead.take().unwrap_or_else(|| known.state.clone());
            self.ahead = Some(new.iter().fold(state, |state, events| memory.evolve(state, events)));
            self.folded = self.events.len();
        }
    }

    /// Whether some answers depend on the known head being the stream's end.
    pub(crate) fn is_tentative(&self) -> bool {
        self.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Tentative(_)))
    }

    /// The index of the first command that writes.
    pub(crate) fn first_writer(&self) -> Option<usize> {
        self.writer(0)
    }

    /// How many commands to keep for half the commits, if there is more than one.
    pub(crate) fn half(&self) -> Option<usize> {
        if self.events.len() > 1 { self.writer(self.events.len() / 2) } else { None }
    }

    fn writer(&self, commit: usize) -> Option<usize> {
        self.outcomes.iter().position(|outcome| matches!(outcome, Outcome::Write(index) if *index == commit))
    }

    /// The commands' answers, now that the commits are written, or that there is none.
    pub(crate) fn answers(&mut self, jobs: &[Job<S, E, R>], commits: &[Commit]) -> Vec<Answer<R>> {
        let recorded = |index: usize| commits.get(index).cloned();
        let unwritten = || ExecuteError::Contention { attempts: 0 };
        let answers = self.outcomes.drain(..).zip(jobs).map(|(outcome, job)| match outcome {
            Outcome::Final(answer) => answer,
            Outcome::Tentative(result) => Answer::Given(result),
            Outcome::Write(index) => {
                Answer::Given(Box::new(recorded(index).map(Handled::recorded).ok_or_else(unwritten)))
            }
            Outcome::Twin(index) => Answer::Given(Box::new(
                recorded(index).ok_or_else(unwritten).and_then(|commit| job.request.replay(commit)),
            )),
        });
        answers.collect()
    }

    /// Makes known what was written.
    pub(crate) fn settle(self, memory: &Memory<S, E>, known: &mut Known<S>, appended: &Appended) {
        let base = std::mem::replace(&mut known.state, (memory.model.initial)());
        let rest = self.events.get(self.folded..).unwrap_or_default();
        known.state = rest.iter().fold(self.ahead.unwrap_or(base), |state, events| memory.evolve(state, events));
        known.head = appended.head.clone();
        for commit in &appended.batch.commits {
            known.ids.push(commit);
        }
        known.ids.keep(memory.options.ids_in_memory());
        known.since.put(appended.bytes);
    }
}

fn tentative<R>(result: Result<Handled, ExecuteError<R>>) -> Outcome<R> {
    Outcome::Tentative(Box::new(result))
}

impl<R> From<Result<Handled, ExecuteError<R>>> for Outcome<R> {
    fn from(result: Result<Handled, ExecuteError<R>>) -> Self {
        Self::Final(Answer::Given(Box::new(result)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Outcome<()> {
        tentative(Err(ExecuteError::Refused(())))
    }

    fn plan(outcomes: Vec<Outcome<()>>, commits: usize) -> Plan<(), (), ()> {
        let events = vec![vec![()]; commits];
        Plan { outcomes, commits: Vec::new(), events, ahead: None, folded: 0, version: 9 }
    }

    /// What is too large is the fault of a command that writes, and of no other that waits beside it.
    #[test]
    fn the_first_writer_is_the_first_command_that_writes() {
        let outcomes = vec![refused(), refused(), Outcome::Write(0), Outcome::Twin(0)];
        assert_eq!(plan(outcomes, 1).first_writer(), Some(2));
        assert_eq!(plan(vec![refused()], 0).first_writer(), None);
    }

    #[test]
    fn half_is_counted_in_commits_and_told_in_commands() {
        let write = Outcome::Write;
        let outcomes = vec![refused(), write(0), Outcome::Twin(0), write(1), refused(), write(2), write(3)];
        assert_eq!(plan(outcomes, 4).half(), Some(5));
        assert_eq!(plan(vec![refused(), write(0), write(1)], 2).half(), Some(2));
        assert_eq!(plan(vec![write(0), refused()], 1).half(), None, "one commit has no half");
    }
}
