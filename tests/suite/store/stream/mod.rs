//! Names and ids of streams.

pub(super) mod names;
