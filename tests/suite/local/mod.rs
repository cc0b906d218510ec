//! The local stack's parts: the data folder, the embedded engine, the SDK clients, and the event source mappings.
#![cfg(test)]

mod clients;
mod crash;
mod data_folder;
mod doors;
mod dynamodb;
mod in_process;
mod older_data_folder;
mod queue_world;
mod queues;
mod sqs;
mod stream_failures;
mod stream_progress;
mod stream_world;
mod unusual_queues;
mod unusual_streams;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Far above what any of these tests needs, so that only a broken one meets it.
const DEADLINE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Looks until there is an answer.
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "did not happen: {what}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Waits for something that must end by itself.
async fn ends<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.unwrap_or_else(|_| panic!("did not end: {what}"))
}

/// A mapping at work.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start<F: Future<Output = ()> + Send + 'static>(run: impl FnOnce(CancellationToken) -> F) -> Self {
        let stop = CancellationToken::new();
        Self { task: tokio::spawn(run(stop.clone())), stop }
    }

    fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    async fn stop(self) {
        self.ask_to_stop();
        ends("mapping", self.task).await.unwrap();
    }
}

/// A list that a handler writes and a test reads.
#[derive(Clone, Debug)]
struct Seen<T>(Arc<Mutex<Vec<T>>>);

impl<T> Seen<T> {
    fn nothing() -> Self {
        Self(Arc::new(Mutex::new(Vec::new())))
    }

    fn list(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.lock().unwrap()
    }

    /// Adds, and tells how many there are now.
    fn add(&self, item: T) -> usize {
        let mut list = self.list();
        list.push(item);
        list.len()
    }
}

impl<T: Clone> Seen<T> {
    fn all(&self) -> Vec<T> {
        self.list().clone()
    }

    /// Waits until the list is as wanted.
    async fn until(&self, wanted: impl Fn(&[T]) -> bool) -> Vec<T> {
        let seen = eventually("the handler sees enough", || async { Some(self.all()).filter(|seen| wanted(seen)) });
        seen.await
    }

    async fn at_least(&self, count: usize) -> Vec<T> {
        self.until(|seen| seen.len() >= count).await
    }
}
