//! Snapshots of streams: the stored form, how states are encoded, when one is due, and the write.

pub(crate) mod codec;
pub(crate) mod debt;
pub(crate) mod stored;
pub(crate) mod write;
