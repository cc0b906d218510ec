//! Snapshots of streams.

pub(crate) mod codec;
pub(crate) mod debt;
pub(crate) mod stored;
pub(crate) mod write;
