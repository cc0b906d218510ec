//! A process's cache of what is indexed. It stays valid while the generation exists, unless a table
//! is restored.

use chrono::NaiveDate;
use eventstore::StreamId;
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The capacity for streams: some 200 bytes each.
const STREAMS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);
/// The capacity for days: eleven years of a rebuild.
const DAYS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3_999);

/// Shared by the clones of an index. Numbers of generations are not reused, so a drop invalidates
/// nothing.
#[derive(Clone)]
pub(super) struct IndexCache(Arc<Mutex<Cached>>);

struct Cached {
    /// The version up to which a stream is indexed in a generation.
    indexed: LruCache<(u32, StreamId), u64>,
    /// The days in a generation's directory.
    days: LruCache<(u32, NaiveDate), ()>,
}

impl IndexCache {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Cached {
            indexed: LruCache::new(STREAMS),
            days: LruCache::new(DAYS),
        })))
    }

    /// The version up to which the stream is known to be indexed; 0 if unknown.
    pub(super) fn indexed(&self, generation: u32, stream: &StreamId) -> u64 {
        self.lock().indexed.get(&(generation, stream.clone())).copied().unwrap_or_default()
    }

    /// The stream is indexed up to that version at least.
    pub(super) fn note_indexed(&self, generation: u32, stream: &StreamId, version: u64) {
        let mut cached = self.lock();
        let known = cached.indexed.get_or_insert_mut((generation, stream.clone()), || version);
        *known = version.max(*known);
    }

    /// It is unknown again how far the stream is indexed.
    pub(super) fn forget(&self, generation: u32, stream: &StreamId) {
        self.lock().indexed.pop(&(generation, stream.clone()));
    }

    /// Whether the directory is known to have the day.
    pub(super) fn has_day(&self, generation: u32, day: NaiveDate) -> bool {
        self.lock().days.get(&(generation, day)).is_some()
    }

    /// The directory has the day.
    pub(super) fn note_day(&self, generation: u32, day: NaiveDate) {
        self.lock().days.put((generation, day), ());
    }

    fn lock(&self) -> MutexGuard<'_, Cached> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
