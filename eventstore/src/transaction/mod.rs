//! Commands over several streams, written by one transaction.
//!
//! [`handle_all`] is the entry and [`command_loop`] the loop. [`append_all`] sends the transaction,
//! [`transact_items`] builds it and reads its refusal.

pub(crate) mod addressed_stream;
pub(crate) mod append_all;
pub(crate) mod command_loop;
pub(crate) mod handle_all;
pub(crate) mod parts;
pub(crate) mod transact_items;
