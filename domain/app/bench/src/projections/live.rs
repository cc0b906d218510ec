//! Live events: messages handed to the projector as its queue would hand them over.

use super::threads::{Reading, on_threads};
use crate::cli::failure::Failure;
use aws_lambda_events::event::sqs::SqsEvent;
use eventstore::Batch;
use handlers::{NotificationMessage, ProjectorHandler};
use projections::{Projection, Projector};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// What Lambda hands over for the commits that the projection follows, so many messages at a time. One commit a message.
pub(super) fn deliveries(projection: &Projection, batches: &[Batch], at_once: usize) -> Result<Vec<SqsEvent>, Failure> {
    let followed: Vec<&Batch> = batches.iter().filter(|batch| projection.follows.includes(&batch.stream)).collect();
    followed.chunks(at_once).map(|batches| delivery(batches).map_err(no_message)).collect()
}

fn no_message(error: serde_json::Error) -> Failure {
    Failure::new("no message can be made", error)
}

fn delivery(batches: &[&Batch]) -> serde_json::Result<SqsEvent> {
    let records = batches.iter().map(|batch| {
        let announcement = NotificationMessage::of(batch)?;
        Ok(json!({
            "messageId": announcement.deduplication_id(),
            "receiptHandle": "receipt",
            "body": serde_json::to_string(&announcement)?,
            "attributes": {"ApproximateReceiveCount": "1", "MessageGroupId": batch.stream.as_str()},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "awsRegion": "us-east-1",
        }))
    });
    let records = records.collect::<serde_json::Result<Vec<Value>>>()?;
    serde_json::from_value(json!({ "Records": records }))
}

/// Delivers everything, one delivery behind the other, on a thread of its own. The reading at the end.
pub(super) async fn deliver(
    projection: Projection,
    deliveries: Vec<SqsEvent>,
    projector: impl Fn() -> Projector + Clone + Send + 'static,
    read: impl Fn() -> Reading + Clone + Send + 'static,
    stop: &CancellationToken,
) -> Result<Option<Reading>, Failure> {
    let (deliveries, end) = (Arc::new(deliveries), Arc::new(Mutex::new(None)));
    let note = end.clone();
    on_threads(1, stop, move || {
        let (deliveries, note, read) = (deliveries.clone(), note.clone(), read.clone());
        // Without a pulse: a write in five seconds would only blur the counts.
        let handler = ProjectorHandler::new(projection, projector());
        async move {
            for delivery in deliveries.iter() {
                let again = handler.handle(delivery.clone()).await.batch_item_failures;
                if let Some(message) = again.first() {
                    return Err(Failure::new("a message was not handled", message.item_identifier.clone()));
                }
            }
            *note.lock().unwrap_or_else(PoisonError::into_inner) = Some(read());
            Ok(())
        }
    })
    .await?;
    Ok(end.lock().unwrap_or_else(PoisonError::into_inner).take())
}
