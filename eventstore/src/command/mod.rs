//! Commands for one stream: queued, deduplicated, decided and written together.

pub(crate) mod decide;
pub(crate) mod group_commit;
pub(crate) mod handle_typed;
pub(crate) mod handler;
pub(crate) mod refusal;
pub(crate) mod request;
pub(crate) mod stream_loader;
pub(crate) mod stream_queue;
