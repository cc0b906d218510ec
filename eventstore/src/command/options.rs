//! The options of a command handler.

use crate::dedup::IdLimits;

/// What a [`CommandHandler`](crate::CommandHandler) caches, and when it writes snapshots. The
/// default suits most apps.
#[derive(Debug, Clone)]
pub struct HandlerOptions {
    /// How many streams are cached at most; commands on those read nothing. With 0 every command
    /// reads, and commands for one stream race instead of queueing up.
    pub cached_streams: usize,
    /// How many queued commands one group commit writes at most.
    pub commands_per_put: usize,
    /// How many command ids of a cached stream are listed.
    pub remembered_ids: usize,
    /// How many of them its snapshot lists.
    pub snapshot_ids: usize,
    /// How many older ids fit into each of two filters, at most 1,638. The filters hold ids without
    /// a time, from fast clocks, and those that the system derives. Of other ids only the newest
    /// time is stored.
    pub filtered_ids: usize,
    /// A snapshot is due after this many batches,
    pub snapshot_after_batches: usize,
    /// or after this many bytes of batches, but not before they outweigh the last snapshot.
    pub snapshot_after_bytes: usize,
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

    /// How many items the first page of a read has: a recent snapshot and the batches since.
    pub(crate) fn first_page(&self) -> i32 {
        i32::try_from(self.snapshot_after_batches.saturating_add(2)).unwrap_or(i32::MAX)
    }
}
