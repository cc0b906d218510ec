//! Entering commits, each behind the one before it in its stream.

use super::entry::{COMMAND, Found, HASH, RANK, day_item, key_at, text_of};
use super::cache::Memory;
use crate::ShortHash;
use crate::stream_read::{TimeLimit, sound_page};
use crate::tables::row::Item;
use crate::tables::table::{Table, TableError};
use aws_sdk_dynamodb::Client;
use eventstore::{Commit, CorruptStream, Damage, Direction, EventStore, Mark, ReadError, StreamId};
use std::collections::HashMap;

/// The most events of a page in which the end of the entries is looked for: its commits are asked for in one request.
const LOOK_EVENTS: u32 = 100;
/// How many commits a call enters at least, however little time it has: to find where to go on costs requests, too.
const STEP_COMMITS: u32 = 100;
/// The most events that are entered from one page.
const MEND_EVENTS: u32 = 500;

/// The audit index: a table, and what this process remembers of it. Clones share the memory.
#[derive(Clone)]
pub struct AuditIndex {
    pub(super) table: Table,
    memory: Memory,
}

/// What stands in the place of a commit's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// Nothing.
    Absent,
    /// The entry of a commit with another hash, or one of an older form, which has none.
    Other,
    /// The entry of that very commit.
    Same,
}

/// Why commits could not be entered. Those before the one that failed are; the call can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The table did not answer.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The store did not give what is missing.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The time is over; the next call goes on.
    #[error("the time ran out at version {reached}")]
    OutOfTime {
        /// Up to there the stream is indexed, as far as is known.
        reached: u64,
    },
}

impl AuditIndex {
    /// The index in the table of that name, which [`AuditIndex::create_table`] or your own template makes.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { table: Table { client, name: table.into() }, memory: Memory::new() }
    }

    /// Makes the table with its indexes and waits until it can be used. Does nothing where it is there.
    ///
    /// # Errors
    /// [`TableError`] when DynamoDB does not make it.
    pub async fn create_table(&self) -> Result<(), TableError> {
        self.table.create_index().await
    }

    /// Enters commits of one stream that follow each other, oldest first; what is missing before them comes from the store.
    ///
    /// A commit costs one request where it begins its stream or this process has entered the one before it, and three
    /// otherwise; a longer gap is mended page by page. One more for the first commit of a day.
    ///
    /// # Errors
    /// [`IndexError`]; a stream that lacks commits before those given is damaged, and so is one whose commit was entered
    /// with another hash.
    pub async fn index(
        &self,
        store: &EventStore,
        generation: u32,
        stream: &StreamId,
        commits: &[Commit],
        limit: TimeLimit,
    ) -> Result<(), IndexError> {
        let mut entered = false;
        for commit in commits {
            let indexed = self.memory.indexed(generation, stream);
            if commit.last_version() <= indexed {
                continue;
            }
            if entered && limit.is_over() {
                return Err(IndexError::OutOfTime { reached: indexed });
            }
            if commit.version > indexed + 1 {
                self.mend(store, generation, stream, commit.version - 1, limit).await?;
            }
            self.enter(generation, stream, commit).await?;
            entered = true;
        }
        Ok(())
    }

    /// For each stream's commit, what stands in the place of its entry. Where it is the commit's own, the stream is indexed
    /// whole up to it. Strongly consistent.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn entered(&self, generation: u32, commits: &[(StreamId, Commit)]) -> Result<Vec<Entry>, TableError> {
        let marks: Vec<Mark> = commits.iter().map(|(stream, commit)| Mark::of(stream, commit)).collect();
        let entries = self.entries(generation, &marks).await?;
        // What this process has entered once may be gone: a table that was restored. It has to be looked at again.
        let gone = marks.iter().zip(&entries).filter(|(_, entry)| **entry != Entry::Same);
        gone.for_each(|(mark, _)| self.memory.forget(generation, &mark.stream));
        Ok(entries)
    }

    /// Enters what is missing of the stream up to the version, which ends a commit. What stands before a damaged item is
    /// entered, and the damage is the answer.
    pub(crate) async fn mend(
        &self,
        store: &EventStore,
        generation: u32,
        stream: &StreamId,
        version: u64,
        limit: TimeLimit,
    ) -> Result<(), IndexError> {
        // Nearly always, the very commit before has its entry.
        let missing = match self.look(store, generation, stream, version, 1).await {
            Ok(Looked { newest: None, oldest, .. }) => Some(oldest),
            Ok(Looked { newest: Some(_), .. }) => None,
            Err(IndexError::Read(ReadError::Corrupt(damaged))) if !is_hole(&damaged) => Some(damaged.version),
            Err(error) => return Err(error),
        };
        if missing.is_some() && !limit.mends_gaps() {
            return Err(IndexError::OutOfTime { reached: self.memory.indexed(generation, stream) });
        }
        let mut indexed = match missing {
            Some(missing) => self.find_indexed(store, generation, stream, missing).await?,
            None => version,
        };
        self.memory.note_indexed(generation, stream, indexed);
        if indexed < version {
            tracing::debug!(%stream, generation, indexed, version, "mending a gap of the audit index from the store");
        }
        let mut entered = 0;
        while indexed < version {
            let page = sound_page(store, stream, indexed + 1, MEND_EVENTS).await?;
            if page.commits.is_empty() {
                return Err(hole(stream, indexed + 1, version + 1));
            }
            for commit in page.commits.iter().filter(|commit| commit.last_version() <= version) {
                if entered >= STEP_COMMITS && limit.is_over() {
                    return Err(IndexError::OutOfTime { reached: indexed });
                }
                self.enter(generation, stream, commit).await?;
                (indexed, entered) = (commit.last_version(), entered + 1);
            }
            indexed = page.commits.last().map_or(version, Commit::last_version);
        }
        Ok(())
    }

    /// Up to which version the stream is indexed, where nothing from `missing` on is; 0 where nothing is.
    ///
    /// What is indexed is the beginning of the stream. So the end of it is looked for in steps back that double, and then in
    /// halves of what is left: a gap of any length costs few requests.
    async fn find_indexed(
        &self,
        store: &EventStore,
        generation: u32,
        stream: &StreamId,
        mut missing: u64,
    ) -> Result<u64, IndexError> {
        let (mut indexed, mut step) = (None, 0);
        loop {
            let newest_open = missing.saturating_sub(1);
            if newest_open <= indexed.unwrap_or(0) {
                return Ok(indexed.unwrap_or(0));
            }
            let from = match indexed {
                Some(indexed) => indexed + (newest_open - indexed).div_ceil(2),
                None => newest_open.saturating_sub(step).max(1),
            };
            step = (step * 2).max(u64::from(LOOK_EVENTS));
            let looked = match self.look(store, generation, stream, from, LOOK_EVENTS).await {
                // It may have been entered before it was damaged: to enter what stands before it once more does no harm.
                Err(IndexError::Read(ReadError::Corrupt(damaged)))
                    if (indexed.unwrap_or(0) + 1..missing).contains(&damaged.version) =>
                {
                    missing = damaged.version;
                    continue;
                }
                looked => looked?,
            };
            match looked.newest {
                // It stands right before one that does not: that is the end.
                Some(newest) if looked.first == Some(false) => return Ok(newest),
                Some(newest) => indexed = Some(newest),
                None => missing = looked.oldest,
            }
        }
    }

    /// Looks from the commit with that event backwards which commits have entries.
    async fn look(
        &self,
        store: &EventStore,
        generation: u32,
        stream: &StreamId,
        from: u64,
        events: u32,
    ) -> Result<Looked, IndexError> {
        let commits = store.read(stream, from, Direction::Backwards, events).await?.commits;
        let found = commits.first().map_or(0, Commit::last_version);
        if found < from {
            return Err(hole(stream, found + 1, from + 1));
        }
        let marks: Vec<Mark> = commits.iter().map(|commit| Mark::of(stream, commit)).collect();
        let entries = self.entries(generation, &marks).await?;
        let standing: Vec<bool> = entries.into_iter().map(|entry| entry == Entry::Same).collect();
        let newest = commits.iter().zip(&standing).find_map(|(commit, stands)| stands.then_some(commit));
        Ok(Looked {
            first: standing.first().copied(),
            newest: newest.map(Commit::last_version),
            oldest: commits.last().map_or(1, |commit| commit.version),
        })
    }

    /// Writes the commit's entry. The day comes first, so that no entry is ever in a day that a search does not know.
    /// An entry that bears another hash stays: it is the only record of what was written first.
    async fn enter(&self, generation: u32, stream: &StreamId, commit: &Commit) -> Result<(), IndexError> {
        let day = commit.recorded_at.date_naive();
        if !self.memory.has_day(generation, day) {
            self.table.put(day_item(generation, day)).await?;
            self.memory.note_day(generation, day);
        }
        let found = Found::of(stream, commit);
        if !self.table.put_entry(found.to_item(generation), &found.hash).await? {
            let (stream, version) = (stream.to_string(), commit.version);
            return Err(IndexError::Read(CorruptStream { stream, version, damage: Damage::Chain }.into()));
        }
        self.memory.note_indexed(generation, stream, commit.last_version());
        Ok(())
    }

    /// For each mark, what stands in the place of its entry. Without a hash, what stands there is taken for the same. Strongly
    /// consistent.
    pub(super) async fn entries(&self, generation: u32, marks: &[Mark]) -> Result<Vec<Entry>, TableError> {
        let place = |item: &Item| Some((text_of(item, COMMAND)?.to_owned(), text_of(item, RANK)?.to_owned()));
        let key = |mark: &Mark| key_at(generation, &mark.stream, mark.version, mark.recorded_at, &mark.command_id);
        let keys: Vec<Item> = marks.iter().map(key).collect();
        // DynamoDB refuses a request that names a key twice.
        let distinct: HashMap<_, &Item> = keys.iter().map(|key| (place(key), key)).collect();
        let distinct: Vec<Item> = distinct.into_values().cloned().collect();
        let standing = self.table.hashes(&distinct).await?;
        let standing: HashMap<_, Option<&str>> =
            standing.iter().map(|item| (place(item), text_of(item, HASH))).collect();
        let entry = |(key, mark): (&Item, &Mark)| match standing.get(&place(key)) {
            None => Entry::Absent,
            Some(hash) if mark.hash.is_none_or(|own| *hash == Some(&ShortHash::from(&own).to_string())) => Entry::Same,
            Some(_) => Entry::Other,
        };
        Ok(keys.iter().zip(marks).map(entry).collect())
    }
}

fn is_hole(damaged: &CorruptStream) -> bool {
    matches!(damaged.damage, Damage::Hole { .. })
}

/// What a look at some commits of a stream found.
struct Looked {
    /// Whether the newest of them has an entry.
    first: Option<bool>,
    /// The last version of the newest one that has.
    newest: Option<u64>,
    /// The version of the oldest of them.
    oldest: u64,
}

/// The stream does not have the events before `found`.
fn hole(stream: &StreamId, version: u64, found: u64) -> IndexError {
    let damaged = CorruptStream { stream: stream.to_string(), version, damage: Damage::Hole { found } };
    IndexError::Read(damaged.into())
}
