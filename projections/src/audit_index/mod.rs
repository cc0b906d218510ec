//! The audit index: finds commits by time, actor, type, command id and correlation id, over the whole store.
//!
//! One entry a commit, a pure function of stream and commit, so that a repeated put changes nothing. An entry is one item
//! under its command, and appears in two indexes, each sorted by rank: time, stream, version.
//!
//! | where | partition | sorted by | answers |
//! |---|---|---|---|
//! | the table | `{generation}/{command id}` | rank | by command |
//! | `by_correlation` | `{generation}/{correlation id}` | rank | by correlation id |
//! | `by_time` | `{generation}/{day}/{shard of 16}` | rank | by time, actor, type |
//! | the table | `days/{generation}` | day | which days there are |
//!
//! **Cost.** A commit costs three write units: item and two index entries of at most 1 KB each. With every id of 128
//! characters, a stream's name of 100 and a causation id, 240 bytes are left for the names of the event types; a commit
//! with more costs three units for each further KB. A day's entry is put once by each process.
//!
//! **No hot partition.** A day is spread over 16 shards by actor and stream: one actor's commits lie in 4 of them, so that
//! a search by actor asks 4 and even an actor that does everything has 4,000 writes a second.
//!
//! **The position** is the chain of entries: an entry is written only after that of the commit before it.
//! If a stream's last commit has its entry, the whole stream is indexed. [`AuditIndex::index`] adds
//! missing entries.
//!
//! **The hash.** An entry has 128 bits of its commit's chain hash: 26 bytes. It distinguishes the commit
//! from another one at the same version, and is never replaced by one of another hash. Older entries have
//! none: a search reports the first that it reads, and `reconcile` or `rebuild` adds the hash.

mod entry;
mod index;
mod lookup;
mod cache;
mod merged_partitions;
mod rank;
mod remove;
mod scan;
mod search;
pub(crate) mod short_hash;
mod table;

use crate::definition::consumer::Follows;
use crate::definition::projection::{Kind, Projection};

pub use entry::Found;
pub use index::{AuditIndex, Entry, IndexError};
pub use rank::{AuditCursor, InvalidAuditCursor};
pub use remove::{RemoveCursor, Removed};
pub use search::{AuditPage, AuditSearch, MAX_FOUND, MAX_REQUESTS};

/// The projection.
pub const PROJECTION: Projection = Projection {
    name: "audit",
    shape: "audit/1",
    follows: Follows::All,
    // It looks at no event's data.
    knows: &|_| true,
    ignored: &[],
    kind: Kind::CommitIndex,
};
