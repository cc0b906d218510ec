//! A batch of the journal as one item of the table.

use super::entry::{JournalEntry, StoredEntry};
use crate::tables::attribute::{number, number_of, text, text_of};
use crate::tables::row::{Item, UnreadableRow};

pub(super) const PARTITION: &str = "partition";
pub(super) const PLACE: &str = "place";
const ENTRIES: &str = "entries";
const NONCE: &str = "nonce";
const FORMAT: &str = "format";

/// The format of batches.
const BATCH_FORMAT: u64 = 1;
/// The most commits of a batch.
pub(super) const MAX_ENTRIES: usize = 100;
/// How many positions share a partition. Batches are stored by it, so it must never change.
pub(super) const RANGE: u64 = 100_000;
/// The digits of a position in a key: enough for a million commits a second for 30,000 years.
const DIGITS: usize = 18;

/// A batch: commits at consecutive positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JournalBatch {
    /// The position of its first commit.
    pub(super) first: u64,
    pub(super) entries: Vec<JournalEntry>,
    /// Random for each put. It distinguishes a repeated put from another writer's.
    pub(super) nonce: u64,
}

/// The range of positions with that one; ranges count from 0, positions from 1.
pub(super) fn range_of(position: u64) -> u64 {
    position.saturating_sub(1) / RANGE
}

/// The last position of a range.
pub(super) fn end_of_range(range: u64) -> u64 {
    (range + 1) * RANGE
}

/// The partition of a range.
pub(super) fn range_key(generation: u32, range: u64) -> String {
    format!("{}journal/{range}", super::table::prefix(generation))
}

/// A position as part of a key.
pub(super) fn place(position: u64) -> String {
    format!("{position:0DIGITS$}")
}

impl JournalBatch {
    /// The position of its last commit.
    pub(super) fn last(&self) -> u64 {
        let more = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
        self.first.saturating_add(more).saturating_sub(1)
    }

    /// The entries with their positions.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (u64, &JournalEntry)> {
        (self.first..).zip(&self.entries)
    }

    pub(super) fn to_item(&self, generation: u32) -> serde_json::Result<Item> {
        let stored: Vec<StoredEntry> = self.entries.iter().map(JournalEntry::stored).collect();
        Ok(Item::from([
            (PARTITION.to_owned(), text(&range_key(generation, range_of(self.first)))),
            (PLACE.to_owned(), text(&place(self.first))),
            (ENTRIES.to_owned(), text(&serde_json::to_string(&stored)?)),
            (NONCE.to_owned(), number(self.nonce)),
            (FORMAT.to_owned(), number(BATCH_FORMAT)),
        ]))
    }

    pub(super) fn from_item(item: &Item) -> Result<Self, UnreadableRow> {
        Self::read(item).ok_or_else(|| unreadable(item))
    }

    fn read(item: &Item) -> Option<Self> {
        number_of(item, FORMAT).filter(|format| *format == BATCH_FORMAT)?;
        let stored: Vec<StoredEntry> = serde_json::from_str(text_of(item, ENTRIES)?).ok()?;
        Some(Self {
            first: text_of(item, PLACE)?.parse().ok()?,
            entries: stored.into_iter().map(JournalEntry::from).collect(),
            nonce: number_of(item, NONCE)?,
        })
        .filter(|batch| !batch.entries.is_empty())
    }
}

pub(super) fn unreadable(item: &Item) -> UnreadableRow {
    let part = |name| text_of(item, name).unwrap_or_default();
    UnreadableRow { key: format!("{} {}", part(PARTITION), part(PLACE)), source: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eventstore::{Hash, StreamId};

    fn batch(entries: usize) -> JournalBatch {
        let entry = |index: usize| JournalEntry {
            stream: StreamId::new(format!("order-{index:036}")).unwrap(),
            version: 1_000_000,
            last_version: 1_000_002,
            hash: Hash::of(&[]),
            previous: Some(1_000_000_000),
        };
        let entries = (0..entries).map(entry).collect();
        JournalBatch { first: 1_000_000_001, entries, nonce: u64::MAX }
    }

    #[test]
    fn a_batch_survives_its_item() {
        let batch = batch(3);
        let item = batch.to_item(2).unwrap();
        assert_eq!(JournalBatch::from_item(&item).unwrap(), batch);
        assert_eq!(
            (batch.last(), batch.numbered().last().unwrap().0),
            (1_000_000_003, 1_000_000_003)
        );
        for attribute in [ENTRIES, NONCE, FORMAT, PLACE] {
            let mut item = item.clone();
            item.insert(attribute.to_owned(), text("x"));
            let error = JournalBatch::from_item(&item).unwrap_err();
            assert!(error.key.starts_with("2/journal/10000 "), "{attribute}: {error}");
        }
    }

    #[test]
    fn a_full_batch_costs_at_most_a_fifth_of_a_unit_for_each_commit() {
        let item = batch(MAX_ENTRIES).to_item(1).unwrap();
        let bytes: usize =
            item.iter().map(|(name, value)| name.len() + value.as_s().map_or(8, String::len)).sum();
        assert!(bytes.div_ceil(1024) <= MAX_ENTRIES / 5, "{bytes} bytes");
    }

    #[test]
    fn ranges_begin_after_every_hundred_thousandth_position() {
        assert_eq!([1, 2, RANGE, RANGE + 1].map(range_of), [0, 0, 0, 1]);
        assert_eq!((end_of_range(0), end_of_range(1)), (RANGE, 2 * RANGE));
        assert!(place(9) < place(10) && place(99_999) < place(100_000));
    }
}
