//! Generations: online rebuilds, switches, removals, parked streams, and processes with an old
//! state.
//!
//! The cases call the engine directly. [`jobs`] is its queue: the cases repeat, reorder and lose
//! tasks. [`traffic`] writes meanwhile.

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
