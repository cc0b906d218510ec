//! Lists the streams of the journal, by name.

use super::Journal;
use super::stream_end::{SHARDS, StreamEnd, shard_key};
use crate::tables::row::Item;
use crate::tables::table::TableError;
use eventstore::{Hash, StreamId};
use futures::{StreamExt, TryStreamExt};

/// After every character that a stream's name may have.
const HIGHEST: char = '\u{7f}';
/// The first character that a stream's name may have.
const LOWEST: char = '!';

/// A stream and its last entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournaledStream {
    /// Its name.
    pub stream: StreamId,
    /// The version of its last event.
    pub version: u64,
    /// The hash of its last commit.
    pub hash: Hash,
    /// The position of its last commit.
    pub position: u64,
}

/// A page of streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamsPage {
    /// The streams, by name.
    pub streams: Vec<JournaledStream>,
    /// Whether there are more after the last one.
    pub more: bool,
}

impl Journal {
    /// The streams of a category whose names begin with `prefix`, after the one of that name. Reads
    /// 16 partitions; eventually consistent.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn streams(
        &self,
        generation: u32,
        category: &str,
        prefix: &str,
        after: Option<&StreamId>,
        limit: usize,
    ) -> Result<StreamsPage, TableError> {
        let beginning = format!("{category}-{prefix}");
        let low = after.map_or_else(|| beginning.clone(), |after| format!("{after}{LOWEST}"));
        let (low, high) = (low.max(beginning.clone()), format!("{beginning}{HIGHEST}"));
        if low > high {
            return Ok(StreamsPage { streams: Vec::new(), more: false });
        }
        let reads =
            (0..SHARDS).map(|shard| {
                let (partition, low, high) =
                    (shard_key(generation, category, shard), low.clone(), high.clone());
                async move {
                    self.table.between(&partition, (&low, &high), true, limit + 1, false).await
                }
            });
        let shards: Vec<Vec<Item>> = futures::stream::iter(reads)
            .buffer_unordered(usize::from(SHARDS))
            .try_collect()
            .await?;
        let mut streams = Vec::new();
        for item in shards.iter().flatten() {
            let (stream, StreamEnd { position, reached }) = StreamEnd::from_item(item)?;
            streams.push(JournaledStream {
                stream,
                version: reached.version,
                hash: reached.hash,
                position,
            });
        }
        streams.sort_by(|one, other| one.stream.cmp(&other.stream));
        let more = streams.len() > limit;
        streams.truncate(limit);
        Ok(StreamsPage { streams, more })
    }
}
