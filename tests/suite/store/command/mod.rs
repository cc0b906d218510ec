//! The command loop of one stream: conflicts, group commit, cache and refusals.

pub(super) mod contention;
pub(super) mod expected_version;
pub(super) mod group_commit;
pub(super) mod handle_typed;
pub(super) mod recorded_refusals;
pub(super) mod simulation;
pub(super) mod stale_reads;
pub(super) mod stream_cache;
