//! A clock that never goes back.

use crate::config::Now;

/// When the source is set back, no time passes here, so visibility timeouts, delays and retention
/// still end.
pub(crate) struct SteadyClock {
    source: Now,
    last_raw_ms: u64,
    ahead_ms: u64,
}

impl SteadyClock {
    /// Starts at `floor_ms` at the earliest, the last time of the previous run.
    pub(crate) fn starting_at(source: Now, floor_ms: u64) -> Self {
        let raw_ms = source();
        Self { source, last_raw_ms: raw_ms, ahead_ms: floor_ms.saturating_sub(raw_ms) }
    }

    pub(crate) fn now_ms(&mut self) -> u64 {
        let raw_ms = (self.source)();
        self.ahead_ms = self.ahead_ms.saturating_add(self.last_raw_ms.saturating_sub(raw_ms));
        self.last_raw_ms = raw_ms;
        raw_ms.saturating_add(self.ahead_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn a_clock_set_back_goes_on_from_where_it_was() {
        let raw = Arc::new(AtomicU64::new(1_000));
        let source = raw.clone();
        let mut clock =
            SteadyClock::starting_at(Arc::new(move || source.load(Ordering::SeqCst)), 0);
        assert_eq!(clock.now_ms(), 1_000);
        raw.store(400, Ordering::SeqCst);
        assert_eq!(clock.now_ms(), 1_000);
        raw.store(450, Ordering::SeqCst);
        assert_eq!(clock.now_ms(), 1_050);
    }

    #[test]
    fn a_clock_behind_the_file_starts_at_the_files_time() {
        let mut clock = SteadyClock::starting_at(Arc::new(|| 500), 9_000);
        assert_eq!(clock.now_ms(), 9_000);
    }
}
