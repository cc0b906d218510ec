//! Working on jobs in this process.

use aws_sdk_sqs::Client;
use handlers::delivery::QueueMapping;
use handlers::telemetry::{Component, InvocationLayer};
use handlers::{Operations, RebuildHandler};
use std::convert::Infallible;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A slice of a segment: short, because how far a job has come is told slice by slice, and somebody is looking on.
const SLICE: Duration = Duration::from_millis(300);
/// How long a slice may take with the page that it has in hand: less than its call is its own.
const TIMEOUT: Duration = Duration::from_secs(50);
/// A failed call comes again after this.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How the queue of jobs is delivered to so many workers: one call at a time each.
pub(in crate::cli) fn mapping(queue_url: &str, workers: usize) -> QueueMapping {
    let mut mapping = QueueMapping::new(queue_url);
    mapping.batch_size = 1;
    mapping.concurrency = workers;
    mapping.timeout = TIMEOUT;
    mapping.retry_after = Some(RETRY_AFTER);
    mapping
}

/// Works on jobs until `stop`; the slices in hand are finished first.
pub(in crate::cli) async fn run(mapping: QueueMapping, operations: Operations, sqs: Client, stop: CancellationToken) {
    let handler = RebuildHandler::new(operations).with_slice(SLICE);
    let watch = InvocationLayer::within_program(Component::RebuildWorker);
    let handler = move |event| {
        let (handler, watch) = (handler.clone(), watch.clone());
        async move { watch.invoke(async { Ok::<_, Infallible>(handler.handle(event).await) }).await }
    };
    mapping.run(sqs, handler, stop).await;
}
