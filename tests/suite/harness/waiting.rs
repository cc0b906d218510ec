//! Waits for conditions.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Far above what any case needs, so that only a broken case reaches it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Polls until there is a result.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "did not happen: {what}");
        sleep(LOOK_AGAIN).await;
    }
}

/// Polls until the result is as wanted. A failure shows the last one.
pub(crate) async fn becomes<T: std::fmt::Debug>(
    what: &str,
    mut look: impl AsyncFnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look().await;
        if wanted(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "did not happen: {what}, but {seen:#?}");
        sleep(LOOK_AGAIN).await;
    }
}

/// Waits until the work ends.
pub(crate) async fn ends<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("did not end: {what}"))
}

/// A list that a handler writes and a test reads.
#[derive(Clone, Debug)]
pub(crate) struct Seen<T>(Arc<Mutex<Vec<T>>>);

impl<T> Seen<T> {
    pub(crate) fn nothing() -> Self {
        Self(Arc::new(Mutex::new(Vec::new())))
    }

    pub(crate) fn list(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.lock().unwrap()
    }

    /// Adds an item. Returns the new length.
    pub(crate) fn add(&self, item: T) -> usize {
        let mut list = self.list();
        list.push(item);
        list.len()
    }
}

impl<T: Clone> Seen<T> {
    pub(crate) fn all(&self) -> Vec<T> {
        self.list().clone()
    }

    /// Waits until the list is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&[T]) -> bool) -> Vec<T> {
        let seen = eventually("the handler sees enough", || async {
            Some(self.all()).filter(|seen| wanted(seen))
        });
        seen.await
    }

    pub(crate) async fn at_least(&self, count: usize) -> Vec<T> {
        self.until(|seen| seen.len() >= count).await
    }
}
