//! A commit's entry as one item of the table.

use super::rank::{rank, read_rank};
use super::short_hash::ShortHash;
use crate::tables::attribute::{text, text_of};
use crate::tables::row::{Item, UnreadableRow};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, NaiveDate, Utc};
use eventstore::{Commit, Hash, Id, StreamId};

pub(super) const COMMAND: &str = "command";
pub(super) const RANK: &str = "rank";
pub(super) const DAY: &str = "day";
pub(super) const CORRELATION: &str = "correlation";
pub(super) const LAST_VERSION: &str = "last_version";
const ACTOR: &str = "actor";
const TYPES: &str = "types";
const CAUSATION: &str = "causation";
pub(super) const HASH: &str = "hash";

/// How many partitions a day is spread over.
const SHARDS: u8 = 16;
/// How many of them have one actor's commits.
const SHARDS_OF_ACTOR: u8 = 4;

/// The entry of a commit: who, when and why. The events' data are in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// The stream.
    pub stream: StreamId,
    /// The version of its first event.
    pub version: u64,
    /// The version of its last event.
    pub last_version: u64,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// The command's id.
    pub command_id: Id,
    /// The correlation id.
    pub correlation_id: Id,
    /// The causation id, if the command has one.
    pub causation_id: Option<Id>,
    /// The actor of the command.
    pub actor: Id,
    /// The types of its events, each once, in the order in which they first occur.
    pub event_types: Vec<String>,
    /// Its hash in the stream's hash chain, shortened.
    pub hash: ShortHash,
}

impl IndexEntry {
    /// The entry of a commit.
    pub fn of(stream: &StreamId, commit: &Commit) -> Self {
        let mut event_types: Vec<String> = Vec::new();
        for event_type in commit.events.iter().map(|event| &event.body.event_type) {
            if !event_types.contains(event_type) {
                event_types.push(event_type.clone());
            }
        }
        let metadata = &commit.metadata;
        Self {
            stream: stream.clone(),
            version: commit.version,
            last_version: commit.last_version(),
            recorded_at: commit.recorded_at,
            command_id: metadata.command_id.clone(),
            correlation_id: metadata.correlation_id.clone(),
            causation_id: metadata.causation_id.clone(),
            actor: metadata.actor.clone(),
            event_types,
            hash: ShortHash::from(&commit.hash),
        }
    }

    /// The names of the fields that differ in another entry.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        // Destructured, so that the compiler reports a forgotten field.
        let Self {
            stream,
            version,
            last_version,
            recorded_at,
            command_id,
            correlation_id,
            causation_id,
            actor,
            event_types,
            hash,
        } = self;
        let same = [
            ("stream", *stream == other.stream),
            ("version", *version == other.version),
            ("number of events", *last_version == other.last_version),
            ("time", *recorded_at == other.recorded_at),
            ("command id", *command_id == other.command_id),
            ("correlation id", *correlation_id == other.correlation_id),
            ("causation id", *causation_id == other.causation_id),
            ("actor", *actor == other.actor),
            ("event types", *event_types == other.event_types),
            ("hash", *hash == other.hash),
        ];
        same.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
    }

    /// Its place among all commits.
    pub(super) fn rank(&self) -> String {
        rank(self.recorded_at, &self.stream, self.version)
    }

    pub(super) fn to_item(&self, generation: u32) -> Item {
        let day =
            day_key(generation, self.recorded_at.date_naive(), shard(&self.actor, &self.stream));
        let types = self.event_types.iter().map(|event_type| text(event_type)).collect();
        let mut item = key(generation, &self.command_id, self.rank());
        item.extend([
            (DAY.to_owned(), text(&day)),
            (CORRELATION.to_owned(), text(&qualified(generation, &self.correlation_id))),
            (LAST_VERSION.to_owned(), AttributeValue::N(self.last_version.to_string())),
            (ACTOR.to_owned(), text(self.actor.as_str())),
            (TYPES.to_owned(), AttributeValue::L(types)),
            (HASH.to_owned(), text(&self.hash.to_string())),
        ]);
        if let Some(causation) = &self.causation_id {
            item.insert(CAUSATION.to_owned(), text(causation.as_str()));
        }
        item
    }

    pub(super) fn from_item(item: &Item) -> Result<Self, UnreadableRow> {
        Self::read(item).ok_or_else(|| unreadable(item))
    }

    fn read(item: &Item) -> Option<Self> {
        let (recorded_at, stream, version) = read_rank(text_of(item, RANK)?)?;
        let id = |text: &str| Id::new(text).ok();
        let unqualified = |name| id(text_of(item, name)?.split_once('/')?.1);
        let causation_id = match item.get(CAUSATION) {
            Some(_) => Some(id(text_of(item, CAUSATION)?)?),
            None => None,
        };
        let types = item.get(TYPES)?.as_l().ok()?.iter().map(|name| name.as_s().ok().cloned());
        Some(Self {
            stream,
            version,
            last_version: item.get(LAST_VERSION)?.as_n().ok()?.parse().ok()?,
            recorded_at,
            command_id: unqualified(COMMAND)?,
            correlation_id: unqualified(CORRELATION)?,
            causation_id,
            actor: id(text_of(item, ACTOR)?)?,
            event_types: types.collect::<Option<_>>()?,
            hash: text_of(item, HASH)?.parse().ok()?,
        })
    }
}

/// The key of the entry of a commit that was recorded then, at that version of the stream.
pub(super) fn key_at(
    generation: u32,
    stream: &StreamId,
    version: u64,
    recorded_at: DateTime<Utc>,
    command_id: &Id,
) -> Item {
    key(generation, command_id, rank(recorded_at, stream, version))
}

fn key(generation: u32, command_id: &Id, rank: String) -> Item {
    let command = text(&qualified(generation, command_id));
    Item::from([(COMMAND.to_owned(), command), (RANK.to_owned(), AttributeValue::S(rank))])
}

/// An id within a generation.
pub(super) fn qualified(generation: u32, id: &Id) -> String {
    format!("{}{id}", prefix(generation))
}

/// The prefix of the keys of a generation's entries.
pub(super) fn prefix(generation: u32) -> String {
    format!("{generation}/")
}

/// The partition of a generation's days. No entry has this key: keys of entries begin with a digit.
pub(super) fn days_key(generation: u32) -> String {
    format!("days/{generation}")
}

/// The directory's entry of a day.
pub(super) fn day_item(generation: u32, day: NaiveDate) -> Item {
    Item::from([
        (COMMAND.to_owned(), text(&days_key(generation))),
        (RANK.to_owned(), text(&day.to_string())),
    ])
}

/// The day of a directory's entry.
pub(super) fn read_day(item: &Item) -> Result<NaiveDate, UnreadableRow> {
    text_of(item, RANK).and_then(|day| day.parse().ok()).ok_or_else(|| unreadable(item))
}

/// The partition of a day's shard.
pub(super) fn day_key(generation: u32, day: NaiveDate, shard: u8) -> String {
    format!("{}{day}/{shard}", prefix(generation))
}

/// The shards with an actor's commits; all shards without an actor.
pub(super) fn shards(actor: Option<&Id>) -> Vec<u8> {
    match actor {
        Some(actor) => {
            (0..SHARDS_OF_ACTOR).map(|part| (first_shard(actor) + part) % SHARDS).collect()
        }
        None => (0..SHARDS).collect(),
    }
}

fn shard(actor: &Id, stream: &StreamId) -> u8 {
    (first_shard(actor) + spread(stream.as_str(), SHARDS_OF_ACTOR)) % SHARDS
}

fn first_shard(actor: &Id) -> u8 {
    spread(actor.as_str(), SHARDS)
}

/// One of `parts`, by a hash. Entries are stored by it, so it must never change.
fn spread(name: &str, parts: u8) -> u8 {
    let hash = Hash::of(&[name.as_bytes()]);
    let [first, ..] = hash.as_bytes();
    first % parts
}

/// The stream of an entry, and the version at which its commit begins.
pub(super) fn place_of(item: &Item) -> Result<(StreamId, u64), UnreadableRow> {
    let place = text_of(item, RANK).and_then(read_rank);
    place.map(|(_, stream, version)| (stream, version)).ok_or_else(|| unreadable(item))
}

fn unreadable(item: &Item) -> UnreadableRow {
    let part = |name| text_of(item, name).unwrap_or_default();
    UnreadableRow { key: format!("{} {}", part(COMMAND), part(RANK)), source: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn id(text: impl Into<String>) -> Id {
        Id::new(text).unwrap()
    }

    fn entry() -> IndexEntry {
        IndexEntry {
            stream: StreamId::new("note-a#1").unwrap(),
            version: 7,
            last_version: 9,
            recorded_at: "2026-11-22T10:00:00.123Z".parse().unwrap(),
            command_id: id("days/1"),
            correlation_id: id("c/1"),
            causation_id: Some(id("cause")),
            actor: id("actor"),
            event_types: vec!["B".into(), "A".into()],
            hash: ShortHash::from(&Hash::of(&[])),
        }
    }

    /// What DynamoDB counts: names and values as UTF-8, a list 3 bytes and 1 an element, a number 1
    /// and 1 for 2 digits.
    fn bytes(item: &Item) -> usize {
        let size = |value: &AttributeValue| match (value.as_s(), value.as_n(), value.as_l()) {
            (Ok(text), ..) => text.len(),
            (_, Ok(digits), _) => digits.len().div_ceil(2) + 1,
            (.., list) => {
                3 + list.unwrap().iter().map(|text| text.as_s().unwrap().len() + 1).sum::<usize>()
            }
        };
        item.iter().map(|(name, value)| name.len() + size(value)).sum()
    }

    #[test]
    fn an_entry_survives_as_an_item() {
        for entry in [entry(), IndexEntry { causation_id: None, event_types: vec![], ..entry() }] {
            assert_eq!(IndexEntry::from_item(&entry.to_item(11)).unwrap(), entry);
        }
    }

    #[test]
    fn every_field_that_differs_is_named() {
        type Change = fn(&mut IndexEntry);
        let changes: [(&str, Change); 10] = [
            ("stream", |entry| entry.stream = StreamId::new("note-b").unwrap()),
            ("version", |entry| entry.version = 6),
            ("number of events", |entry| entry.last_version = 8),
            ("time", |entry| entry.recorded_at += chrono::TimeDelta::milliseconds(1)),
            ("command id", |entry| entry.command_id = id("x")),
            ("correlation id", |entry| entry.correlation_id = id("x")),
            ("causation id", |entry| entry.causation_id = None),
            ("actor", |entry| entry.actor = id("x")),
            ("event types", |entry| entry.event_types.reverse()),
            ("hash", |entry| entry.hash = ShortHash::from(&Hash::of(&[b"x"]))),
        ];
        assert!(entry().differences(&entry()).is_empty());
        for (name, change) in changes {
            let mut other = entry();
            change(&mut other);
            assert_eq!(entry().differences(&other), [name]);
        }
    }

    #[test]
    fn an_unreadable_entry_is_named() {
        for name in [CORRELATION, LAST_VERSION, ACTOR, TYPES, CAUSATION, HASH] {
            let mut item = entry().to_item(1);
            item.insert(name.to_owned(), AttributeValue::Bool(true));
            let key = "1/days/1 2026-11-22T10:00:00.123Z#note-a#1#0000000000000007";
            assert_eq!(IndexEntry::from_item(&item).unwrap_err().key, key, "{name}");
        }
        let mut item = day_item(3, entry().recorded_at.date_naive());
        assert_eq!(read_day(&item).unwrap(), entry().recorded_at.date_naive());
        item.insert(RANK.to_owned(), text("a day"));
        assert_eq!(read_day(&item).unwrap_err().key, "days/3 a day");
    }

    #[test]
    fn the_longest_ids_and_240_bytes_of_types_fit_one_write_unit() {
        let long = id("x".repeat(128));
        let mut longest = IndexEntry {
            stream: StreamId::new(format!("n-{}", "x".repeat(98))).unwrap(),
            version: eventstore::MAX_VERSION,
            last_version: eventstore::MAX_VERSION,
            command_id: long.clone(),
            correlation_id: long.clone(),
            causation_id: Some(long.clone()),
            actor: long,
            event_types: vec!["x".repeat(23); 10],
            ..entry()
        };
        assert!(bytes(&longest.to_item(99_999)) <= 1024, "{}", bytes(&longest.to_item(99_999)));
        longest.event_types.push("x".repeat(23));
        assert!(
            bytes(&longest.to_item(99_999)) > 1024,
            "the limit is further away than the documentation says"
        );
    }

    #[test]
    fn an_actor_has_4_shards_and_all_together_16() {
        let streams: Vec<StreamId> =
            (0..200).map(|n| StreamId::new(format!("note-{n}")).unwrap()).collect();
        let of =
            |actor: &Id| streams.iter().map(|stream| shard(actor, stream)).collect::<HashSet<u8>>();
        let mut all = HashSet::new();
        for actor in (0..100).map(|n| id(format!("actor-{n}"))) {
            assert_eq!(of(&actor), shards(Some(&actor)).into_iter().collect());
            assert_eq!(of(&actor).len(), 4);
            all.extend(of(&actor));
        }
        assert_eq!(all, shards(None).into_iter().collect());
    }

    #[test]
    fn the_shards_of_stored_entries_never_change() {
        // The first byte of the SHA-256 of the length in 8 bytes and the name.
        assert_eq!((spread("tester", SHARDS), spread("order-1", SHARDS_OF_ACTOR)), (2, 0));
    }
}
