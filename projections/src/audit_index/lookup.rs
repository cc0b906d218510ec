//! Whether a command is recorded in a stream: the index answers where a reader no longer remembers the command.

use super::PROJECTION;
use super::entry::{place_of, qualified};
use super::index::{AuditIndex, Entry};
use super::rank::Window;
use super::table::{Items, Partition};
use crate::Projector;
use crate::generations::Generations;
use crate::tables::table::TableError;
use eventstore::{CommandIndex, Direction, Id, IndexAnswer, IndexLookup, Mark, StreamId, Usage};
use std::sync::Arc;

/// The most pages of one command's entries, 1 MB each: some 2,500 entries a page.
const MAX_PAGES: u32 = 4;
/// The most entries of a page.
const PAGE_ENTRIES: usize = 2_500;

impl Projector {
    /// The audit index as the event store asks it for commands.
    pub fn command_index(&self) -> CommandIndex {
        let projector = self.clone();
        Arc::new(move |mark, command| {
            let projector = projector.clone();
            Box::pin(async move { Ok(projector.recorded(&mark, &command).await?) })
        })
    }

    /// Looks for a command in the stream of the mark, up to the mark's commit. Every read is strongly consistent, in this
    /// order, on which the answer rests:
    ///
    /// 1. The entry of the mark. A stream's entries are written in the order of its commits, so with this one every commit
    ///    before it has its entry.
    /// 2. The entries of the command.
    /// 3. The generation. Its entries are removed only after its record says so: if it does not say so now, none was missing
    ///    in step 2.
    ///
    /// Costs three requests of a read unit each, as long as the command has few entries. A process that does not know the
    /// active generation yet, or knows one that is gone, does the steps twice.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn recorded(&self, mark: &Mark, command: &Id) -> Result<IndexAnswer, TableError> {
        let mut usage = Usage::default();
        let mut number = self.registry.last_known(&PROJECTION).active;
        for _ in 0..2 {
            // Boxed, because futures nest deeper here than the compiler is ready to look through.
            let lookup = Box::pin(self.audit_index.recorded(number, mark, command, &mut usage)).await?;
            spend(&mut usage);
            let now: Generations = self.registry.refreshed(&PROJECTION).await?;
            let answers =
                now.written().contains(&number) && (lookup != IndexLookup::NotIndexed || number == now.active);
            if answers {
                return Ok(IndexAnswer { lookup, usage });
            }
            number = now.active;
        }
        Ok(IndexAnswer { lookup: IndexLookup::NotIndexed, usage })
    }
}

/// Counts a request of at most 4 KB, read strongly.
fn spend(usage: &mut Usage) {
    usage.requests += 1;
    usage.read_units += 1.0;
}

impl AuditIndex {
    /// The first two steps of [`Projector::recorded`].
    async fn recorded(
        &self,
        generation: u32,
        mark: &Mark,
        command: &Id,
        usage: &mut Usage,
    ) -> Result<IndexLookup, TableError> {
        spend(usage);
        match self.entries(generation, std::slice::from_ref(mark)).await?.as_slice() {
            [Entry::Same] => self.newest_of(generation, &mark.stream, command, usage).await,
            _ => Ok(IndexLookup::NotIndexed),
        }
    }

    /// The command's newest entry in the stream.
    async fn newest_of(
        &self,
        generation: u32,
        stream: &StreamId,
        command: &Id,
        usage: &mut Usage,
    ) -> Result<IndexLookup, TableError> {
        let partition = Partition::of_table(qualified(generation, command));
        let (everything, mut start) = (Window::between(None, None), None);
        for _ in 0..MAX_PAGES {
            spend(usage);
            let page = self.table.query(&partition, &everything, Direction::Backwards, PAGE_ENTRIES, start).await?;
            let Items { items, next } = page;
            for item in &items {
                let (of, version) = place_of(item)?;
                if of == *stream {
                    return Ok(IndexLookup::At(version));
                }
            }
            start = next;
            if start.is_none() {
                return Ok(IndexLookup::Absent);
            }
        }
        Ok(IndexLookup::NotIndexed)
    }
}
