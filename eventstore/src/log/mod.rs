//! The log of a stream: the items of the table, and how they are appended, read, scanned and
//! verified.

pub(crate) mod append;
pub(crate) mod commit_json;
pub(crate) mod existing_streams;
pub(crate) mod item;
pub(crate) mod packed_trace;
pub(crate) mod page;
pub(crate) mod read;
pub(crate) mod scan;
pub(crate) mod verify;
