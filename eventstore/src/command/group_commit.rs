//! Group commit: the queued commands of one stream are decided in order and written by one put.

use super::backoff::pause;
use super::cached_stream::CachedStream;
use super::decide::Decisions;
use super::request::ExecuteError;
use super::stream_loader::StreamLoader;
use super::stream_queue::{CommandAnswer, QueueDrain, QueuedCommand, StreamQueue};
use crate::dedup::{FindCommit, Lookup};
use crate::log::item::item_key;
use crate::metering::meter::UsageScope;
use crate::{
    AppendError, Appended, Batch, Commit, Consistency, CorruptStream, Id, Item, NewCommit,
    ReadError,
};
use std::sync::Arc;

/// After this many lost races in a row, the end of the stream is read.
const LOSSES_BEFORE_READ: u32 = 2;

/// Handles queued commands as the leader. Leaves the cached stream for the next leader, or nothing
/// if it is interrupted.
pub(crate) async fn run_as_leader<S: Clone, E, R>(
    loader: &StreamLoader<S, E>,
    queue: &StreamQueue<S, E, R>,
    slot: &mut Option<CachedStream<S>>,
) {
    let mut drain = queue.take(loader.options.commands_per_put);
    let Some(first) = drain.commands.first() else { return };
    let cached = slot.take();
    let (consistent, unread) = (false, cached.is_none());
    let cached = cached.unwrap_or_else(|| loader.empty(&first.request.stream));
    let mut group = GroupCommit {
        loader,
        cached,
        consistent,
        unread,
        lost_races: 0,
        scope: UsageScope::nested(),
        older: Vec::new(),
    };
    let ended = group.scope.clone().run(group.run(&mut drain)).await;
    if let Err(error) = ended {
        fail_all(&mut drain, error);
    }
    *slot = (!group.unread).then_some(group.cached);
}

/// One group commit of a stream.
struct GroupCommit<'a, S, E> {
    loader: &'a StreamLoader<S, E>,
    cached: CachedStream<S>,
    /// Whether the cached head was the end of the stream at some moment since the commands arrived.
    consistent: bool,
    /// Whether the stream was not read yet. Then the head is a guess that only creating commands
    /// may use.
    unread: bool,
    lost_races: u32,
    /// What this group commit costs.
    scope: Arc<UsageScope>,
    /// Batches on the page of the snapshot, newest first. A retried command is often among them.
    older: Vec<Item>,
}

impl<S: Clone, E> GroupCommit<'_, S, E> {
    async fn run<R>(&mut self, drain: &mut QueueDrain<'_, S, E, R>) -> Result<(), ExecuteError<R>> {
        if self.unread && drain.commands.iter().any(|queued| !queued.request.creates) {
            self.reload(drain, Consistency::Eventual).await?;
        }
        while !drain.commands.is_empty() {
            self.look_up(drain).await?;
            let mut decisions = Decisions::make(self.loader, &self.cached, drain);
            let commits = std::mem::take(&mut decisions.commits);
            if commits.is_empty() {
                if self.consistent || !decisions.is_tentative() {
                    self.complete(drain, decisions, None);
                    return Ok(());
                }
                self.reload(drain, Consistency::Strong).await?;
                continue;
            }
            // Checked only now: the commit that won the last race may be one of these commands.
            if self.lost_races >= self.loader.store.options.max_attempts {
                return Err(ExecuteError::Contention { attempts: self.lost_races });
            }
            match self.put(commits).await {
                // Another process put the same commands. They are matched as in any other winning
                // batch.
                Ok(Appended { batch, repeated: true, .. }) => self.apply_winner(drain, &batch)?,
                Ok(appended) => {
                    self.complete(drain, decisions, Some(appended));
                    return Ok(());
                }
                Err(AppendError::Conflict { winner, .. }) => {
                    self.apply_winner(drain, &winner)?;
                    self.handle_lost_race(drain).await?;
                }
                Err(AppendError::TransactionConflict) => self.handle_lost_race(drain).await?,
                Err(AppendError::TooLarge(error)) => match decisions.half() {
                    Some(keep) => drain.requeue(keep),
                    None if self.consistent => {
                        complete_with_error(drain, decisions.first_writer(), error.into())
                    }
                    // On the newest state the command may decide something smaller.
                    None => self.reload(drain, Consistency::Strong).await?,
                },
                Err(AppendError::ClockSkew(error)) => {
                    let index = drain
                        .commands
                        .iter()
                        .position(|queued| queued.request.metadata.command_id == error.command_id);
                    complete_with_error(drain, index, error.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads new batches and matches them with the commands.
    async fn reload<R>(
        &mut self,
        drain: &mut QueueDrain<'_, S, E, R>,
        consistency: Consistency,
    ) -> Result<(), ExecuteError<R>> {
        let empty = self.loader.empty(self.cached.head.stream());
        let base = if self.unread { empty } else { std::mem::replace(&mut self.cached, empty) };
        self.unread = true;
        let loaded = self.loader.load(base, consistency).await?;
        for batch in &loaded.folded {
            match_duplicates(drain, batch);
        }
        (self.cached, self.older, self.unread) = (loaded.cached, loaded.older, false);
        self.consistent = consistency == Consistency::Strong;
        Ok(())
    }

    /// Applies a batch that another writer put.
    fn apply_winner<R>(
        &mut self,
        drain: &mut QueueDrain<'_, S, E, R>,
        winner: &Batch,
    ) -> Result<(), ExecuteError<R>> {
        self.consistent = false;
        match_duplicates(drain, winner);
        let applied = self.loader.apply(&mut self.cached, winner);
        self.unread |= applied.is_err();
        Ok(applied?)
    }

    /// Looks further back for commands that were recorded before the batches that were read.
    async fn look_up<R>(
        &mut self,
        drain: &mut QueueDrain<'_, S, E, R>,
    ) -> Result<(), ExecuteError<R>> {
        let head = &self.cached.head;
        let mut index = 0;
        while let Some(queued) = drain.commands.get_mut(index) {
            if queued.found.is_none() && queued.compared_to < head.version() {
                match self.find(queued).await {
                    Ok(found) => (queued.found, queued.compared_to) = (found, head.version()),
                    // The other commands do not need that part of the stream.
                    Err(ReadError::Corrupt(damaged)) => {
                        complete_with_error(drain, Some(index), damaged.into());
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            index += 1;
        }
        Ok(())
    }

    async fn find<R>(&self, queued: &QueuedCommand<S, E, R>) -> Result<Option<Commit>, ReadError> {
        let command = &queued.request.metadata.command_id;
        let stream = self.cached.head.stream();
        let lookup = self.cached.ids.look_up(stream, command).after(queued.compared_to);
        if let Some(commit) = find_among(&self.older, &lookup, command)? {
            return Ok(Some(commit));
        }
        self.loader
            .store
            .find_commit(FindCommit { stream, command, lookup, down_to: queued.compared_to })
            .await
    }

    /// Puts the commits, and the snapshot beside them if one is due.
    async fn put(&mut self, commits: Vec<NewCommit>) -> Result<Appended, AppendError> {
        let store = &self.loader.store;
        let due = Vec::from_iter(self.loader.take_due_snapshot(&mut self.cached));
        let (appended, written) =
            store.with_snapshots(&due, store.append_any(&self.cached.head, commits)).await;
        if let Some(bytes) = written.into_iter().flatten().next() {
            self.cached.snapshot_debt.wrote_snapshot(bytes);
        }
        appended
    }

    /// After repeated losses it waits a moment, then reads what other writers put.
    async fn handle_lost_race<R>(
        &mut self,
        drain: &mut QueueDrain<'_, S, E, R>,
    ) -> Result<(), ExecuteError<R>> {
        self.lost_races += 1;
        if self.lost_races < LOSSES_BEFORE_READ
            || drain.commands.iter().all(|queued| queued.found.is_some())
        {
            return Ok(());
        }
        tokio::time::sleep(pause(self.lost_races - LOSSES_BEFORE_READ)).await;
        self.reload(drain, Consistency::Strong).await
    }

    /// Answers every command and applies the written commits.
    fn complete<R>(
        &mut self,
        drain: &mut QueueDrain<'_, S, E, R>,
        mut decisions: Decisions<S, E, R>,
        appended: Option<Appended>,
    ) {
        let commits = appended.as_ref().map_or(&[][..], |appended| &appended.batch.commits);
        let answers = decisions.answers(&drain.commands, commits);
        if let Some(appended) = &appended {
            decisions.apply_written(self.loader, &mut self.cached, appended);
            self.unread = false;
        }
        let mut usage = self.scope.sum();
        for (queued, mut answer) in drain.commands.drain(..).zip(answers) {
            if let CommandAnswer::Result(result) = &mut answer
                && let Ok(handled) = result.as_mut()
            {
                (handled.lost_races, handled.usage) = (self.lost_races, std::mem::take(&mut usage));
            }
            queued.complete(answer);
        }
    }
}

/// Matches the commits of a batch with the commands.
fn match_duplicates<S, E, R>(drain: &mut QueueDrain<'_, S, E, R>, batch: &Batch) {
    for queued in &mut drain.commands {
        let ours =
            |commit: &&Commit| commit.metadata.command_id == queued.request.metadata.command_id;
        if let Some(commit) = batch.commits.iter().find(ours) {
            queued.found = Some(commit.clone());
        }
        if batch.version() == queued.compared_to + 1 {
            queued.compared_to = batch.last_version();
        }
    }
}

/// Finds a listed command among the older batches of the snapshot's page.
fn find_among(
    older: &[Item],
    lookup: &Lookup,
    command: &Id,
) -> Result<Option<Commit>, CorruptStream> {
    let &Lookup::At(version) = lookup else { return Ok(None) };
    for item in older {
        if item_key(item)?.version <= version {
            let ours = |commit: &Commit| commit.metadata.command_id == *command;
            return Ok(Batch::from_item(item)?.commits.into_iter().find(ours));
        }
    }
    Ok(None)
}

/// Rejects one command; the others go on.
fn complete_with_error<S, E, R>(
    drain: &mut QueueDrain<'_, S, E, R>,
    index: Option<usize>,
    error: ExecuteError<R>,
) {
    if let Some(index) = index {
        drain.commands.remove(index).complete(CommandAnswer::Result(Box::new(Err(error))));
    }
}

/// All commands fail with the error, except those whose commit was found. An error that cannot be
/// cloned goes to the first command only; the others are tried again.
fn fail_all<S, E, R>(drain: &mut QueueDrain<'_, S, E, R>, error: ExecuteError<R>) {
    let mut error = Some(error);
    let mut left = Vec::new();
    for mut queued in drain.commands.drain(..) {
        let answer = match queued.found.take() {
            Some(commit) => Some(queued.request.replay(commit)),
            None => {
                error.as_ref().and_then(ExecuteError::to_shared).or_else(|| error.take()).map(Err)
            }
        };
        match answer {
            Some(answer) => queued.complete(CommandAnswer::Result(Box::new(answer))),
            None => left.push(queued),
        }
    }
    drain.commands = left;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::request::CommandRequest;
    use crate::stream::commit::tests::{commit, metadata, stream};
    use crate::{CodecError, Model, Untranslatable};
    use crate::{EventStore, HandlerOptions, Head, NewEvent};
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::config::{BehaviorVersion, Config};

    fn request(command: &str) -> CommandRequest {
        CommandRequest {
            stream: stream(),
            metadata: metadata(command),
            expected_version: None,
            creates: false,
        }
    }

    fn batch(command: &str, version: u64, data: &[&str]) -> Batch {
        let commits = vec![commit(command, version, data, &Head::empty(&stream()).hash)];
        Batch { stream: stream(), commits }
    }

    /// A skipped commit was not compared, so the search must still include it.
    #[test]
    fn commands_are_compared_up_to_where_batches_touch() {
        let queue: StreamQueue<(), (), ()> = StreamQueue::default();
        let (queued, _answer) =
            QueuedCommand::new(request("c"), Box::new(|()| Ok(Vec::new())), None);
        queue.join(queued);
        let mut drain = queue.take(1);
        match_duplicates(&mut drain, &batch("a", 2, &["2"]));
        assert_eq!(drain.commands[0].compared_to, 0, "version 1 was not seen");
        match_duplicates(&mut drain, &batch("a", 1, &["1", "2"]));
        assert_eq!(drain.commands[0].compared_to, 2);
        match_duplicates(&mut drain, &batch("b", 4, &["4"]));
        assert_eq!(drain.commands[0].compared_to, 2, "version 3 was not seen");
        match_duplicates(&mut drain, &batch("c", 3, &["3"]));
        assert_eq!(
            (drain.commands[0].compared_to, drain.commands[0].found.as_ref().map(|it| it.version)),
            (3, Some(3))
        );
    }

    #[test]
    fn a_command_is_found_in_the_batch_that_holds_it() {
        let older = [batch("c", 3, &["3", "4"]), batch("b", 2, &["2"]), batch("a", 1, &["1"])];
        let older: Vec<Item> = older.iter().map(|batch| batch.to_item(7).unwrap()).collect();
        let found = |lookup, command| {
            let command = Id::new(command).unwrap();
            find_among(&older, &lookup, &command).unwrap().map(|commit| commit.version)
        };
        assert_eq!(found(Lookup::At(3), "c"), Some(3));
        assert_eq!(found(Lookup::At(2), "b"), Some(2));
        assert_eq!(found(Lookup::At(1), "a"), Some(1));
        assert_eq!(found(Lookup::At(1), "b"), None);
        assert_eq!(found(Lookup::Absent, "a"), None);
    }

    /// The head may be ahead of the state then, and no command may be decided on that.
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
        let client = Client::from_conf(
            Config::builder().behavior_version(BehaviorVersion::latest()).build(),
        );
        let loader =
            StreamLoader::new(EventStore::new(client, "events"), model, HandlerOptions::default());
        let queue: StreamQueue<(), (), ()> = StreamQueue::default();
        let (cached, scope) = (loader.empty(&stream()), UsageScope::nested());
        let (consistent, unread, lost_races) = (true, false, 0);
        let mut group = GroupCommit {
            loader: &loader,
            cached,
            consistent,
            unread,
            lost_races,
            scope,
            older: Vec::new(),
        };
        let met = group.apply_winner(&mut queue.take(1), &batch("a", 1, &["1"]));
        assert!(matches!(met, Err(ExecuteError::Unreadable(_))));
        assert!(group.unread);
    }
}
