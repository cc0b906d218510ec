//! Applies events to rows: each exactly once, for any order and repetition of messages.

pub(crate) mod commit_index;
pub(crate) mod freshness;
pub(crate) mod gap;
pub(crate) mod heartbeat;
pub(crate) mod index_queries;
pub(crate) mod journal;
pub(crate) mod multi_stream;
pub(crate) mod notification;
pub(crate) mod parking;
pub(crate) mod project_error;
pub(crate) mod projector;
pub(crate) mod single_stream;
pub(crate) mod witnesses;
