//! The local stack's parts: the data folder, the embedded engine, the SDK clients, and the event
//! source mappings.
#![cfg(test)]

mod clients;
mod crash;
mod data_folder;
mod doors;
mod dynamodb;
mod event_table;
mod in_process;
mod local_queues;
mod older_data_folder;
mod queues;
mod sqs;
mod stream_failures;
mod stream_progress;
mod unusual_queues;
mod unusual_streams;

use crate::harness::waiting::{PATIENCE, Seen, ends, eventually};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running mapping.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start<F: Future<Output = ()> + Send + 'static>(
        run: impl FnOnce(CancellationToken) -> F,
    ) -> Self {
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
