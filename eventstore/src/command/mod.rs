//! Commands for one stream: queued, deduplicated, decided and written by group commit.
//!
//! [`handler`] is the entry. [`group_commit`] is the loop, [`stream_queue`] holds the waiting
//! commands, and [`decide`] decides them. [`stream_cache`] holds the streams, and [`stream_loader`]
//! reads them.

pub(crate) mod backoff;
pub(crate) mod cached_stream;
pub(crate) mod decide;
pub(crate) mod find_recorded;
pub(crate) mod group_commit;
pub(crate) mod handle_typed;
pub(crate) mod handler;
pub(crate) mod model;
pub(crate) mod options;
pub(crate) mod refusal;
pub(crate) mod request;
pub(crate) mod stream_cache;
pub(crate) mod stream_loader;
pub(crate) mod stream_queue;
