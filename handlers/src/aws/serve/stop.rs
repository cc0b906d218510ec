//! The stop: not ready, no more messages, no more connections; then open work is finished.

use super::api::OpenRequests;
use super::readiness::Readiness;
use crate::delivery::Activity;
use std::io;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// SIGINT and SIGTERM, listened for from the beginning.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The parts to stop, and the time for it.
pub(super) struct Stopping {
    pub(super) readiness: Readiness,
    /// Cancelled: no more messages are received.
    pub(super) receiving: CancellationToken,
    /// Cancelled: no more connections are accepted.
    pub(super) accepting: CancellationToken,
    pub(super) linger: Duration,
    pub(super) drain: Duration,
    pub(super) activities: Vec<(&'static str, Activity)>,
    pub(super) open_requests: OpenRequests,
}

impl Stopping {
    /// Stops all parts. Returns whether they finished within the time and before another signal.
    pub(super) async fn finish(self, mut parts: JoinSet<()>, mut signals: Signals) -> bool {
        tracing::info!("stopping: messages and requests in hand are finished");
        self.readiness.stop();
        self.receiving.cancel();
        let finished = async {
            tokio::time::sleep(self.linger).await;
            self.accepting.cancel();
            while let Some(ended) = parts.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%error, "a part of the program did not end as it should");
                }
            }
        };
        let why = tokio::select! {
            () = finished => {
                tracing::info!("stopped");
                return true;
            }
            () = tokio::time::sleep(self.drain) => "the time for it is over",
            () = signals.next() => "another signal came",
        };
        self.tell_open(why);
        false
    }

    fn tell_open(&self, why: &str) {
        let open = self.activities.iter().filter(|(_, activity)| activity.open_batches() > 0);
        let open: Vec<String> =
            open.map(|(name, activity)| format!("{name}:{}", activity.open_batches())).collect();
        let (batches, requests) = (open.join(" "), self.open_requests.count());
        tracing::warn!(
            why,
            batches,
            requests,
            "stopped with work in hand: its messages come again"
        );
    }
}
