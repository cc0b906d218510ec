//! The schemas of events: how events are encoded, and how older ones are upcast.

pub(crate) mod codec_error;
pub(crate) mod event_codec;
pub(crate) mod upcaster;
