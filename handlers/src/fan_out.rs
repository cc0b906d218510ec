//! Fan-out: from the table's stream to a FIFO queue a consumer.

use crate::announcement::Announcement;
use crate::telemetry::{self, Metric, TraceParent, Work, since_ms};
use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_lambda_events::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{BatchResultErrorEntry, SendMessageBatchRequestEntry};
use eventstore::{Batch, Envelope, Item, StreamId, is_batch, key_of};
use futures::future::join_all;
use projections::Consumer;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

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
    lines: Vec<Line>,
}

/// A route, and whether the last send on it failed: an outage is reported once, however often it is tried.
#[derive(Clone)]
struct Line {
    route: Route,
    fails: Arc<AtomicBool>,
}

/// A batch to announce: which record told of it.
struct News {
    record: usize,
    announcement: Announcement,
    /// Who asked for its first commit, where it can be read.
    envelope: Option<Envelope>,
}

impl FanOut {
    /// A fan-out to those queues.
    pub fn new(sqs: Client, routes: Vec<Route>) -> Self {
        let lines = routes.into_iter().map(|route| Line { route, fails: Arc::default() });
        Self { sqs, lines: lines.collect() }
    }

    /// Handles a batch of stream records. The answer names the first record that could not be sent everywhere, from which
    /// the stream is to be read again; what was sent before it or behind it is deduplicated by the queues and the fences.
    pub async fn handle(&self, event: Event) -> DynamoDbEventResponse {
        let begun = SystemTime::now();
        let news: Vec<News> = event.records.iter().enumerate().filter_map(news_of).collect();
        let sends = self.lines.iter().map(|line| self.announce(line, &news));
        let first_failed = join_all(sends).await.into_iter().flatten().min();
        for news in &news {
            news.tell(begun, first_failed.is_none_or(|failed| news.record < failed)).await;
        }
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
    async fn announce(&self, line: &Line, news: &[News]) -> Option<usize> {
        let follows = &line.route.consumer.follows;
        let concerned: Vec<&News> = news.iter().filter(|news| follows.includes(&news.announcement.stream)).collect();
        for entries in concerned.chunks(MAX_ENTRIES) {
            if let Some(failed) = self.send(line, entries).await {
                return Some(failed);
            }
        }
        None
    }

    async fn send(&self, line: &Line, news: &[&News]) -> Option<usize> {
        let first = news.first().map(|news| news.record);
        let entries = match news.iter().enumerate().map(|(id, news)| entry(id, news)).collect::<Result<Vec<_>, _>>() {
            Ok(entries) => entries,
            Err(error) => {
                line.failed(&error);
                return first;
            }
        };
        let request = self.sqs.send_message_batch().queue_url(&line.route.queue_url).set_entries(Some(entries));
        match request.send().await {
            Ok(answer) => {
                let Some(failure) = answer.failed().first() else {
                    line.fails.store(false, Ordering::Relaxed);
                    return None;
                };
                line.failed(&NotTaken::from(failure));
                let failed = answer.failed().iter().filter_map(|one| news.get(one.id().parse::<usize>().ok()?));
                failed.map(|news| news.record).min()
            }
            Err(error) => {
                line.failed(&error);
                first
            }
        }
    }
}

impl Line {
    fn failed(&self, error: &(dyn std::error::Error + Send + Sync + 'static)) {
        let consumer = self.route.consumer.name;
        if self.fails.swap(true, Ordering::Relaxed) {
            tracing::warn!(consumer, error, "the queue still does not take messages");
        } else {
            tracing::error!(consumer, error, "the queue did not take messages");
        }
    }
}

impl News {
    /// The line of a batch, in the trace of its first commit.
    async fn tell(&self, begun: SystemTime, sent: bool) {
        let Announcement { stream, version, .. } = &self.announcement;
        let trace = self.envelope.as_ref().and_then(|envelope| TraceParent::of(envelope.trace_parent.as_ref()));
        let line = async {
            if let Some(envelope) = &self.envelope {
                telemetry::about(stream, Some(*version), envelope);
            }
            telemetry::count(if sent { Metric::Messages } else { Metric::Unhandled });
            let outcome = if sent { "done" } else { "again" };
            tracing::info!(%stream, version, outcome, duration_ms = since_ms(begun), "commit announced");
        };
        Work { name: "fan-out", kind: "queue.publish", trace, begun }.done(line).await;
    }
}

/// A queue refused a message of a batch.
#[derive(Debug, thiserror::Error)]
#[error("a message was refused with {code}: {reason}")]
struct NotTaken {
    code: String,
    reason: String,
}

impl From<&BatchResultErrorEntry> for NotTaken {
    fn from(entry: &BatchResultErrorEntry) -> Self {
        Self { code: entry.code().to_owned(), reason: entry.message().unwrap_or_default().to_owned() }
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
        telemetry::count(Metric::Tampering);
        let (stream, version) = key_of(&item);
        let change = &change.event_name;
        tracing::error!(change, stream, version, keys = ?item, "a commit was changed or removed: tampering");
        return None;
    }
    match Batch::from_item(&item) {
        Ok(batch) => {
            // What cannot travel by value goes by its address.
            let address = || Announcement::address(batch.stream.clone(), batch.version());
            let announcement = Announcement::of(&batch).unwrap_or_else(|_| address());
            let envelope = batch.commits.into_iter().next().map(|commit| commit.envelope);
            Some(News { record, announcement, envelope })
        }
        Err(damaged) => {
            telemetry::count(Metric::Tampering);
            let error: &(dyn std::error::Error + Send + Sync) = &damaged;
            tracing::error!(stream = damaged.stream, version = damaged.version, error, "a foreign item was inserted");
            let stream = StreamId::new(damaged.stream).ok()?;
            let announcement = (damaged.version > 0).then(|| Announcement::address(stream, damaged.version))?;
            Some(News { record, announcement, envelope: None })
        }
    }
}
