//! What a process remembers of the index: facts that stay true for as long as the generation exists, unless somebody restores
//! a table.

use chrono::NaiveDate;
use eventstore::StreamId;
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many streams are remembered: some 200 bytes each.
const STREAMS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);
/// How many days are remembered: eleven years of a rebuild.
const DAYS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3_999);

/// Shared by the clones of an index. A generation that was dropped is never used again, so nothing has to be forgotten.
#[derive(Clone)]
pub(super) struct Memory(Arc<Mutex<Facts>>);

struct Facts {
    /// Up to which version a stream is indexed in a generation.
    indexed: LruCache<(u32, StreamId), u64>,
    /// Which days a generation's directory has.
    days: LruCache<(u32, NaiveDate), ()>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Facts { indexed: LruCache::new(STREAMS), days: LruCache::new(DAYS) })))
    }

    /// Up to which version the stream is known to be indexed; 0 if nothing is known.
    pub(super) fn indexed(&self, generation: u32, stream: &StreamId) -> u64 {
        self.facts().indexed.get(&(generation, stream.clone())).copied().unwrap_or_default()
    }

    /// The stream is indexed up to that version at least.
    pub(super) fn note_indexed(&self, generation: u32, stream: &StreamId, version: u64) {
        let mut facts = self.facts();
        let known = facts.indexed.get_or_insert_mut((generation, stream.clone()), || version);
        *known = version.max(*known);
    }

    /// The stream may be indexed or not.
    pub(super) fn forget(&self, generation: u32, stream: &StreamId) {
        self.facts().indexed.pop(&(generation, stream.clone()));
    }

    /// Whether the directory is known to have the day.
    pub(super) fn has_day(&self, generation: u32, day: NaiveDate) -> bool {
        self.facts().days.get(&(generation, day)).is_some()
    }

    /// The directory has the day.
    pub(super) fn note_day(&self, generation: u32, day: NaiveDate) {
        self.facts().days.put((generation, day), ());
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
