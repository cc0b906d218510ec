//! A clock that advances only when a case says so.

use loopback_sqs::Now;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The start of the clock: later than any start of the queues' own clock.
const BEGINNING_MS: u64 = 1_800_000_000_000;

/// Milliseconds since 1970. Clones are the same clock.
#[derive(Debug, Clone)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(BEGINNING_MS)))
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    /// Advances the clock. A time in the past changes nothing.
    pub(crate) fn pass_until(&self, at_ms: u64) {
        self.0.fetch_max(at_ms, Ordering::SeqCst);
    }

    /// The clock for the engine of queues.
    pub(crate) fn of_queues(&self) -> Now {
        let clock = self.clone();
        Arc::new(move || clock.now_ms())
    }
}
