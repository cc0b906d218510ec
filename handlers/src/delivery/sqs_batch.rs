//! A batch of SQS messages: reads the notifications, and reports which messages failed.

use crate::delivery::continuation::{Continuations, Unfinished};
use crate::delivery::notification::NotificationMessage;
use crate::telemetry::{self, Metric, TraceParent, TracedWork, since_ms};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsMessage};
use eventstore::{Commit, CorruptStream, StreamId};
use projections::{Heartbeat, Notification, TimeLimit};
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

/// How long a batch may take without a deadline: as on Lambda, whose functions have ten seconds.
pub(crate) const WITHOUT_DEADLINE: Duration = Duration::from_secs(8);

/// A batch of messages: those that can be read, and those that cannot or follow such a one.
pub(crate) struct SqsBatch<'a> {
    consumer: &'static str,
    begun: SystemTime,
    read: Vec<ReadMessage<'a>>,
    unhandled: BTreeSet<String>,
}

/// A notification, and the message that it came with. A message may have several.
struct ReadMessage<'a> {
    message: &'a SqsMessage,
    notification: Notification,
}

/// The outcome of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageOutcome {
    /// Its commits are applied, or the stream is parked.
    Done,
    /// The time ran out: another message continues the stream.
    GoesOn,
    /// It is reported as failed, and redelivered.
    Again,
}

impl MessageOutcome {
    fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::GoesOn => "goes_on",
            Self::Again => "again",
        }
    }
}

/// How long a call with that much time left may fill gaps: the last page must end within the rest.
pub(crate) fn limit(left: Duration) -> TimeLimit {
    TimeLimit::after(left.saturating_sub(left / 4))
}

/// Why a message cannot be read.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("it has no body")]
    Empty,
    #[error("it is no notification")]
    Json(#[from] serde_json::Error),
    #[error("its commits are not those of the store")]
    Commits(#[from] CorruptStream),
    #[error("it follows an unreadable message of its group")]
    Behind,
}

impl<'a> SqsBatch<'a> {
    /// Reads the messages to a consumer. Unreadable ones are logged, and reported at their first
    /// receive.
    pub(crate) fn read(consumer: &'static str, messages: &'a [SqsMessage]) -> Self {
        let begun = SystemTime::now();
        let (mut read, mut unhandled, mut blocked) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for message in messages {
            let group = message.attributes.get("MessageGroupId").cloned().unwrap_or_default();
            let readable = if blocked.contains(&group) {
                Err(Unreadable::Behind)
            } else {
                notifications_of(message)
            };
            match readable {
                Ok(notifications) => read.extend(
                    notifications
                        .into_iter()
                        .map(|notification| ReadMessage { message, notification }),
                ),
                Err(error) => {
                    log_unreadable(consumer, message, &group, &error);
                    blocked.insert(group);
                    unhandled.insert(id(message));
                }
            }
        }
        Self { consumer, begun, read, unhandled }
    }

    /// The notifications.
    pub(crate) fn notifications(&self) -> Vec<Notification> {
        self.read.iter().map(|read| read.notification.clone()).collect()
    }

    /// The highest receive count of the stream's messages.
    pub(crate) fn receives(&self, stream: &StreamId) -> u32 {
        let of_stream = self.read.iter().filter(|read| read.notification.stream == *stream);
        of_stream.map(|read| receives(read.message)).max().unwrap_or(1)
    }

    /// Works on an event of a stream, in the trace of the event's command.
    pub(crate) async fn on_event<T>(
        &self,
        stream: &StreamId,
        version: Option<u64>,
        work: impl Future<Output = T>,
    ) -> T {
        let of_stream = self.read.iter().filter(|read| read.notification.stream == *stream);
        let commits: Vec<&Commit> =
            of_stream.flat_map(|read| commits(&read.notification)).collect();
        let commit =
            version.and_then(|version| commits.iter().find(|commit| contains(commit, version)));
        let trace = commit.or(commits.first()).and_then(|commit| trace(commit));
        let work = Box::pin(work);
        let work = async {
            if let Some(commit) = commit {
                telemetry::annotate(stream, version, &commit.metadata);
            }
            work.await
        };
        self.work(trace).run(work).await
    }

    fn work(&self, trace: Option<TraceParent>) -> TracedWork<'_> {
        TracedWork { name: self.consumer, kind: "queue.process", trace, begun: self.begun }
    }

    /// Continues the stream in another call. False if that call cannot be requested: the messages
    /// are then redelivered.
    pub(crate) async fn continue_later(
        &self,
        stream: &StreamId,
        continuations: Option<&Continuations>,
    ) -> bool {
        let of_stream = || self.read.iter().filter(|read| read.notification.stream == *stream);
        let Some((continuations, last)) = continuations.zip(of_stream().next_back()) else {
            return false;
        };
        let version = of_stream()
            .map(|read| read.notification.version)
            .max()
            .unwrap_or(last.notification.version);
        let unfinished =
            Unfinished { stream: stream.clone(), version, message_id: id(last.message) };
        match continuations.send(&unfinished).await {
            Ok(()) => {
                tracing::info!(consumer = self.consumer, %stream, version, "a stream continues in another call");
                true
            }
            Err(error) => {
                let error: &(dyn std::error::Error + Send + Sync) = &error;
                tracing::warn!(consumer = self.consumer, %stream, version, error, "the continuation of a stream could not be sent");
                false
            }
        }
    }

    /// Writes the heartbeat: when the newest handled commit was recorded.
    pub(crate) async fn write_heartbeat(
        &self,
        heartbeat: &Heartbeat,
        failed: impl Fn(&StreamId) -> bool,
    ) {
        let done = self
            .read
            .iter()
            .map(|read| &read.notification)
            .filter(|notification| !failed(&notification.stream));
        let commits = done.flat_map(commits);
        let Some(newest) = commits.map(|commit| commit.recorded_at).max() else { return };
        if let Err(error) = heartbeat.note(newest).await {
            let error: &(dyn std::error::Error + Send + Sync) = &error;
            tracing::warn!(error, "the heartbeat was not written");
        }
    }

    /// The answer: the messages to redeliver. These are each failed one and every later one of its
    /// group, because of FIFO order; never the whole batch for one message.
    pub(crate) async fn answer(
        self,
        outcome: impl Fn(&Notification) -> MessageOutcome,
    ) -> SqsBatchResponse {
        for read in &self.read {
            let trace = commits(&read.notification).next().and_then(trace);
            self.work(trace).run(self.log(read, outcome(&read.notification))).await;
        }
        let failed =
            self.read.iter().filter(|read| outcome(&read.notification) == MessageOutcome::Again);
        let failed = failed.map(|read| id(read.message));
        let again: BTreeSet<String> = self.unhandled.iter().cloned().chain(failed).collect();
        let mut response = SqsBatchResponse::default();
        for message_id in again {
            telemetry::count(Metric::Unhandled);
            response.add_failure(message_id);
        }
        response
    }

    /// Logs a message, and measures how old its newest event is.
    async fn log(&self, read: &ReadMessage<'_>, outcome: MessageOutcome) {
        telemetry::count(Metric::Messages);
        let newest = commits(&read.notification).last();
        if let Some(commit) = newest {
            telemetry::annotate(
                &read.notification.stream,
                Some(read.notification.version),
                &commit.metadata,
            );
        }
        let lag_ms = newest.map(|commit| since_ms(commit.recorded_at.into()));
        if let Some(lag_ms) = lag_ms.filter(|_| outcome == MessageOutcome::Done) {
            telemetry::highest(Metric::LagMs, f64::from(lag_ms));
        }
        tracing::info!(
            consumer = self.consumer,
            message_id = id(read.message),
            stream = %read.notification.stream,
            version = read.notification.version,
            receives = receives(read.message),
            outcome = outcome.word(),
            duration_ms = since_ms(self.begun),
            lag_ms,
            "message handled"
        );
    }
}

/// The commits in a message; none if it has only versions.
fn commits(notification: &Notification) -> impl Iterator<Item = &Commit> {
    notification.batch.iter().flat_map(|batch| &batch.commits)
}

fn contains(commit: &Commit, version: u64) -> bool {
    (commit.version..=commit.last_version()).contains(&version)
}

fn trace(commit: &Commit) -> Option<TraceParent> {
    TraceParent::of(commit.metadata.trace_parent.as_ref())
}

/// How often the queue has given out the message.
pub(crate) fn receives(message: &SqsMessage) -> u32 {
    message
        .attributes
        .get("ApproximateReceiveCount")
        .and_then(|count| count.parse().ok())
        .unwrap_or(1)
}

/// Logs an unreadable message; reports it once. Later messages of its group are only logged.
fn log_unreadable(consumer: &str, message: &SqsMessage, group: &str, error: &Unreadable) {
    let (message_id, receives) = (id(message), receives(message));
    let new = receives == 1 && !matches!(error, Unreadable::Behind);
    let error: &(dyn std::error::Error + Send + Sync) = error;
    if new {
        tracing::error!(
            consumer,
            message_id,
            group,
            receives,
            error,
            "a message cannot be handled"
        );
    } else {
        tracing::warn!(consumer, message_id, group, receives, error, "a message cannot be handled");
    }
}

fn notifications_of(message: &SqsMessage) -> Result<Vec<Notification>, Unreadable> {
    let body = message.body.as_deref().ok_or(Unreadable::Empty)?;
    let read = NotificationMessage::read(body)?.into_iter();
    Ok(read.map(NotificationMessage::notification).collect::<Result<_, _>>()?)
}

fn id(message: &SqsMessage) -> String {
    message.message_id.clone().unwrap_or_default()
}
