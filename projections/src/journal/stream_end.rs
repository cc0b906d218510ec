//! Where a stream ends in the journal, as one item of the table.

use super::batch::{PARTITION, PLACE, unreadable};
use super::entry::JournalEntry;
use crate::tables::attribute::{number, number_of, text, text_of};
use crate::tables::position::{Position, hash_text, read_hash};
use crate::tables::row::{Item, UnreadableRow};
use eventstore::{Hash, StreamId};

pub(super) const POSITION: &str = "position";
const VERSION: &str = "version";
const HASH: &str = "hash";

/// How many partitions a category is spread over.
pub(super) const SHARDS: u8 = 16;

/// The last entry of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamEnd {
    /// Its position in the journal.
    pub(crate) position: u64,
    /// The last version of its commit, and the commit's hash.
    pub(crate) reached: Position,
}

impl StreamEnd {
    pub(super) fn of(position: u64, entry: &JournalEntry) -> Self {
        let reached = Position { version: entry.last_version, hash: entry.hash };
        Self { position, reached }
    }

    /// The one of the two with the higher position.
    pub(super) fn later(self, other: Self) -> Self {
        if other.position > self.position { other } else { self }
    }

    pub(super) fn to_item(self, generation: u32, stream: &StreamId) -> Item {
        let mut item = key(generation, stream);
        item.extend([
            (POSITION.to_owned(), number(self.position)),
            (VERSION.to_owned(), number(self.reached.version)),
            (HASH.to_owned(), text(&hash_text(&self.reached.hash))),
        ]);
        item
    }

    pub(super) fn from_item(item: &Item) -> Result<(StreamId, Self), UnreadableRow> {
        Self::read(item).ok_or_else(|| unreadable(item))
    }

    fn read(item: &Item) -> Option<(StreamId, Self)> {
        let stream = StreamId::new(text_of(item, PLACE)?).ok()?;
        let reached =
            Position { version: number_of(item, VERSION)?, hash: read_hash(text_of(item, HASH)?)? };
        Some((stream, Self { position: number_of(item, POSITION)?, reached }))
    }
}

/// The key of a stream's end.
pub(super) fn key(generation: u32, stream: &StreamId) -> Item {
    let partition = shard_key(generation, stream.category(), shard(stream));
    Item::from([
        (PARTITION.to_owned(), text(&partition)),
        (PLACE.to_owned(), text(stream.as_str())),
    ])
}

/// The partition of a category's shard.
pub(super) fn shard_key(generation: u32, category: &str, shard: u8) -> String {
    format!("{}streams/{category}/{shard}", super::table::prefix(generation))
}

/// The stream's shard, by a hash. Ends are stored by it, so it must never change.
fn shard(stream: &StreamId) -> u8 {
    let hash = Hash::of(&[stream.as_str().as_bytes()]);
    let [first, ..] = hash.as_bytes();
    first % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_survives_its_item() {
        let stream = StreamId::new("order-1").unwrap();
        let reached = Position { version: 9, hash: Hash::of(&[b"9"]) };
        let end = StreamEnd { position: 17, reached };
        let item = end.to_item(1, &stream);
        assert_eq!(StreamEnd::from_item(&item).unwrap(), (stream, end));
        for attribute in [POSITION, VERSION, HASH, PLACE] {
            let mut item = item.clone();
            item.insert(attribute.to_owned(), text("?"));
            assert!(StreamEnd::from_item(&item).is_err(), "{attribute}");
        }
    }
}
