//! Mending a gap from the store: page by page, for a limited time, up to what cannot be read.

use eventstore::{Direction, EventStore, ReadError, StreamId, StreamPage};
use std::time::{Duration, Instant};

/// How long a gap may be mended. The page that was begun is done, and each call does one page at least: so every call comes
/// further, however little time it has.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimit {
    /// None: without end.
    until: Option<Instant>,
    mends_gaps: bool,
}

impl TimeLimit {
    /// No limit.
    pub const NONE: Self = Self { until: None, mends_gaps: true };

    /// No page is begun after that time from now.
    pub fn after(time: Duration) -> Self {
        Self { until: Instant::now().checked_add(time), mends_gaps: true }
    }

    /// Only notified commits are applied; gaps are left for later.
    pub(crate) fn without_gaps(self) -> Self {
        Self { mends_gaps: false, ..self }
    }

    pub(crate) fn mends_gaps(&self) -> bool {
        self.mends_gaps
    }

    pub(crate) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// Reads commits from that version on, up to a corrupt item: the limit is reduced until the read ends
/// before it. The limit counts items, and one item may hold many events.
pub(crate) async fn sound_page(
    store: &EventStore,
    stream: &StreamId,
    from: u64,
    mut limit: u32,
) -> Result<StreamPage, ReadError> {
    loop {
        match store.read(stream, from, Direction::Forwards, limit).await {
            Err(ReadError::Corrupt(damaged)) if damaged.version > from && limit > 1 => {
                let before = u32::try_from(damaged.version - from).unwrap_or(u32::MAX);
                limit = (limit / 2).min(before);
            }
            page => return page,
        }
    }
}
