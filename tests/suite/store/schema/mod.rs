//! Encoding events, and reading those of older programs.

pub(super) mod event_codec;
pub(super) mod upcasters;
