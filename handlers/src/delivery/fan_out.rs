//! Fan-out: from the table's stream to one FIFO queue for each consumer.
//!
//! Lambda reads a shard for all consumers together, and repeats a failed record before any later
//! one. So one failing queue holds up all others, for at most a minute. After that the shard goes
//! on if other queues accept messages, and an error reports what the consumer misses. A stream's
//! next message catches it up; `projection reconcile` catches up all others. If every queue fails,
//! the record is repeated until it is 20 hours old.

mod messages;

use crate::delivery::notification::NotificationMessage;
use crate::telemetry::{self, Metric, TraceParent, TracedWork, since_ms};
use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_lambda_events::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::BatchResultErrorEntry;
use eventstore::{Batch, CommandMetadata, Item, StreamId, is_batch, key_of};
use futures::future::join_all;
use messages::{bundle_entry, bundles, entry, singles};
use projections::Consumer;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The most messages of a send (SQS's limit).
const MAX_ENTRIES: usize = 10;
/// How long a failing queue may delay the others.
const PATIENCE: Duration = Duration::from_secs(60);
/// The time for one send. If it was accepted all the same, the queue drops the repeated one.
const SEND_TIME: Duration = Duration::from_secs(3);

/// A consumer's queue.
#[derive(Debug, Clone)]
pub struct Route {
    /// The consumer of the queue.
    pub consumer: Consumer,
    /// The queue's URL.
    pub queue_url: String,
}

/// Sends every appended batch to the consumers that follow its stream.
#[derive(Clone)]
pub struct FanOut {
    sqs: Client,
    queues: Vec<ConsumerQueue>,
    patience: Duration,
}

/// A route and its state, which clones share.
#[derive(Clone)]
struct ConsumerQueue {
    route: Route,
    state: Arc<Mutex<QueueState>>,
}

#[derive(Default)]
struct QueueState {
    /// Since when every call failed: an outage is reported once.
    failing_since: Option<Instant>,
    /// Whether it was reported that the consumer misses commits.
    gave_up: bool,
    /// The records that the queue accepted in a call that is repeated because of another queue.
    accepted: BTreeSet<String>,
}

/// The result of a call for one queue.
#[derive(Default)]
struct SendReport {
    /// The sequence numbers of the records that the queue has.
    accepted: BTreeSet<String>,
    /// The records that it has not, as far as they were tried.
    failed: Vec<usize>,
}

/// A batch to notify of, and its record.
struct AppendedBatch {
    record: usize,
    sequence_number: String,
    notification: NotificationMessage,
    /// The metadata of its first commit, if it can be read.
    metadata: Option<CommandMetadata>,
}

impl FanOut {
    /// A fan-out to those queues.
    pub fn new(sqs: Client, routes: Vec<Route>) -> Self {
        let queues = routes.into_iter().map(|route| ConsumerQueue { route, state: Arc::default() });
        Self { sqs, queues: queues.collect(), patience: PATIENCE }
    }

    /// The same, but a failing queue delays the others for that long instead of a minute.
    #[must_use]
    pub fn patient_for(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Handles a batch of stream records. The answer has the first record that some queue did not
    /// accept: Lambda repeats the batch from there. This process does not send accepted records
    /// twice; queues and positions drop other duplicates.
    pub async fn handle(&self, event: Event) -> DynamoDbEventResponse {
        let begun = SystemTime::now();
        let appended: Vec<AppendedBatch> =
            event.records.iter().enumerate().filter_map(appended_batch_of).collect();
        let report = join_all(self.queues.iter().map(|queue| self.notify(queue, &appended))).await;
        let first_failed = self.first_failed(&report, &appended);
        for (queue, report) in self.queues.iter().zip(report) {
            queue.store_accepted(report, first_failed.is_some());
        }
        for appended in &appended {
            appended.log(begun, first_failed.is_none_or(|failed| appended.record < failed)).await;
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

    /// The record from which the batch is repeated.
    fn first_failed(&self, report: &[SendReport], appended: &[AppendedBatch]) -> Option<usize> {
        let others_flow =
            report.iter().any(|report| report.failed.is_empty() && !report.accepted.is_empty());
        let mut first = None;
        for (queue, SendReport { failed, .. }) in self.queues.iter().zip(report) {
            let Some(record) = failed.iter().min().copied() else { continue };
            if others_flow && queue.fails_for() >= self.patience {
                queue.give_up(appended, record);
            } else {
                first = Some(first.map_or(record, |first: usize| first.min(record)));
            }
        }
        first
    }

    /// Sends the route's notifications in order, without those that its queue has already. A
    /// rejected message delays later ones only while patience lasts. A queue that does not answer
    /// gets one request.
    async fn notify(&self, queue: &ConsumerQueue, appended: &[AppendedBatch]) -> SendReport {
        let follows = &queue.route.consumer.follows;
        let concerned =
            appended.iter().filter(|appended| follows.includes(&appended.notification.stream));
        let accepted = queue.accepted();
        let (sent, open): (Vec<&AppendedBatch>, Vec<&AppendedBatch>) =
            concerned.partition(|appended| accepted.contains(&appended.sequence_number));
        let mut report = SendReport { accepted: numbers(&sent).collect(), failed: Vec::new() };
        let waits = queue.fails_for() < self.patience;
        let messages = if queue.route.consumer.bundled { bundles(&open) } else { singles(&open) };
        for messages in messages.chunks(MAX_ENTRIES) {
            let refused = match self.send(queue, messages).await {
                SendResult::All => Vec::new(),
                SendResult::None => (0..messages.len()).collect(),
                SendResult::Without(refused) => refused,
            };
            for (index, batches) in messages.iter().enumerate() {
                if refused.contains(&index) {
                    report.failed.extend(batches.iter().map(|appended| appended.record));
                } else {
                    report.accepted.extend(numbers(batches));
                }
            }
            let none = refused.len() == messages.len();
            if none || waits && !refused.is_empty() {
                break;
            }
        }
        if report.failed.is_empty() && !open.is_empty() {
            queue.works();
        }
        report
    }

    async fn send(&self, queue: &ConsumerQueue, messages: &[Vec<&AppendedBatch>]) -> SendResult {
        let consumer = queue.route.consumer;
        let entry = |(id, batches): (usize, &Vec<&AppendedBatch>)| match batches.as_slice() {
            [appended] if !consumer.bundled => entry(id, appended),
            batches => bundle_entry(id, consumer.name, batches),
        };
        let entries = match messages.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>() {
            Ok(entries) => entries,
            Err(error) => {
                queue.failed(&error);
                return SendResult::None;
            }
        };
        let request = self
            .sqs
            .send_message_batch()
            .queue_url(&queue.route.queue_url)
            .set_entries(Some(entries));
        match tokio::time::timeout(SEND_TIME, request.send()).await {
            Ok(Ok(answer)) => {
                let Some(failure) = answer.failed().first() else { return SendResult::All };
                queue.failed(&NotTaken::from(failure));
                let failed = answer.failed().iter().filter_map(|one| one.id().parse().ok());
                SendResult::Without(failed.collect())
            }
            Ok(Err(error)) => {
                queue.failed(&error);
                SendResult::None
            }
            Err(elapsed) => {
                queue.failed(&elapsed);
                SendResult::None
            }
        }
    }
}

/// Which messages a queue accepted.
enum SendResult {
    All,
    /// All but the messages with these indexes.
    Without(Vec<usize>),
    None,
}

fn numbers<'a>(appended: &'a [&AppendedBatch]) -> impl Iterator<Item = String> + use<'a> {
    appended.iter().map(|appended| appended.sequence_number.clone())
}

impl ConsumerQueue {
    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, error: &(dyn std::error::Error + Send + Sync + 'static)) {
        let consumer = self.route.consumer.name;
        let known = {
            let mut state = self.state();
            let known = state.failing_since.is_some();
            state.failing_since.get_or_insert_with(Instant::now);
            known
        };
        if known {
            tracing::warn!(consumer, error, "the queue still does not take messages");
        } else {
            tracing::error!(consumer, error, "the queue did not take messages");
        }
    }

    /// The queue accepts messages.
    fn works(&self) {
        let mut state = self.state();
        (state.failing_since, state.gave_up) = (None, false);
    }

    /// How long the queue has been failing.
    fn fails_for(&self) -> Duration {
        self.state().failing_since.map(|since| since.elapsed()).unwrap_or_default()
    }

    fn accepted(&self) -> BTreeSet<String> {
        self.state().accepted.clone()
    }

    /// Stores what the queue has accepted, if the batch is repeated.
    fn store_accepted(&self, report: SendReport, again: bool) {
        let mut accepted = if again { report.accepted } else { BTreeSet::new() };
        // Records without a sequence number cannot be distinguished.
        accepted.remove("");
        self.state().accepted = accepted;
    }

    /// Skips records for this consumer, which others get. Reported once for each outage.
    fn give_up(&self, appended: &[AppendedBatch], first: usize) {
        telemetry::count(Metric::Unhandled);
        let consumer = self.route.consumer.name;
        let untold = appended
            .iter()
            .find(|appended| appended.record == first)
            .map(|appended| &appended.notification);
        let (stream, version) =
            (untold.map(|untold| untold.stream.as_str()), untold.map(|untold| untold.version));
        let known = std::mem::replace(&mut self.state().gave_up, true);
        if known {
            tracing::warn!(consumer, stream, version, "the consumer still misses notifications");
        } else {
            tracing::error!(
                consumer,
                stream,
                version,
                "the consumer misses notifications from this commit on, because its queue does not accept them: \
                 repair the queue, then run `projection reconcile {consumer}`"
            );
        }
    }
}

impl AppendedBatch {
    /// Logs a batch, in the trace of its first commit.
    async fn log(&self, begun: SystemTime, sent: bool) {
        let NotificationMessage { stream, version, .. } = &self.notification;
        let trace = self
            .metadata
            .as_ref()
            .and_then(|metadata| TraceParent::of(metadata.trace_parent.as_ref()));
        let queue = async {
            if let Some(metadata) = &self.metadata {
                telemetry::annotate(stream, Some(*version), metadata);
            }
            telemetry::count(if sent { Metric::Messages } else { Metric::Unhandled });
            let outcome = if sent { "done" } else { "again" };
            tracing::info!(%stream, version, outcome, duration_ms = since_ms(begun), "commit notified");
        };
        TracedWork { name: "fan-out", kind: "queue.publish", trace, begun }.run(queue).await;
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
        Self {
            code: entry.code().to_owned(),
            reason: entry.message().unwrap_or_default().to_owned(),
        }
    }
}

/// The batch of a record. The table is append-only: a changed or removed item is tampering, and is
/// reported.
fn appended_batch_of((record, change): (usize, &EventRecord)) -> Option<AppendedBatch> {
    let sequence_number = change.change.sequence_number.clone().unwrap_or_default();
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
            // A batch that does not fit into a message is notified by its version only.
            let address = || NotificationMessage::address(batch.stream.clone(), batch.version());
            let notification = NotificationMessage::of(&batch).unwrap_or_else(|_| address());
            let metadata = batch.commits.into_iter().next().map(|commit| commit.metadata);
            Some(AppendedBatch { record, sequence_number, notification, metadata })
        }
        Err(corrupt) => {
            telemetry::count(Metric::Tampering);
            let error: &(dyn std::error::Error + Send + Sync) = &corrupt;
            tracing::error!(
                stream = corrupt.stream,
                version = corrupt.version,
                error,
                "a foreign item was inserted"
            );
            let stream = StreamId::new(corrupt.stream).ok()?;
            let notification = (corrupt.version > 0)
                .then(|| NotificationMessage::address(stream, corrupt.version))?;
            Some(AppendedBatch { record, sequence_number, notification, metadata: None })
        }
    }
}
