//! A stream's snapshot: a cache of its state in its own partition, never truth.
//!
//! Its sort key is larger than that of any batch, so that a query backwards from the end meets it first. It lies outside the
//! chain, and nothing is lost with it: one that cannot be read, or is of another shape, is passed over and replaced.

use crate::dedup::CommandIds;
use crate::error::{Fault, classify};
use crate::log::append::{kilobytes, put_units};
use crate::log::item::{
    FORMAT_NAME, Item, MAX_BATCH_BYTES, MAX_ITEM_BYTES, STREAM_ID, VERSION, fold_up, item_bytes, number, unfold,
};
use crate::metering::meter;
use crate::stream::commit::{MAX_VERSION, storable};
use crate::{EventStore, Hash, Head, StreamId, time_text};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use chrono::{DateTime, Utc};
use futures::future::join_all;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;

/// So long a put that is done waits for the snapshot beside it: the snapshot is a cache, and its loss costs little.
const SNAPSHOT_GRACE: Duration = Duration::from_millis(100);
/// The sort key of every snapshot.
pub(crate) const SNAPSHOT_VERSION: u64 = MAX_VERSION + 1;
/// Format 1 had filters that grew with the stream, and another meaning of an id's time.
/// What people call it.
pub(crate) const NAME: &str = "its snapshot";
const FORMAT: u64 = 2;

const AS_OF: &str = "as_of";
const HASH: &str = "hash";
const RECORDED_AT: &str = "recorded_at";
const SHAPE: &str = "shape";
const SNAPSHOT: &str = "snapshot";
const SNAPSHOT_ZSTD: &str = "snapshot_zstd";

/// How a model's state is kept as a snapshot.
pub struct SnapshotCodec<S> {
    /// A name for the state's shape and for what `evolve` makes of events, like `order/1`: change it when either changes
    /// its meaning. A snapshot of another name is passed over; a stream has one, so only one model with snapshots may handle
    /// its commands.
    pub shape: &'static str,
    /// The state as JSON text: the same state, the same JSON (so no `HashMap` as a list).
    pub encode: fn(&S) -> serde_json::Result<String>,
    /// The state from what `encode` wrote.
    pub decode: fn(&str) -> serde_json::Result<S>,
}

impl<S> Clone for SnapshotCodec<S> {
    fn clone(&self) -> Self {
        let Self { shape, encode, decode } = self;
        Self { shape, encode: *encode, decode: *decode }
    }
}

impl<S: Serialize + DeserializeOwned> SnapshotCodec<S> {
    /// The state as serde writes it.
    pub const fn json(shape: &'static str) -> Self {
        Self { shape, encode: |state| serde_json::to_string(state), decode: |text| serde_json::from_str(text) }
    }
}

impl<S> SnapshotCodec<S> {
    /// What snapshots of this program bear: the shape's name, and a hash of the JSON of the state of the empty stream,
    /// which changes with the fields of a struct though nobody thinks of the name.
    pub(crate) fn fingerprint(&self, initial: &S) -> Option<String> {
        let empty = (self.encode)(initial).ok()?;
        let hash: String = Hash::of(&[empty.as_bytes()]).to_string().chars().take(16).collect();
        Some(format!("{}:{hash}", self.shape))
    }

    /// The state, if it is written again as it was read: a field that this program does not know, or has to make up, is
    /// another shape that somebody forgot to name.
    pub(crate) fn read(&self, text: &str) -> Option<S> {
        let state = (self.decode)(text).ok()?;
        same_json(text, &(self.encode)(&state).ok()?).then_some(state)
    }
}

/// Whether the texts are the same JSON, in whatever order their objects are.
pub(crate) fn same_json(one: &str, other: &str) -> bool {
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    one == other || value(one).is_some_and(|one| value(other) == Some(one))
}

/// A stream as it was at a head.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) head: Head,
    /// The fingerprint of the state's shape.
    pub(crate) shape: String,
    pub(crate) body: Body,
    /// The item's size.
    pub(crate) bytes: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Body {
    pub(crate) state: Box<RawValue>,
    pub(crate) ids: CommandIds,
}

/// How far the stream reached when its snapshot was written: version and hash, whatever state the item holds.
pub(crate) fn seen(item: &Item) -> Option<(u64, Hash)> {
    let as_of = number(item, AS_OF).filter(|version| (1..=MAX_VERSION).contains(version))?;
    let hash = item.get(HASH)?.as_s().ok()?.clone();
    Some((as_of, Hash::try_from(hash).ok()?))
}

impl Snapshot {
    /// Reads an item at [`SNAPSHOT_VERSION`]; nothing where it is none that this program can use.
    pub(crate) fn from_item(stream: &StreamId, item: &Item) -> Option<Self> {
        let text = |name: &str| item.get(name)?.as_s().ok();
        let (as_of, hash) = seen(item)?;
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
        let body: Body = serde_json::from_str(&unfold(item, SNAPSHOT, SNAPSHOT_ZSTD).ok()?).ok()?;
        let usable = body.ids.fits(as_of);
        usable.then(|| Some(Self { head, shape: text(SHAPE)?.clone(), body, bytes: item_bytes(item) }))?
    }

    /// The item, unless it is larger than an item can be.
    fn to_item(&self) -> Option<Item> {
        let json = serde_json::to_string(&self.body).ok().filter(|json| json.len() <= MAX_BATCH_BYTES)?;
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
        fold_up(&mut item, json, SNAPSHOT, SNAPSHOT_ZSTD);
        (item_bytes(&item) <= MAX_ITEM_BYTES).then_some(item)
    }
}

impl EventStore {
    /// Writes the snapshot, unless a newer one is there (or `replace`s whatever is). Tells its size in bytes.
    pub(crate) async fn put_snapshot(&self, snapshot: &Snapshot, replace: bool) -> Result<usize, Unwritten> {
        let stream = &snapshot.head.stream;
        let written = self.reported("snapshot", Some(stream), self.send_snapshot(snapshot, replace)).await;
        match &written {
            Ok(_) | Err(Unwritten::NewerIsThere) => {}
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = error;
                tracing::warn!(%stream, error, "the snapshot was not written: who starts anew reads more");
            }
        }
        written
    }

    /// Does the work, writes the snapshots beside it, and tells their sizes in bytes where they were written in time.
    pub(crate) async fn beside_snapshots<T>(
        &self,
        snapshots: &[(Snapshot, bool)],
        work: impl Future<Output = T>,
    ) -> (T, Vec<Option<usize>>) {
        let puts = join_all(snapshots.iter().map(|(snapshot, replace)| self.put_snapshot(snapshot, *replace)));
        tokio::pin!(work, puts);
        let mut written = None;
        let done = tokio::select! {
            biased;
            done = &mut work => done,
            answers = &mut puts => {
                written = Some(answers);
                work.as_mut().await
            }
        };
        if written.is_none() {
            written = tokio::time::timeout(SNAPSHOT_GRACE, puts).await.ok();
        }
        (done, written.unwrap_or_default().into_iter().map(Result::ok).collect())
    }

    async fn send_snapshot(&self, snapshot: &Snapshot, replace: bool) -> Result<usize, Unwritten> {
        let item = snapshot.to_item().ok_or(Unwritten::TooLarge)?;
        let (bytes, kilobytes) = (item_bytes(&item), kilobytes(&item));
        let mut put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        if !replace {
            put = put
                .condition_expression("attribute_not_exists(#stream) OR #as_of < :as_of")
                .expression_attribute_names("#stream", STREAM_ID)
                .expression_attribute_names("#as_of", AS_OF)
                .expression_attribute_values(":as_of", AttributeValue::N(snapshot.head.version.to_string()));
        }
        let put = put.return_consumed_capacity(ReturnConsumedCapacity::Total);
        let (answer, _) = meter::request(put.send(), |answer| put_units(answer, kilobytes)).await;
        match answer {
            Ok(_) => Ok(bytes),
            Err(error) if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) => {
                Err(Unwritten::NewerIsThere)
            }
            Err(error) => Err(classify(error, &self.table).into()),
        }
    }
}

/// Why a snapshot was not written: no failure of anything, for the events are there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unwritten {
    #[error("a newer one is there")]
    NewerIsThere,
    #[error("the state is larger than an item can be")]
    TooLarge,
    #[error(transparent)]
    Fault(#[from] Fault),
}
