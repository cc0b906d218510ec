//! Reads the journal from a position.

use super::Journal;
use super::batch::{JournalBatch, range_of};
use super::entry::JournalEntry;
use crate::tables::table::TableError;

/// The most commits of a page.
pub const MAX_PAGE: usize = 1_000;
/// The batches of a page's first read. How many more are needed shows then.
const FIRST_BATCHES: usize = 4;

/// A part of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalPage {
    /// The commits with their positions, in order and without a gap.
    pub entries: Vec<(u64, JournalEntry)>,
    /// The position after which the next page begins.
    pub next: u64,
    /// The end of the journal when the page was read, at least.
    pub end: u64,
}

/// Why the journal could not be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// No commit has that position yet.
    #[error("the journal ends at {end}")]
    BeyondEnd {
        /// The position of its last commit.
        end: u64,
    },
    /// The table failed.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl Journal {
    /// At most that many commits (1 to [`MAX_PAGE`]) after the position. If there is none, that
    /// costs half a read unit. Eventually consistent: a page may end early, but has no gap.
    ///
    /// # Errors
    /// [`JournalError`].
    pub async fn page(
        &self,
        generation: u32,
        after: u64,
        limit: usize,
    ) -> Result<JournalPage, JournalError> {
        let limit = limit.clamp(1, MAX_PAGE);
        let newest = self.table.newest_batch(generation, range_of(after + 1), false).await?;
        let end = match newest.as_ref().map(JournalBatch::last) {
            Some(end) if end > after => end,
            Some(end) if end == after => return Ok(JournalPage::empty(after)),
            _ => return self.nothing_after(generation, after).await,
        };
        let (mut entries, mut next) = (Vec::new(), after);
        let mut batches_at_once = FIRST_BATCHES;
        while entries.len() < limit && next < end {
            let room = limit - entries.len();
            let batches =
                self.batches_with(generation, next + 1, batches_at_once.min(room)).await?;
            let new = batches.iter().flat_map(JournalBatch::numbered);
            let new = new.filter(|(position, _)| *position > next).take(room);
            let new: Vec<_> = new.map(|(position, entry)| (position, entry.clone())).collect();
            let Some((last, _)) = new.last() else { break };
            next = *last;
            // As many as are needed, if they are of the same size.
            batches_at_once = (room * batches.len() / new.len()).max(1);
            entries.extend(new);
        }
        // Others append meanwhile.
        Ok(JournalPage { entries, next, end: end.max(next) })
    }

    /// The entry at a position, strongly consistent.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn entry(
        &self,
        generation: u32,
        position: u64,
    ) -> Result<Option<JournalEntry>, TableError> {
        let batch = self.table.batch_up_to(generation, range_of(position), position, true).await?;
        let entry =
            batch.as_ref().and_then(|batch| batch.numbered().find(|(at, _)| *at == position));
        Ok(entry.map(|(_, entry)| entry.clone()))
    }

    /// Batches from the one with the position on. Nearly always a batch begins there.
    async fn batches_with(
        &self,
        generation: u32,
        position: u64,
        limit: usize,
    ) -> Result<Vec<JournalBatch>, TableError> {
        let range = range_of(position);
        let mut batches =
            self.table.batches_from(generation, range, position, limit, false).await?;
        // A range ends with a batch, so the one with the position is in the same range.
        if batches.first().is_none_or(|first| first.first != position) {
            let before = self.table.batch_up_to(generation, range, position, false).await?;
            batches.splice(0..0, before);
        }
        // A replica may lack a batch in the middle: nothing behind it may be shown.
        let mut expected = None;
        let follows = |batch: &JournalBatch| {
            let fits = expected.is_none_or(|first| first == batch.first);
            expected = Some(batch.last() + 1);
            fits
        };
        Ok(batches.into_iter().take_while(follows).collect())
    }

    /// No commit was found after the position: it is the end, or beyond it, or a replica is behind.
    async fn nothing_after(
        &self,
        generation: u32,
        after: u64,
    ) -> Result<JournalPage, JournalError> {
        let end = if after == 0 { 0 } else { self.end(generation).await? };
        if end >= after {
            Ok(JournalPage::empty(after))
        } else {
            Err(JournalError::BeyondEnd { end })
        }
    }
}

impl JournalPage {
    /// The page at the end.
    fn empty(end: u64) -> Self {
        Self { entries: Vec::new(), next: end, end }
    }
}
