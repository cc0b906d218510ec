//! What can be seen of a mapping from outside, while it runs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When its queue answered last, and how many batches are in hand. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Activity {
    answered: Arc<Mutex<Option<Instant>>>,
    open_batches: Arc<AtomicUsize>,
}

/// A batch in hand, until it is dropped.
pub(super) struct OpenBatch(Arc<AtomicUsize>);

impl Activity {
    /// Whether a receive was answered within that time.
    #[must_use]
    pub fn answered_within(&self, time: Duration) -> bool {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.is_some_and(|answered| answered.elapsed() <= time)
    }

    /// Batches in hand: received, and not yet settled with the queue.
    #[must_use]
    pub fn open_batches(&self) -> usize {
        self.open_batches.load(Ordering::Relaxed)
    }

    pub(super) fn note_answer(&self) {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(super) fn begin_batch(&self) -> OpenBatch {
        self.open_batches.fetch_add(1, Ordering::Relaxed);
        OpenBatch(Arc::clone(&self.open_batches))
    }
}

impl Drop for OpenBatch {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod specs {
    use super::*;

    #[test]
    fn a_queue_is_heard_of_after_its_first_answer_only() {
        let activity = Activity::default();
        let seen_from_outside = activity.clone();
        assert!(!seen_from_outside.answered_within(Duration::from_secs(60)));
        activity.note_answer();
        assert!(seen_from_outside.answered_within(Duration::from_secs(60)));
        assert!(!seen_from_outside.answered_within(Duration::ZERO));
    }

    #[test]
    fn a_batch_is_open_until_it_is_dropped() {
        let activity = Activity::default();
        let (one, two) = (activity.begin_batch(), activity.begin_batch());
        drop(one);
        assert_eq!(activity.clone().open_batches(), 1);
        drop(two);
        assert_eq!(activity.open_batches(), 0);
    }
}
