//! Snapshots of streams.

pub(crate) mod stored;
