//! Where the journal ends.

use super::Journal;
use super::batch::{JournalBatch, end_of_range, range_of};
use crate::tables::table::TableError;
use std::time::{Duration, Instant};

/// How long an end is known: all that wait for more share one read in that time.
const MAX_AGE: Duration = Duration::from_millis(500);

/// The end that was read last.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownEnd {
    position: u64,
    read_at: Instant,
}

impl Journal {
    /// The position of the last commit; 0 if the journal is empty. Strongly consistent.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn end(&self, generation: u32) -> Result<u64, TableError> {
        let newest = self.newest(generation, true).await?;
        let position = newest.map_or(0, |batch| batch.last());
        self.note_end(generation, position).await;
        Ok(position)
    }

    /// Waits until the journal goes on after the position, or that time is over.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn wait(
        &self,
        generation: u32,
        after: u64,
        time: Duration,
    ) -> Result<(), TableError> {
        let until = Instant::now() + time;
        let mut appended = self.state.appended.subscribe();
        loop {
            let (of, end) = *appended.borrow_and_update();
            if of == generation && end > after || self.shared_end(generation).await? > after {
                return Ok(());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            // Another process may append, too.
            let _ = tokio::time::timeout(left.min(MAX_AGE), appended.changed()).await;
        }
    }

    /// The end, if it was read a moment ago; else it is read, once for all that wait.
    async fn shared_end(&self, generation: u32) -> Result<u64, TableError> {
        let mut ends = self.state.ends.lock().await;
        let known = ends.get(&generation).copied();
        if let Some(known) = known.filter(|end| end.read_at.elapsed() < MAX_AGE) {
            return Ok(known.position);
        }
        let from = known.map_or(0, |end| end.position);
        let newest = self.newest_from(generation, range_of(from), false).await?;
        let position = newest.map_or(from, |batch| batch.last());
        ends.insert(generation, KnownEnd { position, read_at: Instant::now() });
        Ok(position)
    }

    async fn note_end(&self, generation: u32, position: u64) {
        let end = KnownEnd { position, read_at: Instant::now() };
        self.state.ends.lock().await.insert(generation, end);
    }

    /// The newest batch.
    pub(super) async fn newest(
        &self,
        generation: u32,
        consistent: bool,
    ) -> Result<Option<JournalBatch>, TableError> {
        let known = self.state.ends.lock().await.get(&generation).map_or(0, |end| end.position);
        match self.newest_from(generation, range_of(known), consistent).await? {
            // The table was restored to an earlier time.
            None if known > 0 => self.newest_from(generation, 0, consistent).await,
            newest => Ok(newest),
        }
    }

    /// The newest batch of that range or of a later one. All ranges before the newest are full, so
    /// it is found by steps that double, and then by halving.
    async fn newest_from(
        &self,
        generation: u32,
        range: u64,
        consistent: bool,
    ) -> Result<Option<JournalBatch>, TableError> {
        let Some(mut newest) = self.table.newest_batch(generation, range, consistent).await? else {
            return Ok(None);
        };
        let (mut low, mut high, mut step) = (range, None, 1);
        while newest.last() == end_of_range(low) && high.is_none_or(|high| low + 1 < high) {
            let probe = high.map_or(low + step, |high| low + (high - low) / 2);
            match self.table.newest_batch(generation, probe, consistent).await? {
                Some(batch) => (newest, low, step) = (batch, probe, step * 2),
                None => high = Some(probe),
            }
        }
        Ok(Some(newest))
    }
}
