//! Appending, reading, scanning and verifying streams.

pub(super) mod append;
pub(super) mod corrupt_streams;
pub(super) mod foreign_items;
pub(super) mod item_sizes;
pub(super) mod limits;
pub(super) mod lost_answers;
pub(super) mod mutations;
pub(super) mod outages;
pub(super) mod pages;
pub(super) mod read;
pub(super) mod scan;
pub(super) mod store_errors;
pub(super) mod tampering;
