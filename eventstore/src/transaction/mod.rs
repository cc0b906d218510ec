//! Commands over several streams, written by one transaction.

pub(crate) mod addressed_stream;
pub(crate) mod append_all;
pub(crate) mod command_loop;
pub(crate) mod handle_all;
pub(crate) mod parts;
pub(crate) mod transact_items;
