//! The audit index: finds commits by time, actor, type, command id and correlation id, over the
//! whole store.
//!
//! Each commit has one entry. It is a pure function of stream and commit, so a repeated put changes
//! nothing. An entry is one item under its command id, and is in two secondary indexes. Each is
//! sorted by rank: time, stream, version.
//!
//! | where | partition | sorted by | answers |
//! |---|---|---|---|
//! | the table | `{generation}/{command id}` | rank | by command |
//! | `by_correlation` | `{generation}/{correlation id}` | rank | by correlation id |
//! | `by_time` | `{generation}/{day}/{shard of 16}` | rank | by time, actor, type |
//! | the table | `days/{generation}` | day | the directory of days |
//!
//! **Cost.** A commit costs three write units: the item and two index entries of at most 1 KB each.
//! That leaves 240 bytes for names of event types, even with the longest ids and stream name. A
//! larger entry costs three units for each further KB. Each process puts a day's entry once.
//!
//! **No hot partition.** A day has 16 shards, chosen by actor and stream. One actor's commits are
//! in 4 of them: a search by actor reads 4 partitions, and one actor can write 4,000 commits a
//! second.
//!
//! **The position** is the chain of entries: an entry is written only after the entry of the commit
//! before. If a stream's last commit has its entry, the whole stream is indexed.
//! [`AuditIndex::index`] adds missing entries.
//!
//! **The hash.** An entry has the first 128 bits of its commit's hash: 26 bytes. It distinguishes
//! the commit from another one at the same version, and an entry is never replaced by one with
//! another hash. Older entries have none: a search reports the first that it reads, and `reconcile`
//! or `rebuild` adds it.

mod cache;
mod entry;
mod index;
mod lookup;
mod merged_partitions;
mod rank;
mod remove;
mod scan;
mod search;
pub(crate) mod short_hash;
mod table;

use crate::definition::consumer::Follows;
use crate::definition::projection::{Kind, Projection};

pub use entry::IndexEntry;
pub use index::{AuditIndex, EntryMatch, IndexError};
pub(crate) use lookup::count_request;
pub use rank::{AuditCursor, InvalidAuditCursor};
pub use search::{AuditPage, AuditSearch, MAX_FOUND, MAX_REQUESTS};

/// The projection.
pub const PROJECTION: Projection = Projection {
    name: "audit",
    shape: "audit/1",
    follows: Follows::All,
    // It does not read the events' data.
    knows: &|_| true,
    ignored: &[],
    kind: Kind::CommitIndex,
};
