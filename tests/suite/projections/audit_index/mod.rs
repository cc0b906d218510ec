//! The audit index finds exactly the commits of the store, despite lost or repeated messages and
//! killed indexers.

mod cost;
mod gaps;
mod ledger;
mod leftovers;
mod long_streams;
mod lookups;
mod removal;
mod searches;
