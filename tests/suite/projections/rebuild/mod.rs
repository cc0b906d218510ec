//! Generations: online rebuilds, switches, removals; streams that stand still; and what no process
//! may spoil.
//!
//! The engine is called directly; [`jobs`] is its queue, which the cases double, reorder and lose
//! from. [`traffic`] writes meanwhile.

mod at_once;
mod clocks;
mod corrupt_items;
mod cost;
mod edges;
mod faults;
pub(super) mod jobs;
mod long_stream;
mod order_of_writes;
mod parked_streams;
mod random;
mod reads;
mod removal;
mod steps;
mod traffic;
mod under_load;
mod unknown_types;

pub(super) use jobs::ruled;
