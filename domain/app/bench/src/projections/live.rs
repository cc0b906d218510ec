//! Live events: messages that the projector receives as Lambda delivers them from its queue.

use super::meter::{Reading, on_threads};
use aws_lambda_events::event::sqs::SqsEvent;
use eventstore::Batch;
use handlers::{NotificationMessage, ProjectorHandler};
use ledgerfold::cli::Failure;
use projections::{Projection, Projector};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// The deliveries for the commits that the projection follows, with one commit per message.
pub(super) fn deliveries(
    projection: &Projection,
    batches: &[Batch],
    messages: usize,
) -> Result<Vec<SqsEvent>, Failure> {
    let followed: Vec<&Batch> =
        batches.iter().filter(|batch| projection.follows.includes(&batch.stream)).collect();
    followed.chunks(messages).map(|batches| delivery(batches).map_err(not_written)).collect()
}

fn not_written(error: serde_json::Error) -> Failure {
    Failure::new("a message cannot be written", error)
}

fn delivery(batches: &[&Batch]) -> serde_json::Result<SqsEvent> {
    let records = batches.iter().map(|batch| {
        let message = NotificationMessage::of(batch)?;
        Ok(json!({
            "messageId": message.deduplication_id(),
            "receiptHandle": "receipt",
            "body": serde_json::to_string(&message)?,
            "attributes": {"ApproximateReceiveCount": "1", "MessageGroupId": batch.stream.as_str()},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "awsRegion": "us-east-1",
        }))
    });
    let records = records.collect::<serde_json::Result<Vec<Value>>>()?;
    serde_json::from_value(json!({ "Records": records }))
}

/// Delivers everything in order on one thread. Returns the reading at the end.
pub(super) async fn deliver(
    projection: Projection,
    deliveries: Vec<SqsEvent>,
    projector: impl Fn() -> Projector + Clone + Send + 'static,
    read: impl Fn() -> Reading + Clone + Send + 'static,
    stop: &CancellationToken,
) -> Result<Option<Reading>, Failure> {
    let (deliveries, end) = (Arc::new(deliveries), Arc::new(Mutex::new(None)));
    let reading = end.clone();
    on_threads(1, stop, move || {
        let (deliveries, reading, read) = (deliveries.clone(), reading.clone(), read.clone());
        // No heartbeat: it would add writes to the counts.
        let handler = ProjectorHandler::new(projection, projector());
        async move {
            for delivery in deliveries.iter() {
                let failed = handler.handle(delivery.clone()).await.batch_item_failures;
                if let Some(message) = failed.first() {
                    return Err(Failure::new(
                        "a message was not handled",
                        message.item_identifier.clone(),
                    ));
                }
            }
            *reading.lock().unwrap_or_else(PoisonError::into_inner) = Some(read());
            Ok(())
        }
    })
    .await?;
    Ok(end.lock().unwrap_or_else(PoisonError::into_inner).take())
}
