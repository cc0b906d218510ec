//! The item of the table that holds a batch of commits.

use crate::stream::commit::MAX_VERSION;
use crate::{Batch, CorruptStream, Damage, Hash, StreamId};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;
use std::io::Read;

/// An item of the table, in the type of the SDK.
pub type Item = HashMap<String, AttributeValue>;

/// The most bytes of an item, names included (DynamoDB's limit).
pub const MAX_ITEM_BYTES: usize = 400 * 1024;
/// The most bytes of a batch's JSON before compression. Our own limit, which bounds what an item
/// can decompress to.
pub const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;
/// The binary logarithm of the memory for decompression: enough for a batch, and a bound for
/// foreign data.
const MAX_WINDOW_LOG: u32 = MAX_BATCH_BYTES.ilog2();
/// The bytes of one write unit. The JSON of a larger item is compressed.
const WRITE_UNIT_BYTES: usize = 1024;

/// The sort key of every snapshot.
pub(crate) const SNAPSHOT_VERSION: u64 = MAX_VERSION + 1;
/// The witness name of a snapshot.
pub(crate) const SNAPSHOT_NAME: &str = "its snapshot";

pub(crate) const STREAM_ID: &str = "stream_id";
pub(crate) const VERSION: &str = "version";
/// The version of the last event, if it is not that of the first.
const LAST: &str = "last";
pub(crate) const FORMAT_NAME: &str = "format";
/// The write nonce, random for each append and outside the hash chain. It distinguishes the put of
/// this call from that of the same command sent twice in one millisecond.
const WRITE_NONCE: &str = "put";
const COMMITS: &str = "commits";
const COMMITS_ZSTD: &str = "commits_zstd";
pub(crate) const AS_OF: &str = "as_of";
pub(crate) const HASH: &str = "hash";

/// The commits do not fit into an item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the commit has {bytes} bytes, and at most {limit} fit")]
pub struct TooLarge {
    /// The size of the item, or of the JSON if that is over its own limit.
    pub bytes: usize,
    /// The limit.
    pub limit: usize,
}

impl Batch {
    /// The batch as an item with the write nonce of the call.
    pub(crate) fn to_item(&self, write_nonce: u64) -> Result<Item, TooLarge> {
        let too_large = |bytes, limit| TooLarge { bytes, limit };
        let json = self.commits_json().map_err(|_| too_large(usize::MAX, MAX_BATCH_BYTES))?;
        if json.len() > MAX_BATCH_BYTES {
            return Err(too_large(json.len(), MAX_BATCH_BYTES));
        }
        let number = |number: u64| AttributeValue::N(number.to_string());
        let mut item = Item::from([
            (STREAM_ID.to_owned(), AttributeValue::S(self.stream.to_string())),
            (VERSION.to_owned(), number(self.version())),
            (FORMAT_NAME.to_owned(), number(Self::COMMITS_FORMAT)),
            (WRITE_NONCE.to_owned(), AttributeValue::B(Blob::new(write_nonce.to_be_bytes()))),
        ]);
        if self.last_version() != self.version() {
            item.insert(LAST.to_owned(), number(self.last_version()));
        }
        compress(&mut item, json, COMMITS, COMMITS_ZSTD);
        let bytes = item_bytes(&item);
        if bytes > MAX_ITEM_BYTES { Err(too_large(bytes, MAX_ITEM_BYTES)) } else { Ok(item) }
    }

    /// Parses an item of the table, from the table or from its DynamoDB stream.
    ///
    /// # Errors
    /// [`CorruptStream`] names the stream, the version and the damage.
    pub fn from_item(item: &Item) -> Result<Self, CorruptStream> {
        let key = item_key(item)?;
        let damaged =
            |damage| CorruptStream { stream: key.stream.to_string(), version: key.version, damage };
        let format =
            number(item, FORMAT_NAME).ok_or_else(|| damaged(Damage::Attribute(FORMAT_NAME)))?;
        if format != Self::COMMITS_FORMAT {
            return Err(damaged(Damage::Format(format.to_string())));
        }
        let json = decompress(item, COMMITS, COMMITS_ZSTD).map_err(damaged)?;
        let batch = Self::from_commits_json(key.stream.clone(), key.version, &json)?;
        let said = match item.contains_key(LAST) {
            true => number(item, LAST).ok_or_else(|| damaged(Damage::Attribute(LAST)))?,
            false => batch.version(),
        };
        if said != batch.last_version() {
            return Err(damaged(Damage::Extent { said, found: batch.last_version() }));
        }
        Ok(batch)
    }
}

/// The key of an item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ItemKey {
    pub(crate) stream: StreamId,
    pub(crate) version: u64,
}

/// The key of a batch.
pub(crate) fn item_key(item: &Item) -> Result<ItemKey, CorruptStream> {
    let text = item
        .get(STREAM_ID)
        .and_then(|value| value.as_s().ok())
        .map(String::as_str)
        .unwrap_or_default();
    let version = number(item, VERSION);
    let place = version.or_else(|| whole_part(item)).unwrap_or(0);
    let damaged = |name| CorruptStream {
        stream: text.to_owned(),
        version: place,
        damage: Damage::Attribute(name),
    };
    let stream = StreamId::new(text).map_err(|_| damaged(STREAM_ID))?;
    let in_range = version.filter(|version| (1..=MAX_VERSION).contains(version));
    Ok(ItemKey { stream, version: in_range.ok_or_else(|| damaged(VERSION))? })
}

/// Whether the item was put by the call with this write nonce.
pub(crate) fn has_write_nonce(item: &Item, write_nonce: u64) -> bool {
    item.get(WRITE_NONCE)
        .and_then(|value| value.as_b().ok())
        .is_some_and(|blob| blob.as_ref() == write_nonce.to_be_bytes())
}

/// Whether the item, or its key alone, is a batch. Sort keys above [`MAX_VERSION`] are of
/// snapshots.
pub fn is_batch(item: &Item) -> bool {
    number(item, VERSION).is_none_or(|version| version <= MAX_VERSION)
}

/// The stream and the version in an item's key, unchecked.
pub fn key_of(item: &Item) -> (Option<&str>, Option<u64>) {
    let stream = item.get(STREAM_ID).and_then(|stream| stream.as_s().ok());
    (stream.map(String::as_str), number(item, VERSION))
}

/// The head that the snapshot was taken at: version and hash.
pub(crate) fn snapshot_seen(item: &Item) -> Option<(u64, Hash)> {
    let as_of = number(item, AS_OF).filter(|version| (1..=MAX_VERSION).contains(version))?;
    let hash = item.get(HASH)?.as_s().ok()?.clone();
    Some((as_of, Hash::try_from(hash).ok()?))
}

pub(crate) fn number(item: &Item, name: &str) -> Option<u64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// The whole part of a fractional sort key, to name its place.
fn whole_part(item: &Item) -> Option<u64> {
    item.get(VERSION)?.as_n().ok()?.split('.').next()?.parse().ok()
}

/// The size of an item as DynamoDB computes it.
pub(crate) fn item_bytes(item: &Item) -> usize {
    let value_bytes = |value: &AttributeValue| {
        let text = value.as_s().map(String::len).ok();
        let bytes = || value.as_b().map(|blob| blob.as_ref().len()).ok();
        // The store writes no other type.
        text.or_else(bytes).unwrap_or_else(|| value.as_n().map_or(1, |number| number_bytes(number)))
    };
    item.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
}

/// One byte for two significant digits, and one or two more: DynamoDB documents it as approximate.
fn number_bytes(number: &str) -> usize {
    number.trim_start_matches(['-', '0']).trim_end_matches('0').len().div_ceil(2) + 2
}

/// Adds the JSON to the item: as text within one write unit, else in the smaller of both forms.
pub(crate) fn compress(
    item: &mut Item,
    json: String,
    readable: &'static str,
    compressed: &'static str,
) {
    if item_bytes(item) + readable.len() + json.len() > WRITE_UNIT_BYTES {
        let packed = zstd::bulk::compress(json.as_bytes(), 3).ok();
        if let Some(packed) = packed.filter(|packed| packed.len() < json.len()) {
            item.insert(compressed.to_owned(), AttributeValue::B(Blob::new(packed)));
            return;
        }
    }
    item.insert(readable.to_owned(), AttributeValue::S(json));
}

/// Reads what [`compress`] wrote.
pub(crate) fn decompress(
    item: &Item,
    readable: &'static str,
    compressed: &'static str,
) -> Result<String, Damage> {
    match (item.get(readable), item.get(compressed)) {
        (Some(AttributeValue::S(json)), None) => Ok(json.clone()),
        (None, Some(AttributeValue::B(packed))) => {
            let mut json = String::new();
            let limit = u64::try_from(MAX_BATCH_BYTES).unwrap_or(u64::MAX);
            let mut decoder =
                zstd::Decoder::with_buffer(packed.as_ref()).map_err(|_| Damage::Compression)?;
            decoder.window_log_max(MAX_WINDOW_LOG).map_err(|_| Damage::Compression)?;
            decoder.take(limit).read_to_string(&mut json).map_err(|_| Damage::Compression)?;
            Ok(json)
        }
        _ => Err(Damage::Attribute(readable)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::commit::tests::{commit, stream};
    use crate::stream::hash_chain::genesis;
    use crate::{CommandMetadata, Commit, Fingerprint, Id, NewCommit, NewEvent};
    use chrono::DateTime;
    use serde_json::value::RawValue;

    fn batch(data: &str) -> Batch {
        let first = commit("a", 5, &[data, "2"], &genesis(&stream()));
        let second = commit("b", 7, &["3"], &first.hash);
        Batch { stream: stream(), commits: vec![first, second] }
    }

    fn noise(chars: usize) -> String {
        let text: String = std::iter::repeat_with(fastrand::alphanumeric).take(chars).collect();
        format!("\"{text}\"")
    }

    #[test]
    fn an_item_brings_the_batch_back() {
        for data in ["1", &noise(10_000), &format!("\"{}\"", "a".repeat(2_000_000))] {
            let written = batch(data);
            let read = Batch::from_item(&written.to_item(7).unwrap()).unwrap();
            assert_eq!((read.version(), read.last_version(), read.hash()), (5, 7, written.hash()));
            assert_eq!(read.commits[0].events[0].body.data.get(), data);
        }
    }

    #[test]
    fn small_commits_stay_readable_and_large_ones_are_compressed() {
        let single =
            Batch { stream: stream(), commits: vec![commit("a", 1, &["1"], &genesis(&stream()))] };
        assert!(single.to_item(7).unwrap()[COMMITS].as_s().unwrap().contains(r#""type":"Noted""#));
        let item = batch(&format!("\"{}\"", "long ".repeat(1_000))).to_item(7).unwrap();
        assert!(item[COMMITS_ZSTD].as_b().unwrap().as_ref().len() < 1_000);
    }

    /// A commit of one event, as most are.
    fn usual(data: &str) -> Item {
        let id = Id::new("0190d6a8-5c1e-7cc0-b4d0-3f1f5a3c9a10").unwrap();
        let metadata = CommandMetadata {
            command_id: id.clone(),
            fingerprint: Fingerprint::of(&[b"asked"]),
            correlation_id: id,
            causation_id: None,
            actor: Id::new("anna").unwrap(),
            trace_parent: Id::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").ok(),
        };
        let stream = StreamId::new("notes-0190d6a8-5c1e-7cc0-b4d0-3f1f5a3c9a10").unwrap();
        let data = RawValue::from_string(data.to_owned()).unwrap();
        let events = vec![NewEvent { event_type: "NoteWritten".into(), schema: 1, data }];
        let recorded_at = DateTime::from_timestamp_millis(1_790_000_000_123).unwrap();
        let commit =
            Commit::chain(NewCommit { metadata, events }, 12_345, recorded_at, &genesis(&stream));
        Batch { stream, commits: vec![commit] }.to_item(u64::MAX).unwrap()
    }

    #[test]
    fn an_item_takes_at_most_340_bytes_beside_its_event() {
        let item = usual("{}");
        let mut names: Vec<&str> = item.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, [COMMITS, FORMAT_NAME, WRITE_NONCE, STREAM_ID, VERSION]);
        let beside = item_bytes(&item) - "{}".len();
        assert!(beside <= 340, "{beside} bytes: {item:?}");
    }

    #[test]
    fn an_event_of_480_bytes_costs_one_write_unit_and_is_readable() {
        let data = noise(478);
        let item = usual(&data);
        assert!(
            item[COMMITS]
                .as_s()
                .unwrap()
                .ends_with(&format!(r#""type":"NoteWritten","data":{data}}}]}}]"#))
        );
        assert_eq!(crate::log::append::kilobytes(&item), 1);
    }

    #[test]
    fn an_item_is_compressed_when_it_would_pass_a_write_unit() {
        let most = WRITE_UNIT_BYTES - item_bytes(&usual("\"\""));
        let full = usual(&noise(most));
        assert_eq!((item_bytes(&full), full.contains_key(COMMITS)), (WRITE_UNIT_BYTES, true));
        assert!(usual(&noise(most + 1)).contains_key(COMMITS_ZSTD));
    }

    #[test]
    fn a_number_takes_a_byte_for_every_two_digits() {
        for (number, bytes) in
            [("0", 2), ("1", 3), ("10", 3), ("12", 3), ("123", 4), ("9007199254740991", 10)]
        {
            assert_eq!(number_bytes(number), bytes, "{number}");
        }
    }

    #[test]
    fn what_cannot_fit_is_refused() {
        assert_eq!(batch(&noise(600_000)).to_item(7).unwrap_err().limit, MAX_ITEM_BYTES);
        assert_eq!(
            batch(&format!("\"{}\"", "a".repeat(MAX_BATCH_BYTES))).to_item(7).unwrap_err().limit,
            MAX_BATCH_BYTES
        );
    }

    #[test]
    fn commits_from_elsewhere_must_stand_within_the_versions_of_a_stream() {
        let json = batch("1").commits_json().unwrap();
        assert!(Batch::from_commits_json(stream(), 5, &json).is_ok());
        for version in [0, MAX_VERSION + 1, u64::MAX] {
            let refused = Batch::from_commits_json(stream(), version, &json).unwrap_err();
            assert_eq!((refused.version, refused.damage), (version, Damage::Attribute(VERSION)));
        }
    }

    #[test]
    fn damage_is_named_with_stream_and_version() {
        let small = |change: fn(&mut Item)| {
            let mut item = batch("1").to_item(7).unwrap();
            change(&mut item);
            Batch::from_item(&item).unwrap_err()
        };
        let older =
            small(|item| drop(item.insert(FORMAT_NAME.into(), AttributeValue::N("1".into()))));
        assert_eq!(
            older.to_string(),
            "stream note-1 is damaged at version 5: item format 1 is not known here"
        );
        let at_five = |damage| CorruptStream { stream: "note-1".into(), version: 5, damage };
        assert_eq!(
            small(|item| drop(item.remove(FORMAT_NAME))),
            at_five(Damage::Attribute(FORMAT_NAME))
        );
        assert_eq!(
            small(|item| drop(item.insert(FORMAT_NAME.into(), AttributeValue::N("9".into())))),
            at_five(Damage::Format("9".into()))
        );
        assert_eq!(
            small(|item| drop(item.insert(LAST.into(), AttributeValue::N("9".into())))),
            at_five(Damage::Extent { said: 9, found: 7 })
        );
        assert_eq!(
            small(|item| {
                item.remove(COMMITS);
                item.insert(COMMITS_ZSTD.into(), AttributeValue::B(Blob::new([1, 2, 3])));
            }),
            at_five(Damage::Compression)
        );
        assert_eq!(
            small(|item| {
                item.remove(COMMITS);
                item.remove(COMMITS_ZSTD);
            }),
            at_five(Damage::Attribute(COMMITS))
        );
        for (json, damage) in [("[]", Damage::Empty), ("{", Damage::Json(String::new()))] {
            let mut item = batch("1").to_item(7).unwrap();
            item.remove(COMMITS_ZSTD);
            item.insert(COMMITS.into(), AttributeValue::S(json.into()));
            let found = Batch::from_item(&item).unwrap_err();
            assert_eq!(std::mem::discriminant(&found.damage), std::mem::discriminant(&damage));
            assert_eq!((found.stream.as_str(), found.version), ("note-1", 5));
        }
        let mut nameless = batch("1").to_item(7).unwrap();
        nameless.insert(STREAM_ID.into(), AttributeValue::N("1".into()));
        assert_eq!(Batch::from_item(&nameless).unwrap_err().damage, Damage::Attribute(STREAM_ID));
    }
}
