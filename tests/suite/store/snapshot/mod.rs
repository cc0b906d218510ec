//! Snapshots save reads, and no command depends on them.

pub(super) mod bad_snapshots;
pub(super) mod snapshots;
