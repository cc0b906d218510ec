//! Finds a command in a stream by the index, where the stream's cached ids do not reach back far
//! enough.

use super::entry::{place_of, qualified};
use super::index::{AuditIndex, EntryMatch};
use super::rank::Window;
use super::table::{Items, Partition};
use crate::tables::table::TableError;
use eventstore::{Direction, Id, IndexLookup, Mark, StreamId, Usage};

/// The most pages of one command's entries, 1 MB each: some 2,500 entries a page.
const MAX_PAGES: u32 = 4;
/// The most entries of a page.
const PAGE_ENTRIES: usize = 2_500;

/// Counts a strongly consistent request of at most 4 KB.
pub(crate) fn count_request(usage: &mut Usage) {
    usage.requests += 1;
    usage.read_units += 1.0;
}

impl AuditIndex {
    /// The first two steps of [`Projector::recorded`](crate::Projector::recorded).
    pub(crate) async fn recorded(
        &self,
        generation: u32,
        mark: &Mark,
        command: &Id,
        usage: &mut Usage,
    ) -> Result<IndexLookup, TableError> {
        count_request(usage);
        match self.entries(generation, std::slice::from_ref(mark)).await?.as_slice() {
            [EntryMatch::Same] => self.newest_of(generation, &mark.stream, command, usage).await,
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
            count_request(usage);
            let page = self
                .table
                .query(&partition, &everything, Direction::Backwards, PAGE_ENTRIES, start)
                .await?;
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
