//! Deduplication: how a command that was recorded before is known again.
//!
//! [`command_ids`] says what is known of a stream's command ids without a read. [`find_commit`] looks further back where
//! that is not enough: in the stream itself, or in an index that the store was given ([`index`]).

mod bloom;
mod command_ids;
mod find_commit;
mod index;

pub(crate) use command_ids::{CommandIds, IdLimits, Lookup};
pub(crate) use find_commit::FindCommit;
pub use index::{CommandIndex, IndexAnswer, IndexLookup, Mark};
