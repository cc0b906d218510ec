//! The audit index finds exactly the commits of the store, whatever is lost, repeated or killed on
//! the way.

mod cost;
mod gaps;
mod ledger;
mod leftovers;
mod long_streams;
mod lookups;
mod removal;
mod searches;
