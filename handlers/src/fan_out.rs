//! Fan-out: from the table's stream to a FIFO queue a consumer.

use crate::announcement::Announcement;
use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_lambda_events::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use eventstore::{Batch, Item, StreamId, is_batch};
use futures::future::join_all;
use projections::Consumer;

/// The most messages of a send (SQS's limit).
const MAX_ENTRIES: usize = 10;

/// A consumer's queue.
#[derive(Debug, Clone)]
pub struct Route {
    /// Who reads the queue.
    pub consumer: Consumer,
    /// Where the queue is.
    pub queue_url: String,
}

/// Sends every appended batch to the consumers that follow its stream.
#[derive(Clone)]
pub struct FanOut {
    sqs: Client,
    routes: Vec<Route>,
}

/// A batch to announce: which record told of it.
struct News {
    record: usize,
    announcement: Announcement,
}

impl FanOut {
    /// A fan-out to those queues.
    pub fn new(sqs: Client, routes: Vec<Route>) -> Self {
        Self { sqs, routes }
    }

    /// Handles a batch of stream records. The answer names the first record that could not be sent everywhere, from which
    /// the stream is to be read again; what was sent before it or behind it is deduplicated by the queues and the fences.
    pub async fn handle(&self, event: Event) -> DynamoDbEventResponse {
        let news: Vec<News> = event.records.iter().enumerate().filter_map(news_of).collect();
        let sends = self.routes.iter().map(|route| self.announce(route, &news));
        let first_failed = join_all(sends).await.into_iter().flatten().min();
        let failed = first_failed.and_then(|index| event.records.get(index)).map(|record| {
            let mut failure = DynamoDbBatchItemFailure::default();
            failure.item_identifier.clone_from(&record.change.sequence_number);
            failure
        });
        let mut response = DynamoDbEventResponse::default();
        response.batch_item_failures = failed.into_iter().collect();
        response
    }

    /// Sends what concerns the route, in order. Tells the first record that could not be sent.
    async fn announce(&self, route: &Route, news: &[News]) -> Option<usize> {
        let concerned: Vec<&News> =
            news.iter().filter(|news| route.consumer.follows.includes(&news.announcement.stream)).collect();
        for entries in concerned.chunks(MAX_ENTRIES) {
            if let Some(failed) = self.send(route, entries).await {
                return Some(failed);
            }
        }
        None
    }

    async fn send(&self, route: &Route, news: &[&News]) -> Option<usize> {
        let first = news.first().map(|news| news.record);
        let Ok(entries) = news.iter().enumerate().map(|(id, news)| entry(id, news)).collect() else { return first };
        let request = self.sqs.send_message_batch().queue_url(&route.queue_url).set_entries(Some(entries));
        match request.send().await {
            Ok(answer) => {
                let failed = answer.failed().iter().inspect(|failure| {
                    let (code, reason) = (failure.code(), failure.message().unwrap_or_default());
                    tracing::warn!(consumer = route.consumer.name, code, reason, "a message was not taken");
                });
                let failed = failed.filter_map(|failure| news.get(failure.id().parse::<usize>().ok()?));
                failed.map(|news| news.record).min()
            }
            Err(error) => {
                let error: &(dyn std::error::Error + Send + Sync) = &error;
                tracing::warn!(consumer = route.consumer.name, error, "the queue did not take the messages");
                first
            }
        }
    }
}

/// The SDK refuses a message that lacks a field.
type Incomplete = aws_sdk_sqs::error::BuildError;

fn entry(id: usize, news: &News) -> Result<SendMessageBatchRequestEntry, Unsendable> {
    let built = SendMessageBatchRequestEntry::builder()
        .id(id.to_string())
        .message_body(serde_json::to_string(&news.announcement)?)
        .message_group_id(news.announcement.stream.as_str())
        .message_deduplication_id(news.announcement.deduplication_id())
        .build()?;
    Ok(built)
}

/// A message cannot be written: a defect, since every batch of the store can.
#[derive(Debug, thiserror::Error)]
enum Unsendable {
    #[error("the announcement is no JSON")]
    Json(#[from] serde_json::Error),
    #[error("the message lacks a field")]
    Incomplete(#[from] Incomplete),
}

/// What a record tells. The table is append-only: a changed or removed batch is tampering, and reported instead.
fn news_of((record, change): (usize, &EventRecord)) -> Option<News> {
    let item: Item = match change.event_name.as_str() {
        "INSERT" => change.change.new_image.clone().into(),
        _ => change.change.keys.clone().into(),
    };
    if !is_batch(&item) {
        return None;
    }
    if change.event_name != "INSERT" {
        tracing::error!(change = change.event_name, keys = ?item, "a commit was changed or removed: tampering");
        return None;
    }
    let announcement = match Batch::from_item(&item) {
        // What cannot travel by value goes by its address.
        Ok(batch) => {
            Announcement::of(&batch).unwrap_or_else(|_| Announcement::address(batch.stream.clone(), batch.version()))
        }
        Err(damaged) => {
            let error: &(dyn std::error::Error + Send + Sync) = &damaged;
            tracing::error!(error, "a foreign item was inserted");
            let stream = StreamId::new(damaged.stream).ok()?;
            (damaged.version > 0).then(|| Announcement::address(stream, damaged.version))?
        }
    };
    Some(News { record, announcement })
}
