//! One round of a line: the commands that wait are decided one after the other, and written by one put.

use crate::command::decide::Plan;
use crate::command::request::ExecuteError;
use crate::command::stream_loader::{Known, Memory};
use crate::command::stream_queue::{Answer, Job, Line, Taken};
use crate::dedup::{FindCommit, Lookup};
use crate::log::append::{AppendError, Appended};
use crate::log::item::{Item, item_key};
use crate::log::read::{Consistency, ReadError};
use crate::metering::meter::Books;
use crate::{Batch, Commit, Damaged, Id, NewCommit};
use std::sync::Arc;
use std::time::Duration;

/// Losing this often in a row makes a round read the stream's tail instead of guessing on.
const LOSSES_BEFORE_READ: u32 = 2;
/// The first pause after a lost race; it doubles up to the longest, and half of it is chance.
const FIRST_PAUSE_MS: u64 = 2;
const LONGEST_PAUSE_MS: u64 = 200;

/// Handles commands that wait, and leaves what is known of the stream for the next round; nothing, if it is interrupted.
pub(crate) async fn lead<S: Clone, E, R>(memory: &Memory<S, E>, line: &Line<S, E, R>, kept: &mut Option<Known<S>>) {
    let mut taken = line.take(memory.options.commands_per_put);
    let Some(first) = taken.jobs.first() else { return };
    let known = kept.take();
    let (consistent, unread) = (false, known.is_none());
    let known = known.unwrap_or_else(|| memory.nothing(&first.request.stream));
    let mut round = Round { memory, known, consistent, unread, losses: 0, books: Books::within(), older: Vec::new() };
    let ended = round.books.clone().keep(round.run(&mut taken)).await;
    if let Err(error) = ended {
        fail(&mut taken, error);
    }
    *kept = (!round.unread).then_some(round.known);
}

struct Round<'a, S, E> {
    memory: &'a Memory<S, E>,
    known: Known<S>,
    /// Whether the known head was the stream's end at some moment since the commands arrived.
    consistent: bool,
    /// Whether nothing was read of the stream so far, and the known head is only a guess, which creating commands may make.
    unread: bool,
    losses: u32,
    /// What the round costs.
    books: Arc<Books>,
    /// Batches that came with a snapshot's page, newest first: a command that comes again is often among them.
    older: Vec<Item>,
}

impl<S: Clone, E> Round<'_, S, E> {
    async fn run<R>(&mut self, taken: &mut Taken<'_, S, E, R>) -> Result<(), ExecuteError<R>> {
        if self.unread && taken.jobs.iter().any(|job| !job.request.creates) {
            self.recall(taken, Consistency::Eventual).await?;
        }
        while !taken.jobs.is_empty() {
            self.look_up(taken).await?;
            let mut plan = Plan::make(self.memory, &self.known, taken);
            let commits = std::mem::take(&mut plan.commits);
            if commits.is_empty() {
                if self.consistent || !plan.is_tentative() {
                    self.tell(taken, plan, None);
                    return Ok(());
                }
                self.recall(taken, Consistency::Strong).await?;
                continue;
            }
            // Asked only now: the commit that won the last race may be that of a command here.
            if self.losses >= self.memory.store.options.max_attempts {
                return Err(ExecuteError::Contention { attempts: self.losses });
            }
            match self.put(commits).await {
                // Another process put the very same: its commands are found in it like in any other that was quicker.
                Ok(Appended { batch, repeated: true, .. }) => self.go_on(taken, &batch)?,
                Ok(appended) => {
                    self.tell(taken, plan, Some(appended));
                    return Ok(());
                }
                Err(AppendError::Conflict { winner, .. }) => {
                    self.go_on(taken, &winner)?;
                    self.lose(taken).await?;
                }
                Err(AppendError::TransactionConflict) => self.lose(taken).await?,
                Err(AppendError::TooLarge(error)) => match plan.half() {
                    Some(keep) => taken.give_back(keep),
                    None if self.consistent => reject(taken, plan.first_writer(), error.into()),
                    // By what is there it may decide something smaller.
                    None => self.recall(taken, Consistency::Strong).await?,
                },
                Err(AppendError::FromTheFuture(error)) => {
                    let index = taken.jobs.iter().position(|job| job.request.envelope.command_id == error.command_id);
                    reject(taken, index, error.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads what is new, and compares it with the commands.
    async fn recall<R>(
        &mut self,
        taken: &mut Taken<'_, S, E, R>,
        consistency: Consistency,
    ) -> Result<(), ExecuteError<R>> {
        let nothing = self.memory.nothing(self.known.head.stream());
        let base = if self.unread { nothing } else { std::mem::replace(&mut self.known, nothing) };
        self.unread = true;
        let recalled = self.memory.recall(base, consistency).await?;
        for batch in &recalled.folded {
            meet(taken, batch);
        }
        (self.known, self.older, self.unread) = (recalled.known, recalled.older, false);
        self.consistent = consistency == Consistency::Strong;
        Ok(())
    }

    /// Folds a batch that was put by another.
    fn go_on<R>(&mut self, taken: &mut Taken<'_, S, E, R>, winner: &Batch) -> Result<(), ExecuteError<R>> {
        self.consistent = false;
        meet(taken, winner);
        let absorbed = self.memory.absorb(&mut self.known, winner);
        self.unread |= absorbed.is_err();
        Ok(absorbed?)
    }

    /// Looks further back for commands that may have been handled before all that was read.
    async fn look_up<R>(&mut self, taken: &mut Taken<'_, S, E, R>) -> Result<(), ExecuteError<R>> {
        let head = &self.known.head;
        let mut index = 0;
        while let Some(job) = taken.jobs.get_mut(index) {
            if job.found.is_none() && job.compared_to < head.version() {
                match self.find(job).await {
                    Ok(found) => (job.found, job.compared_to) = (found, head.version()),
                    // Others do not depend on that part of the stream.
                    Err(ReadError::Damaged(damaged)) => {
                        reject(taken, Some(index), damaged.into());
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            index += 1;
        }
        Ok(())
    }

    async fn find<R>(&self, job: &Job<S, E, R>) -> Result<Option<Commit>, ReadError> {
        let command = &job.request.envelope.command_id;
        let stream = self.known.head.stream();
        let lookup = self.known.ids.look_up(stream, command).behind(job.compared_to);
        if let Some(commit) = at_hand(&self.older, &lookup, command)? {
            return Ok(Some(commit));
        }
        self.memory.store.find_commit(FindCommit { stream, command, lookup, down_to: job.compared_to }).await
    }

    /// The put, and beside it that of a snapshot where one is due.
    async fn put(&mut self, commits: Vec<NewCommit>) -> Result<Appended, AppendError> {
        let store = &self.memory.store;
        let due = Vec::from_iter(self.memory.due_snapshot(&mut self.known));
        let (appended, written) = store.beside_snapshots(&due, store.append_any(&self.known.head, commits)).await;
        if let Some(bytes) = written.into_iter().flatten().next() {
            self.known.since.wrote_snapshot(bytes);
        }
        appended
    }

    /// After a lost race. Whoever has lost often waits a moment, and reads what else was put behind.
    async fn lose<R>(&mut self, taken: &mut Taken<'_, S, E, R>) -> Result<(), ExecuteError<R>> {
        self.losses += 1;
        if self.losses < LOSSES_BEFORE_READ || taken.jobs.iter().all(|job| job.found.is_some()) {
            return Ok(());
        }
        tokio::time::sleep(pause(self.losses - LOSSES_BEFORE_READ)).await;
        self.recall(taken, Consistency::Strong).await
    }

    /// Tells everyone, and knows what was written.
    fn tell<R>(&mut self, taken: &mut Taken<'_, S, E, R>, mut plan: Plan<S, E, R>, appended: Option<Appended>) {
        let commits = appended.as_ref().map_or(&[][..], |appended| &appended.batch.commits);
        let answers = plan.answers(&taken.jobs, commits);
        if let Some(appended) = &appended {
            plan.settle(self.memory, &mut self.known, appended);
            self.unread = false;
        }
        let mut usage = self.books.sum();
        for (job, mut answer) in taken.jobs.drain(..).zip(answers) {
            if let Answer::Given(result) = &mut answer
                && let Ok(handled) = result.as_mut()
            {
                (handled.lost_races, handled.usage) = (self.losses, std::mem::take(&mut usage));
            }
            job.tell(answer);
        }
    }
}

/// Compares the commits of a batch with the commands.
fn meet<S, E, R>(taken: &mut Taken<'_, S, E, R>, batch: &Batch) {
    for job in &mut taken.jobs {
        let ours = |commit: &&Commit| commit.envelope.command_id == job.request.envelope.command_id;
        if let Some(commit) = batch.commits.iter().find(ours) {
            job.found = Some(commit.clone());
        }
        if batch.version() == job.compared_to + 1 {
            job.compared_to = batch.last_version();
        }
    }
}

/// The commit of a listed command, if its batch is at hand.
fn at_hand(older: &[Item], lookup: &Lookup, command: &Id) -> Result<Option<Commit>, Damaged> {
    let &Lookup::At(version) = lookup else { return Ok(None) };
    for item in older {
        if item_key(item)?.version <= version {
            let ours = |commit: &Commit| commit.envelope.command_id == *command;
            return Ok(Batch::from_item(item)?.commits.into_iter().find(ours));
        }
    }
    Ok(None)
}

/// One command cannot be: the others go on.
fn reject<S, E, R>(taken: &mut Taken<'_, S, E, R>, index: Option<usize>, error: ExecuteError<R>) {
    if let Some(index) = index {
        taken.jobs.remove(index).tell(Answer::Given(Box::new(Err(error))));
    }
}

/// All that wait for the same fail with it, but those whose commit was met. What cannot be told twice is told to the first;
/// the others find out for themselves.
fn fail<S, E, R>(taken: &mut Taken<'_, S, E, R>, error: ExecuteError<R>) {
    let mut error = Some(error);
    let mut left = Vec::new();
    for mut job in taken.jobs.drain(..) {
        let answer = match job.found.take() {
            Some(commit) => Some(job.request.replay(commit)),
            None => error.as_ref().and_then(ExecuteError::shared).or_else(|| error.take()).map(Err),
        };
        match answer {
            Some(answer) => job.tell(Answer::Given(Box::new(answer))),
            None => left.push(job),
        }
    }
    taken.jobs = left;
}

/// Doubling, half of it by chance, so that writers who lost together do not meet again.
pub(crate) fn pause(doublings: u32) -> Duration {
    let longest = FIRST_PAUSE_MS.saturating_mul(2_u64.saturating_pow(doublings)).min(LONGEST_PAUSE_MS);
    Duration::from_millis(longest / 2 + fastrand::u64(0..=longest / 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::request::Request;
    use crate::schema::event_codec::{CodecError, Model, Untranslatable};
    use crate::stream::commit::tests::{commit, envelope, stream};
    use crate::{EventStore, HandlerOptions, Head, NewEvent};
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::config::{BehaviorVersion, Config};

    fn request(command: &str) -> Request {
        Request { stream: stream(), envelope: envelope(command), expected_version: None, creates: false }
    }

    fn batch(command: &str, version: u64, data: &[&str]) -> Batch {
        let commits = vec![commit(command, version, data, &Head::empty(&stream()).hash)];
        Batch { stream: stream(), commits }
    }

    #[test]
    fn a_pause_doubles_up_to_the_longest_and_half_is_chance() {
        for (doublings, longest) in [(0, 2), (1, 4), (5, 64), (7, 200), (u32::MAX, 200)] {
            let pauses: Vec<_> = (0..200).map(|_| pause(doublings)).collect();
            let bounds = Duration::from_millis(longest / 2)..=Duration::from_millis(longest);
            assert!(pauses.iter().all(|pause| bounds.contains(pause)), "{doublings}: {pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{doublings}: no chance in it");
        }
    }

    /// A commit that was passed over was not compared: the look into the stream must still go there.
    #[test]
    fn commands_are_compared_up_to_where_batches_touch() {
        let line: Line<(), (), ()> = Line::default();
        let (job, _answer) = Job::new(request("c"), Box::new(|()| Ok(Vec::new())), None);
        line.join(job);
        let mut taken = line.take(1);
        meet(&mut taken, &batch("a", 2, &["2"]));
        assert_eq!(taken.jobs[0].compared_to, 0, "version 1 was not seen");
        meet(&mut taken, &batch("a", 1, &["1", "2"]));
        assert_eq!(taken.jobs[0].compared_to, 2);
        meet(&mut taken, &batch("b", 4, &["4"]));
        assert_eq!(taken.jobs[0].compared_to, 2, "version 3 was not seen");
        meet(&mut taken, &batch("c", 3, &["3"]));
        assert_eq!((taken.jobs[0].compared_to, taken.jobs[0].found.as_ref().map(|it| it.version)), (3, Some(3)));
    }

    #[test]
    fn a_command_is_found_in_the_batch_that_holds_it() {
        let older = [batch("c", 3, &["3", "4"]), batch("b", 2, &["2"]), batch("a", 1, &["1"])];
        let older: Vec<Item> = older.iter().map(|batch| batch.to_item(7).unwrap()).collect();
        let found = |lookup, command| {
            let command = Id::new(command).unwrap();
            at_hand(&older, &lookup, &command).unwrap().map(|commit| commit.version)
        };
        assert_eq!(found(Lookup::At(3), "c"), Some(3));
        assert_eq!(found(Lookup::At(2), "b"), Some(2));
        assert_eq!(found(Lookup::At(1), "a"), Some(1));
        assert_eq!(found(Lookup::At(1), "b"), None);
        assert_eq!(found(Lookup::Absent, "a"), None);
    }

    /// The head may be ahead of the state then: a rule must not decide on it.
    #[test]
    fn what_was_folded_in_part_is_not_kept() {
        let unreadable = |event: &NewEvent| {
            let (event_type, source) = (event.event_type.clone(), Untranslatable::UnknownType);
            Err(CodecError { event_type, schema: event.schema, source })
        };
        let model: Model<(), ()> = Model {
            initial: || (),
            evolve: |(), ()| (),
            encode: |()| unreachable!(),
            decode: unreadable,
            snapshot: None,
        };
        let client = Client::from_conf(Config::builder().behavior_version(BehaviorVersion::latest()).build());
        let memory = Memory::new(EventStore::new(client, "events"), model, HandlerOptions::default());
        let line: Line<(), (), ()> = Line::default();
        let (known, books) = (memory.nothing(&stream()), Books::within());
        let (consistent, unread, losses) = (true, false, 0);
        let mut round = Round { memory: &memory, known, consistent, unread, losses, books, older: Vec::new() };
        let met = round.go_on(&mut line.take(1), &batch("a", 1, &["1"]));
        assert!(matches!(met, Err(ExecuteError::Unreadable(_))));
        assert!(round.unread);
    }
}
