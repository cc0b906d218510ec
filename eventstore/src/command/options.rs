//! What may be set of a command handler.

use crate::dedup::IdLimits;

/// How much a [`CommandHandler`] remembers, and when it writes snapshots. The default suits most apps.
#[derive(Debug, Clone)]
pub struct HandlerOptions {
    /// Of how many streams, at most, state and head are kept: commands for those read nothing. With 0 every command reads, and
    /// commands for one stream race instead of queueing up.
    pub cached_streams: usize,
    /// How many commands for one stream are at most written together, of those that wait.
    pub commands_per_put: usize,
    /// How many command ids of a cached stream are kept.
    pub remembered_ids: usize,
    /// How many of them its snapshot bears.
    pub snapshot_ids: usize,
    /// How many older ids fit into each of two filters, at most 1,638. It is for ids without a time, from fast clocks, and
    /// those that the system derives; of others only the newest time is kept.
    pub filtered_ids: usize,
    /// After so many batches a snapshot is due,
    pub snapshot_after_batches: usize,
    /// or after so many bytes of them; but a large snapshot only after twice its own bytes.
    pub snapshot_after_bytes: usize,
    /// One of so many snapshots that are used is compared with what the events say; 0: none.
    pub check_one_in: u32,
}

impl Default for HandlerOptions {
    fn default() -> Self {
        Self {
            cached_streams: 1_000,
            commands_per_put: 64,
            remembered_ids: 256,
            snapshot_ids: 32,
            filtered_ids: 1_638,
            snapshot_after_batches: 10,
            snapshot_after_bytes: 16 * 1024,
            check_one_in: 1_000,
        }
    }
}

impl HandlerOptions {
    pub(crate) fn ids_in_memory(&self) -> IdLimits {
        IdLimits { listed: self.remembered_ids, filtered: self.filtered_ids }
    }

    pub(crate) fn ids_in_snapshot(&self) -> IdLimits {
        IdLimits { listed: self.snapshot_ids, filtered: self.filtered_ids }
    }

    /// How many items the first page of a read may have: a snapshot that was written in time is met with what came since.
    pub(crate) fn first_page(&self) -> i32 {
        i32::try_from(self.snapshot_after_batches.saturating_add(2)).unwrap_or(i32::MAX)
    }
}
