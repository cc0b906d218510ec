//! Snapshots of streams: the stored form, how states are encoded, when one is due, the write,
//! and the comparison with the events.

pub(crate) mod codec;
pub(crate) mod debt;
pub(crate) mod stored;
pub(crate) mod verify;
pub(crate) mod write;
