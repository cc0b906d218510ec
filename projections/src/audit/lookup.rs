//! Whether a command is recorded in a stream: the index answers where a reader no longer remembers the command.

use super::PROJECTION;
use super::entry::{key_at, place_of, qualified};
use super::index::{AuditIndex, Entry};
use super::place::Window;
use super::table::{Items, Partition};
use crate::generations::Generations;
use crate::row::Item;
use crate::table::TableError;
use crate::{Projector, ShortHash};
use chrono::{DateTime, Utc};
use eventstore::{Commit, Direction, Id, StreamId};

/// The most pages of one command's entries, 1 MB each: some 2,500 entries a page.
const MAX_PAGES: u32 = 4;
/// The most entries of a page.
const PAGE_ENTRIES: usize = 2_500;

/// A commit, by what its entry is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The stream that it stands in.
    pub stream: StreamId,
    /// The version of its first event.
    pub version: u64,
    /// When the store took it.
    pub recorded_at: DateTime<Utc>,
    /// The command's id.
    pub command_id: Id,
    /// Its place in the chain of its stream.
    pub hash: ShortHash,
}

/// What the index knows of a command in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// The index cannot tell: the mark has no entry with its hash, the generation is being removed, or the command has
    /// more entries than one lookup reads. The stream itself knows.
    NotIndexed,
    /// The newest entry of the command in the stream; the version is that of the commit's first event.
    At(u64),
    /// No commit of the stream up to the mark is of that command.
    Absent,
}

impl Mark {
    /// The mark of a commit.
    pub fn of(stream: &StreamId, commit: &Commit) -> Self {
        Self {
            stream: stream.clone(),
            version: commit.version,
            recorded_at: commit.recorded_at,
            command_id: commit.envelope.command_id.clone(),
            hash: ShortHash::from(&commit.hash),
        }
    }

    pub(super) fn key(&self, generation: u32) -> Item {
        key_at(generation, &self.stream, self.version, self.recorded_at, &self.command_id)
    }
}

impl Projector {
    /// Looks for a command in the stream of the mark, up to the mark's commit. Every read is strongly consistent, in this
    /// order, on which the answer rests:
    ///
    /// 1. The entry of the mark. A stream's entries are written in the order of its commits, so with this one every commit
    ///    before it has its entry.
    /// 2. The entries of the command.
    /// 3. The generation. Its entries are removed only after its record says so: if it does not say so now, none was missing
    ///    in step 2.
    ///
    /// Costs three requests of at most a read unit each, as long as the command has few entries. A process that does not
    /// know the active generation yet, or knows one that is gone, does the steps twice.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn recorded(&self, mark: &Mark, command: &Id) -> Result<Lookup, TableError> {
        let mut number = self.registry.last_known(&PROJECTION).active;
        for _ in 0..2 {
            // Boxed, because futures nest deeper here than the compiler is ready to look through.
            let found = Box::pin(self.audit_index.recorded(number, mark, command)).await?;
            let now: Generations = self.registry.refreshed(&PROJECTION).await?;
            let answers = now.written().contains(&number) && (found != Lookup::NotIndexed || number == now.active);
            if answers {
                return Ok(found);
            }
            number = now.active;
        }
        Ok(Lookup::NotIndexed)
    }
}

impl AuditIndex {
    /// The first two steps of [`Projector::recorded`].
    pub(crate) async fn recorded(&self, generation: u32, mark: &Mark, command: &Id) -> Result<Lookup, TableError> {
        match self.entries(generation, std::slice::from_ref(mark)).await?.as_slice() {
            [Entry::Same] => self.newest_of(generation, &mark.stream, command).await,
            _ => Ok(Lookup::NotIndexed),
        }
    }

    /// The command's newest entry in the stream.
    async fn newest_of(&self, generation: u32, stream: &StreamId, command: &Id) -> Result<Lookup, TableError> {
        let partition = Partition::of_table(qualified(generation, command));
        let (everything, mut start) = (Window::between(None, None), None);
        for _ in 0..MAX_PAGES {
            let page = self.table.query(&partition, &everything, Direction::Backwards, PAGE_ENTRIES, start).await?;
            let Items { items, next } = page;
            for item in &items {
                let (of, version) = place_of(item)?;
                if of == *stream {
                    return Ok(Lookup::At(version));
                }
            }
            start = next;
            if start.is_none() {
                return Ok(Lookup::Absent);
            }
        }
        Ok(Lookup::NotIndexed)
    }
}
