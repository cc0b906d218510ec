//! Enters commits into the index, in the order of their stream.

use super::cache::IndexCache;
use super::entry::{COMMAND, HASH, IndexEntry, RANK, day_item, key_at};
use super::short_hash::ShortHash;
use crate::stream_read::{TimeLimit, sound_page};
use crate::tables::attribute::text_of;
use crate::tables::row::Item;
use crate::tables::table::{Table, TableError};
use aws_sdk_dynamodb::Client;
use eventstore::{Commit, CorruptStream, Damage, Direction, EventStore, Mark, ReadError, StreamId};
use std::collections::HashMap;

/// The most events of a page in the search for the last entry: one request reads the entries of its
/// commits.
const PROBE_EVENTS: u32 = 100;
/// How many commits a call enters at least, however short its time: finding the last entry costs
/// requests, too.
const MIN_COMMITS: u32 = 100;
/// The most events that are entered from one page.
const PAGE_EVENTS: u32 = 500;

/// The audit index: a table and a cache of what is indexed. Clones share the cache.
#[derive(Clone)]
pub struct AuditIndex {
    pub(super) table: Table,
    cache: IndexCache,
}

/// Whether a commit has its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryMatch {
    /// There is none.
    Absent,
    /// It has another hash, or an older form without a hash.
    Other,
    /// It has the commit's hash.
    Same,
}

/// Why commits could not be entered. Those before the failed one are entered; the call can be
/// repeated.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The table failed.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Missing commits could not be read from the store.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The time for this call is over; the next call continues.
    #[error("the time ran out at version {reached}")]
    OutOfTime {
        /// The version up to which the stream is known to be indexed.
        reached: u64,
    },
}

impl AuditIndex {
    /// The index in the table of that name, which [`AuditIndex::create_table`] or your own template
    /// makes.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { table: Table { client, name: table.into() }, cache: IndexCache::new() }
    }

    /// Creates the table with its indexes, and waits until it can be used. Does nothing if it
    /// exists.
    ///
    /// # Errors
    /// [`TableError`] if DynamoDB does not create it.
    pub async fn create_table(&self) -> Result<(), TableError> {
        self.table.create_index().await
    }

    /// Enters consecutive commits of one stream, oldest first. Missing earlier commits are read
    /// from the store.
    ///
    /// A commit costs one request if it begins its stream or this process entered the one before,
    /// else three. A longer gap is filled page by page. The first commit of a day costs one more.
    ///
    /// # Errors
    /// [`IndexError`]. A stream is corrupt if earlier commits are missing in the store, or if a
    /// commit was entered with another hash.
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
            let indexed = self.cache.indexed(generation, stream);
            if commit.last_version() <= indexed {
                continue;
            }
            if entered && limit.is_over() {
                return Err(IndexError::OutOfTime { reached: indexed });
            }
            if commit.version > indexed + 1 {
                self.fill_gap(store, generation, stream, commit.version - 1, limit).await?;
            }
            self.enter(generation, stream, commit).await?;
            entered = true;
        }
        Ok(())
    }

    /// Whether each commit has its entry. If so, its stream is indexed up to it. Strongly
    /// consistent.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn entered(
        &self,
        generation: u32,
        commits: &[(StreamId, Commit)],
    ) -> Result<Vec<EntryMatch>, TableError> {
        let marks: Vec<Mark> =
            commits.iter().map(|(stream, commit)| Mark::of(stream, commit)).collect();
        let entries = self.entries(generation, &marks).await?;
        // After a restore of the table, entries of this process may be gone: the cache is wrong
        // then.
        let gone = marks.iter().zip(&entries).filter(|(_, entry)| **entry != EntryMatch::Same);
        gone.for_each(|(mark, _)| self.cache.forget(generation, &mark.stream));
        Ok(entries)
    }

    /// Enters the missing commits of the stream up to the version, which ends a commit. Commits
    /// before a corrupt item are entered, and the error names that item.
    pub(crate) async fn fill_gap(
        &self,
        store: &EventStore,
        generation: u32,
        stream: &StreamId,
        version: u64,
        limit: TimeLimit,
    ) -> Result<(), IndexError> {
        // Nearly always the last commit has its entry.
        let missing = match self.probe(store, generation, stream, version, 1).await {
            Ok(EntriesFound { newest: None, oldest, .. }) => Some(oldest),
            Ok(EntriesFound { newest: Some(_), .. }) => None,
            Err(IndexError::Read(ReadError::Corrupt(corrupt))) if !is_hole(&corrupt) => {
                Some(corrupt.version)
            }
            Err(error) => return Err(error),
        };
        if missing.is_some() && !limit.fills_gaps() {
            return Err(IndexError::OutOfTime { reached: self.cache.indexed(generation, stream) });
        }
        let mut indexed = match missing {
            Some(missing) => self.find_indexed(store, generation, stream, missing).await?,
            None => version,
        };
        self.cache.note_indexed(generation, stream, indexed);
        if indexed < version {
            tracing::debug!(%stream, generation, indexed, version, "filling a gap of the audit index from the store");
        }
        let mut entered = 0;
        while indexed < version {
            let page = sound_page(store, stream, indexed + 1, PAGE_EVENTS).await?;
            if page.commits.is_empty() {
                return Err(hole(stream, indexed + 1, version + 1));
            }
            for commit in page.commits.iter().filter(|commit| commit.last_version() <= version) {
                if entered >= MIN_COMMITS && limit.is_over() {
                    return Err(IndexError::OutOfTime { reached: indexed });
                }
                self.enter(generation, stream, commit).await?;
                (indexed, entered) = (commit.last_version(), entered + 1);
            }
            indexed = page.commits.last().map_or(version, Commit::last_version);
        }
        Ok(())
    }

    /// The version up to which the stream is indexed; 0 if nothing is. From `missing` on nothing is
    /// indexed.
    ///
    /// The indexed part is the beginning of the stream. Its end is found by steps back that double,
    /// and then by halving. So a gap of any length costs few requests.
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
            step = (step * 2).max(u64::from(PROBE_EVENTS));
            let found = match self.probe(store, generation, stream, from, PROBE_EVENTS).await {
                // It may be indexed beyond the corrupt item. To enter earlier commits again does no
                // harm.
                Err(IndexError::Read(ReadError::Corrupt(corrupt)))
                    if (indexed.unwrap_or(0) + 1..missing).contains(&corrupt.version) =>
                {
                    missing = corrupt.version;
                    continue;
                }
                found => found?,
            };
            match found.newest {
                // The commit right after it has no entry: this is the end.
                Some(newest) if found.first == Some(false) => return Ok(newest),
                Some(newest) => indexed = Some(newest),
                None => missing = found.oldest,
            }
        }
    }

    /// Reads commits backwards from the version, and finds which of them have entries.
    async fn probe(
        &self,
        store: &EventStore,
        generation: u32,
        stream: &StreamId,
        from: u64,
        events: u32,
    ) -> Result<EntriesFound, IndexError> {
        let commits = store.read(stream, from, Direction::Backwards, events).await?.commits;
        let found = commits.first().map_or(0, Commit::last_version);
        if found < from {
            return Err(hole(stream, found + 1, from + 1));
        }
        let marks: Vec<Mark> = commits.iter().map(|commit| Mark::of(stream, commit)).collect();
        let entries = self.entries(generation, &marks).await?;
        let entered: Vec<bool> =
            entries.into_iter().map(|entry| entry == EntryMatch::Same).collect();
        let newest =
            commits.iter().zip(&entered).find_map(|(commit, entered)| entered.then_some(commit));
        Ok(EntriesFound {
            first: entered.first().copied(),
            newest: newest.map(Commit::last_version),
            oldest: commits.last().map_or(1, |commit| commit.version),
        })
    }

    /// Writes the commit's entry. The day is written first, so that a search finds every day with
    /// entries. An entry with another hash stays: only it shows which commit was written first.
    async fn enter(
        &self,
        generation: u32,
        stream: &StreamId,
        commit: &Commit,
    ) -> Result<(), IndexError> {
        let day = commit.recorded_at.date_naive();
        if !self.cache.has_day(generation, day) {
            self.table.put(day_item(generation, day)).await?;
            self.cache.note_day(generation, day);
        }
        let found = IndexEntry::of(stream, commit);
        if !self.table.put_entry(found.to_item(generation), &found.hash).await? {
            let (stream, version) = (stream.to_string(), commit.version);
            return Err(IndexError::Read(
                CorruptStream { stream, version, damage: Damage::Chain }.into(),
            ));
        }
        self.cache.note_indexed(generation, stream, commit.last_version());
        Ok(())
    }

    /// Whether each mark has its entry. A mark without a hash matches any entry. Strongly
    /// consistent.
    pub(super) async fn entries(
        &self,
        generation: u32,
        marks: &[Mark],
    ) -> Result<Vec<EntryMatch>, TableError> {
        let place = |item: &Item| {
            Some((text_of(item, COMMAND)?.to_owned(), text_of(item, RANK)?.to_owned()))
        };
        let key = |mark: &Mark| {
            key_at(generation, &mark.stream, mark.version, mark.recorded_at, &mark.command_id)
        };
        let keys: Vec<Item> = marks.iter().map(key).collect();
        // DynamoDB rejects a request with duplicate keys.
        let distinct: HashMap<_, &Item> = keys.iter().map(|key| (place(key), key)).collect();
        let distinct: Vec<Item> = distinct.into_values().cloned().collect();
        let stored = self.table.hashes(&distinct).await?;
        let stored: HashMap<_, Option<&str>> =
            stored.iter().map(|item| (place(item), text_of(item, HASH))).collect();
        let entry = |(key, mark): (&Item, &Mark)| match stored.get(&place(key)) {
            None => EntryMatch::Absent,
            Some(hash)
                if mark
                    .hash
                    .is_none_or(|own| *hash == Some(&ShortHash::from(&own).to_string())) =>
            {
                EntryMatch::Same
            }
            Some(_) => EntryMatch::Other,
        };
        Ok(keys.iter().zip(marks).map(entry).collect())
    }
}

fn is_hole(corrupt: &CorruptStream) -> bool {
    matches!(corrupt.damage, Damage::Hole { .. })
}

/// Which of some commits have entries.
struct EntriesFound {
    /// Whether the newest commit has one.
    first: Option<bool>,
    /// The last version of the newest commit that has one.
    newest: Option<u64>,
    /// The version of the oldest commit.
    oldest: u64,
}

/// The stream does not have the events before `found`.
fn hole(stream: &StreamId, version: u64, found: u64) -> IndexError {
    let corrupt =
        CorruptStream { stream: stream.to_string(), version, damage: Damage::Hole { found } };
    IndexError::Read(corrupt.into())
}
