//! The messages of a consumer's queue: what they tell, and which of them are to come again.

use crate::delivery::continuation::{Continuations, Unfinished};
use crate::delivery::notification::NotificationMessage;
use crate::telemetry::{self, Metric, TraceParent, TracedWork, since_ms};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsMessage};
use eventstore::{Commit, CorruptStream, StreamId};
use projections::{Heartbeat, Notification, TimeLimit};
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

/// How long a batch may take where no call's deadline is known: as on Lambda, whose functions have ten seconds.
pub(crate) const WITHOUT_DEADLINE: Duration = Duration::from_secs(8);

/// A batch of messages, sorted into those that can be read and those that cannot, or that follow such a one.
pub(crate) struct SqsBatch<'a> {
    consumer: &'static str,
    begun: SystemTime,
    read: Vec<Read<'a>>,
    unhandled: BTreeSet<String>,
}

/// A message that can be read.
struct Read<'a> {
    message: &'a SqsMessage,
    news: Notification,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// What it tells of is applied, or parked.
    Done,
    /// The time ran out: another message goes on with its stream.
    GoesOn,
    /// It comes again.
    Again,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::GoesOn => "goes_on",
            Self::Again => "again",
        }
    }
}

/// How long gaps may be mended in a call that has that much time left: the page that is begun last must be done in the rest.
pub(crate) fn limit(left: Duration) -> TimeLimit {
    TimeLimit::after(left.saturating_sub(left / 4))
}

/// Why a message is no news.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("it has no body")]
    Empty,
    #[error("it is no announcement")]
    Json(#[from] serde_json::Error),
    #[error("its commits are not those of the store")]
    Commits(#[from] CorruptStream),
    #[error("it comes behind one of its group that cannot be read")]
    Behind,
}

impl<'a> SqsBatch<'a> {
    /// Reads the messages to a consumer; what cannot be read is logged, and reported when it comes first.
    pub(crate) fn read(consumer: &'static str, messages: &'a [SqsMessage]) -> Self {
        let begun = SystemTime::now();
        let (mut read, mut unhandled, mut blocked) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for message in messages {
            let group = message.attributes.get("MessageGroupId").cloned().unwrap_or_default();
            let readable = if blocked.contains(&group) { Err(Unreadable::Behind) } else { news(message) };
            match readable {
                Ok(news) => read.push(Read { message, news }),
                Err(error) => {
                    tell_unreadable(consumer, message, &group, &error);
                    blocked.insert(group);
                    unhandled.insert(id(message));
                }
            }
        }
        Self { consumer, begun, read, unhandled }
    }

    /// What they tell.
    pub(crate) fn news(&self) -> Vec<Notification> {
        self.read.iter().map(|read| read.news.clone()).collect()
    }

    /// How often the queue has given out the stream's most tried message.
    pub(crate) fn receives(&self, stream: &StreamId) -> u32 {
        let of_stream = self.read.iter().filter(|read| read.news.stream == *stream);
        of_stream.map(|read| receives(read.message)).max().unwrap_or(1)
    }

    /// Does work on an event of a stream, in the trace of what brought the event.
    pub(crate) async fn on_event<T>(
        &self,
        stream: &StreamId,
        version: Option<u64>,
        work: impl Future<Output = T>,
    ) -> T {
        let of_stream = self.read.iter().filter(|read| read.news.stream == *stream);
        let commits: Vec<&Commit> = of_stream.flat_map(|read| commits(&read.news)).collect();
        let bearing = version.and_then(|version| commits.iter().find(|commit| bears(commit, version)));
        let trace = bearing.or(commits.first()).and_then(|commit| trace(commit));
        let work = Box::pin(work);
        let work = async {
            if let Some(commit) = bearing {
                telemetry::annotate(stream, version, &commit.metadata);
            }
            work.await
        };
        self.work(trace).run(work).await
    }

    fn work(&self, trace: Option<TraceParent>) -> TracedWork<'_> {
        TracedWork { name: self.consumer, kind: "queue.process", trace, begun: self.begun }
    }

    /// Lets the stream's work go on in another call. No, where that call cannot be asked for: its messages come again then.
    pub(crate) async fn go_on(&self, stream: &StreamId, continuations: Option<&Continuations>) -> bool {
        let of_stream = || self.read.iter().filter(|read| read.news.stream == *stream);
        let Some((continuations, last)) = continuations.zip(of_stream().next_back()) else { return false };
        let version = of_stream().map(|read| read.news.version).max().unwrap_or(last.news.version);
        let unfinished = Unfinished { stream: stream.clone(), version, message_id: id(last.message) };
        match continuations.send(&unfinished).await {
            Ok(()) => {
                tracing::info!(consumer = self.consumer, %stream, version, "a stream goes on in another call");
                true
            }
            Err(error) => {
                let error: &(dyn std::error::Error + Send + Sync) = &error;
                tracing::warn!(consumer = self.consumer, %stream, version, error, "a stream cannot be told to go on");
                false
            }
        }
    }

    /// Notes how far the consumer has come: when the newest of what is done was recorded.
    pub(crate) async fn note(&self, pulse: &Heartbeat, failed: impl Fn(&StreamId) -> bool) {
        let done = self.read.iter().map(|read| &read.news).filter(|news| !failed(&news.stream));
        let commits = done.flat_map(commits);
        let Some(newest) = commits.map(|commit| commit.recorded_at).max() else { return };
        if let Err(error) = pulse.note(newest).await {
            let error: &(dyn std::error::Error + Send + Sync) = &error;
            tracing::warn!(error, "how far a consumer has come was not noted");
        }
    }

    /// The answer: the messages that are to come again. Each that failed and, as FIFO order demands, every later one of its
    /// group; never the whole batch for one message.
    pub(crate) async fn answer(self, outcome: impl Fn(&Notification) -> Outcome) -> SqsBatchResponse {
        for read in &self.read {
            let trace = commits(&read.news).next().and_then(trace);
            self.work(trace).run(self.tell(read, outcome(&read.news))).await;
        }
        let failed = self.read.iter().filter(|read| outcome(&read.news) == Outcome::Again);
        let failed = failed.map(|read| id(read.message));
        let again: BTreeSet<String> = self.unhandled.iter().cloned().chain(failed).collect();
        let mut response = SqsBatchResponse::default();
        for message_id in again {
            telemetry::count(Metric::Unhandled);
            response.add_failure(message_id);
        }
        response
    }

    /// The line of a message; and how old its newest event is now.
    async fn tell(&self, read: &Read<'_>, outcome: Outcome) {
        telemetry::count(Metric::Messages);
        let newest = commits(&read.news).last();
        if let Some(commit) = newest {
            telemetry::annotate(&read.news.stream, Some(read.news.version), &commit.metadata);
        }
        let lag_ms = newest.map(|commit| since_ms(commit.recorded_at.into()));
        if let Some(lag_ms) = lag_ms.filter(|_| outcome == Outcome::Done) {
            telemetry::highest(Metric::LagMs, f64::from(lag_ms));
        }
        tracing::info!(
            consumer = self.consumer,
            message_id = id(read.message),
            stream = %read.news.stream,
            version = read.news.version,
            receives = receives(read.message),
            outcome = outcome.word(),
            duration_ms = since_ms(self.begun),
            lag_ms,
            "message handled"
        );
    }
}

/// The commits that a message brings; none where it only tells that there are some.
fn commits(news: &Notification) -> impl Iterator<Item = &Commit> {
    news.batch.iter().flat_map(|batch| &batch.commits)
}

fn bears(commit: &Commit, version: u64) -> bool {
    (commit.version..=commit.last_version()).contains(&version)
}

fn trace(commit: &Commit) -> Option<TraceParent> {
    TraceParent::of(commit.metadata.trace_parent.as_ref())
}

/// How often the queue has given out the message.
pub(crate) fn receives(message: &SqsMessage) -> u32 {
    message.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1)
}

/// It will be the same next time: that is reported once. What comes behind it is no failure of its own.
fn tell_unreadable(consumer: &str, message: &SqsMessage, group: &str, error: &Unreadable) {
    let (message_id, receives) = (id(message), receives(message));
    let new = receives == 1 && !matches!(error, Unreadable::Behind);
    let error: &(dyn std::error::Error + Send + Sync) = error;
    if new {
        tracing::error!(consumer, message_id, group, receives, error, "a message cannot be handled");
    } else {
        tracing::warn!(consumer, message_id, group, receives, error, "a message cannot be handled");
    }
}

fn news(message: &SqsMessage) -> Result<Notification, Unreadable> {
    let announcement: NotificationMessage = serde_json::from_str(message.body.as_deref().ok_or(Unreadable::Empty)?)?;
    Ok(announcement.notification()?)
}

fn id(message: &SqsMessage) -> String {
    message.message_id.clone().unwrap_or_default()
}
