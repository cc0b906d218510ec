//! The data of a stream: commits in a hash chain, their ids and metadata, and the head.

pub(crate) mod batch;
pub(crate) mod command_metadata;
pub(crate) mod commit;
pub(crate) mod corrupt_stream;
pub(crate) mod hash;
pub(crate) mod hash_chain;
pub(crate) mod head;
pub(crate) mod id;
pub(crate) mod stream_id;
