//! Works on jobs in this process.

use aws_sdk_sqs::Client;
use handlers::delivery::QueueMapping;
use handlers::telemetry::{Component, InvocationLayer};
use handlers::{Operations, RebuildHandler};
use std::convert::Infallible;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The time of a slice: short, because progress is reported after each slice.
const SLICE: Duration = Duration::from_millis(300);
/// The time limit of a slice with its last page. It is below the visibility timeout.
const TIMEOUT: Duration = Duration::from_secs(50);
/// The pause before a failed slice is retried.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The mapping of the job queue: each worker gets one message at a time.
pub(in crate::cli) fn mapping(queue_url: &str, workers: usize) -> QueueMapping {
    let mut mapping = QueueMapping::new(queue_url);
    mapping.batch_size = 1;
    mapping.concurrency = workers;
    mapping.timeout = TIMEOUT;
    mapping.retry_after = Some(RETRY_AFTER);
    mapping
}

/// Works on jobs until `stop`, and finishes current slices.
pub(in crate::cli) async fn run(
    mapping: QueueMapping,
    operations: Operations,
    sqs: Client,
    stop: CancellationToken,
) {
    let handler = RebuildHandler::new(operations).with_slice(SLICE);
    let layer = InvocationLayer::within_program(Component::RebuildWorker);
    let handler = move |event| {
        let (handler, layer) = (handler.clone(), layer.clone());
        async move { layer.invoke(async { Ok::<_, Infallible>(handler.handle(event).await) }).await }
    };
    mapping.run(sqs, handler, stop).await;
}
