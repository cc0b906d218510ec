//! Bounded reads of a stream: for a limited time, and only up to a corrupt item.

use eventstore::{Direction, EventStore, ReadError, StreamId, StreamPage};
use std::time::{Duration, Instant};

/// How long gaps are filled. A page that was begun is finished, and each call fills at least one
/// page. So every call makes progress, however short its time.
#[derive(Debug, Clone, Copy)]
pub struct TimeLimit {
    /// None: no limit.
    until: Option<Instant>,
    fills_gaps: bool,
}

impl TimeLimit {
    /// No limit.
    pub const NONE: Self = Self { until: None, fills_gaps: true };

    /// No page is begun after that time from now.
    pub fn after(time: Duration) -> Self {
        Self { until: Instant::now().checked_add(time), fills_gaps: true }
    }

    /// Only notified commits are applied; gaps are left for later.
    pub(crate) fn without_gaps(self) -> Self {
        Self { fills_gaps: false, ..self }
    }

    pub(crate) fn fills_gaps(&self) -> bool {
        self.fills_gaps
    }

    pub(crate) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// Reads commits from that version on, up to a corrupt item: the limit is reduced until the read
/// ends before it. The limit counts items, and one item may hold many events.
pub(crate) async fn sound_page(
    store: &EventStore,
    stream: &StreamId,
    from: u64,
    mut limit: u32,
) -> Result<StreamPage, ReadError> {
    loop {
        match store.read(stream, from, Direction::Forwards, limit).await {
            Err(ReadError::Corrupt(corrupt)) if corrupt.version > from && limit > 1 => {
                let before = u32::try_from(corrupt.version - from).unwrap_or(u32::MAX);
                limit = (limit / 2).min(before);
            }
            page => return page,
        }
    }
}
