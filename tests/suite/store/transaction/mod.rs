//! Commands over several streams.

pub(super) mod append_all;
pub(super) mod append_all_faults;
pub(super) mod append_all_retries;
pub(super) mod handle_all;
pub(super) mod handle_all_races;
pub(super) mod handle_pair;
