//! Entering commits, each behind the one before it in its stream.

use super::entry::{COMMAND, Found, HASH, RANK, day_item, text_of};
use super::lookup::Mark;
use super::memory::Memory;
use crate::row::Item;
use crate::table::{Table, TableError};
use aws_sdk_dynamodb::Client;
use eventstore::{Commit, Damage, Damaged, Direction, EventStore, Page, ReadError, StreamId};
use std::collections::HashMap;

/// The most events of a page in which the end of the entries is looked for: its commits are asked for in one request.
const LOOK_EVENTS: u32 = 100;
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
    ) -> Result<(), IndexError> {
        for commit in commits {
            let indexed = self.memory.indexed(generation, stream);
            if commit.last_version() <= indexed {
                continue;
            }
            if commit.version > indexed + 1 {
                self.mend(store, generation, stream, commit.version - 1).await?;
            }
            self.enter(generation, stream, commit).await?;
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

    /// Enters what is missing of the stream up to the version, which ends a commit.
    async fn mend(
        &self,
        store: &EventStore,
        generation: u32,
        stream: &StreamId,
        version: u64,
    ) -> Result<(), IndexError> {
        let mut indexed = self.find_indexed(store, generation, stream, version).await?;
        self.memory.note_indexed(generation, stream, indexed);
        if indexed < version {
            tracing::debug!(%stream, generation, indexed, version, "mending a gap of the audit index from the store");
        }
        while indexed < version {
            let page = store.read(stream, indexed + 1, Direction::Forwards, MEND_EVENTS).await?;
            if page.commits.is_empty() {
                return Err(hole(stream, indexed + 1, version + 1));
            }
            for commit in page.commits.iter().filter(|commit| commit.last_version() <= version) {
                self.enter(generation, stream, commit).await?;
            }
            indexed = page.commits.last().map_or(version, Commit::last_version);
        }
        Ok(())
    }

    /// Up to which version the stream is indexed, looked for from `version` backwards; 0 where nothing is.
    async fn find_indexed(
        &self,
        store: &EventStore,
        generation: u32,
        stream: &StreamId,
        version: u64,
    ) -> Result<u64, IndexError> {
        // Nearly always, the very commit before has its entry.
        let (mut from, mut limit) = (version, 1);
        loop {
            let Page { commits, next, .. } = store.read(stream, from, Direction::Backwards, limit).await?;
            let found = commits.first().map_or(0, Commit::last_version);
            if found != from {
                return Err(hole(stream, found + 1, from + 1));
            }
            let marks: Vec<Mark> = commits.iter().map(|commit| Mark::of(stream, commit)).collect();
            let entries = self.entries(generation, &marks).await?;
            let newest =
                commits.iter().zip(entries).find_map(|(commit, entry)| (entry == Entry::Same).then_some(commit));
            match (newest, next) {
                (Some(commit), _) => return Ok(commit.last_version()),
                (None, Some(next)) => (from, limit) = (next, LOOK_EVENTS),
                (None, None) => return Ok(0),
            }
        }
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
            return Err(IndexError::Read(Damaged { stream, version, damage: Damage::Chain }.into()));
        }
        self.memory.note_indexed(generation, stream, commit.last_version());
        Ok(())
    }

    /// For each mark, what stands in the place of its entry. Strongly consistent.
    pub(super) async fn entries(&self, generation: u32, marks: &[Mark]) -> Result<Vec<Entry>, TableError> {
        let place = |item: &Item| Some((text_of(item, COMMAND)?.to_owned(), text_of(item, RANK)?.to_owned()));
        let keys: Vec<Item> = marks.iter().map(|mark| mark.key(generation)).collect();
        // DynamoDB refuses a request that names a key twice.
        let distinct: HashMap<_, &Item> = keys.iter().map(|key| (place(key), key)).collect();
        let distinct: Vec<Item> = distinct.into_values().cloned().collect();
        let standing = self.table.hashes(&distinct).await?;
        let standing: HashMap<_, Option<&str>> =
            standing.iter().map(|item| (place(item), text_of(item, HASH))).collect();
        let entry = |(key, mark): (&Item, &Mark)| match standing.get(&place(key)) {
            None => Entry::Absent,
            Some(Some(hash)) if *hash == mark.hash.to_string() => Entry::Same,
            Some(_) => Entry::Other,
        };
        Ok(keys.iter().zip(marks).map(entry).collect())
    }
}

/// The stream does not have the events before `found`.
fn hole(stream: &StreamId, version: u64, found: u64) -> IndexError {
    let damaged = Damaged { stream: stream.to_string(), version, damage: Damage::Hole { found } };
    IndexError::Read(damaged.into())
}
