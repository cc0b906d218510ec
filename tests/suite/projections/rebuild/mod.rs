//! Generations: online rebuilds, switches, removals; streams that stand still; and what no process
//! may spoil.
//!
//! The engine is called directly; [`jobs`] is its queue, which the cases double, reorder and lose
//! from. [`traffic`] writes meanwhile.

mod at_once;
mod clocks;
mod cost;
mod damaged_items;
mod edges;
mod faults;
pub(super) mod jobs;
mod long_stream;
mod order_of_writes;
mod random;
mod reads;
mod removal;
mod standstill;
mod steps;
mod traffic;
mod under_load;
mod unknown_types;

pub(super) use jobs::ruled;
