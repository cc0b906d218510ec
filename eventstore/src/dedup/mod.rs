//! Deduplication: how the commit of a command that was recorded before is found.
//!
//! [`command_ids`] decides it without a read. If it cannot, [`find_commit`] searches the stream
//! itself, or the [`index`] that the store was given.

mod bloom;
mod command_ids;
mod find_commit;
mod hidden_ids;
mod index;

pub(crate) use command_ids::{CommandIds, IdLimits, Lookup};
pub(crate) use find_commit::FindCommit;
pub use index::{CommandIndex, IndexAnswer, IndexLookup, Mark};
