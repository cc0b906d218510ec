//! The item of a stream's snapshot: a cache of its state in the same partition, never the truth.
//!
//! Its sort key is larger than that of any batch, so a query backwards from the end finds it first.
//! It is outside the hash chain and may be lost. One that cannot be read or has another shape is
//! ignored and replaced.

use crate::dedup::CommandIds;
use crate::log::item::{AS_OF, FORMAT_NAME, HASH, SNAPSHOT_VERSION, STREAM_ID, VERSION};
use crate::log::item::{compress, decompress, item_bytes, number, snapshot_seen};
use crate::stream::commit::storable;
use crate::{Head, Item, MAX_BATCH_BYTES, MAX_ITEM_BYTES, StreamId, time_text};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

const FORMAT: u64 = 2;

const RECORDED_AT: &str = "recorded_at";
const SHAPE: &str = "shape";
const SNAPSHOT: &str = "snapshot";
const SNAPSHOT_ZSTD: &str = "snapshot_zstd";

/// The state of a stream at a head.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) head: Head,
    /// The shape of the state.
    pub(crate) shape: String,
    pub(crate) body: SnapshotBody,
    /// The size of the item.
    pub(crate) bytes: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotBody {
    pub(crate) state: Box<RawValue>,
    pub(crate) ids: CommandIds,
}

impl Snapshot {
    /// Parses the item at [`SNAPSHOT_VERSION`]; none if this program cannot use it.
    pub(crate) fn from_item(stream: &StreamId, item: &Item) -> Option<Self> {
        let text = |name: &str| item.get(name)?.as_s().ok();
        let (as_of, hash) = snapshot_seen(item)?;
        let time = DateTime::parse_from_rfc3339(text(RECORDED_AT)?).ok()?;
        let head = Head {
            stream: stream.clone(),
            version: as_of,
            hash,
            recorded_at: Some(storable(time.with_timezone(&Utc))),
        };
        if number(item, FORMAT_NAME)? != FORMAT {
            return None;
        }
        let body: SnapshotBody =
            serde_json::from_str(&decompress(item, SNAPSHOT, SNAPSHOT_ZSTD).ok()?).ok()?;
        let usable = body.ids.is_valid_at(as_of);
        usable.then(|| {
            Some(Self { head, shape: text(SHAPE)?.clone(), body, bytes: item_bytes(item) })
        })?
    }

    /// The item; none if it is too large.
    pub(super) fn to_item(&self) -> Option<Item> {
        let json =
            serde_json::to_string(&self.body).ok().filter(|json| json.len() <= MAX_BATCH_BYTES)?;
        let number = |number: u64| AttributeValue::N(number.to_string());
        let mut item = Item::from([
            (STREAM_ID.to_owned(), AttributeValue::S(self.head.stream.to_string())),
            (VERSION.to_owned(), number(SNAPSHOT_VERSION)),
            (FORMAT_NAME.to_owned(), number(FORMAT)),
            (AS_OF.to_owned(), number(self.head.version)),
            (HASH.to_owned(), AttributeValue::S(self.head.hash.to_string())),
            (RECORDED_AT.to_owned(), AttributeValue::S(time_text(self.head.recorded_at?))),
            (SHAPE.to_owned(), AttributeValue::S(self.shape.clone())),
        ]);
        compress(&mut item, json, SNAPSHOT, SNAPSHOT_ZSTD);
        (item_bytes(&item) <= MAX_ITEM_BYTES).then_some(item)
    }
}
