//! The projector: from a consumer's queue to its read model.

use crate::announcement::Announcement;
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use eventstore::{Damaged, StreamId};
use projections::{Failed, ProjectError, Projection, Projector, WakeUp};
use std::collections::{BTreeMap, BTreeSet};

/// At this receive of a message a stream that cannot be applied is parked. Not at the first: the program that knows the event
/// may be just on its way.
const PARKED_AT_RECEIVE: u32 = 5;

/// Handles the messages of one projection's queue.
#[derive(Clone)]
pub struct ProjectorHandler {
    projection: Projection,
    projector: Projector,
}

/// A message that can be read.
struct Read<'a> {
    message: &'a SqsMessage,
    news: WakeUp,
}

impl ProjectorHandler {
    /// A handler that projects what its queue announces.
    pub fn new(projection: Projection, projector: Projector) -> Self {
        Self { projection, projector }
    }

    /// Handles a batch of messages. The answer names those that are to come again: each failed one and, as FIFO order
    /// demands, every later one of its group. Never the whole batch for one message.
    pub async fn handle(&self, event: SqsEvent) -> SqsBatchResponse {
        let (read, mut unhandled) = self.read(&event.records);
        let news = read.iter().map(|read| read.news.clone()).collect();
        let mut failures: BTreeMap<StreamId, Vec<ProjectError>> = BTreeMap::new();
        for failed in self.projector.project(&self.projection, news).await {
            if !self.stands_still(&failed, receives(&read, &failed.stream)).await {
                failures.entry(failed.stream).or_default().push(failed.error);
            }
        }
        let failed = read.iter().filter(|read| {
            let errors = failures.get(&read.news.stream);
            errors.is_some_and(|errors| errors.iter().any(|error| concerns(error, read)))
        });
        unhandled.extend(failed.map(|read| id(read.message)));
        let mut response = SqsBatchResponse::default();
        for message_id in unhandled {
            response.add_failure(message_id);
        }
        response
    }

    /// Whether the stream is parked in that generation, now or before: its messages are done with then.
    async fn stands_still(&self, failed: &Failed, receives: u32) -> bool {
        let Failed { stream, generation, error } = failed;
        let projection = self.projection.name;
        let said: &(dyn std::error::Error + Send + Sync) = error;
        let Some(generation) = generation.filter(|_| error.is_lasting()) else {
            tracing::error!(projection, %stream, error = said, "a stream could not be projected");
            return false;
        };
        let known = self.projector.is_parked(&self.projection, generation, stream).await;
        if matches!(known, Ok(true)) {
            return true;
        }
        tracing::error!(projection, %stream, generation, receives, error = said, "an event cannot be applied");
        if known.is_err() || receives < PARKED_AT_RECEIVE {
            return false;
        }
        match self.projector.park(&self.projection, generation, stream, error).await {
            Ok(()) => {
                tracing::error!(projection, %stream, generation, "the stream is parked until it is resumed");
                true
            }
            Err(error) => {
                let error: &(dyn std::error::Error + Send + Sync) = &error;
                tracing::error!(projection, %stream, generation, error, "the stream cannot be parked");
                false
            }
        }
    }

    /// Sorts the messages into those that can be read and the ids of those that cannot, or that follow such a one.
    fn read<'a>(&self, messages: &'a [SqsMessage]) -> (Vec<Read<'a>>, BTreeSet<String>) {
        let (mut read, mut unhandled, mut blocked) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for message in messages {
            let group = message.attributes.get("MessageGroupId").cloned().unwrap_or_default();
            let readable = if blocked.contains(&group) { Err(Unreadable::Behind) } else { news(message) };
            match readable {
                Ok(news) => read.push(Read { message, news }),
                Err(error) => {
                    let (projection, message_id) = (self.projection.name, id(message));
                    let error: &(dyn std::error::Error + Send + Sync) = &error;
                    tracing::error!(projection, message_id, group, error, "a message cannot be handled");
                    blocked.insert(group);
                    unhandled.insert(message_id);
                }
            }
        }
        (read, unhandled)
    }
}

/// Why a message is no news.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("it has no body")]
    Empty,
    #[error("it is no announcement")]
    Json(#[from] serde_json::Error),
    #[error("its commits are not those of the store")]
    Commits(#[from] Damaged),
    #[error("it comes behind one of its group that cannot be read")]
    Behind,
}

fn news(message: &SqsMessage) -> Result<WakeUp, Unreadable> {
    let announcement: Announcement = serde_json::from_str(message.body.as_deref().ok_or(Unreadable::Empty)?)?;
    Ok(announcement.wake_up()?)
}

/// An event that cannot be applied leaves the messages before it done.
fn concerns(error: &ProjectError, read: &Read<'_>) -> bool {
    match error {
        ProjectError::Fold { version, .. } => read.news.version >= *version,
        ProjectError::Missing { found, .. } => read.news.version > *found,
        ProjectError::Read(_) | ProjectError::Table(_) | ProjectError::Contention => true,
    }
}

/// How often the queue has given out the stream's most tried message.
fn receives(read: &[Read<'_>], stream: &StreamId) -> u32 {
    let of_stream = read.iter().filter(|read| read.news.stream == *stream);
    let counts = of_stream.filter_map(|read| read.message.attributes.get("ApproximateReceiveCount")?.parse().ok());
    counts.max().unwrap_or(1)
}

fn id(message: &SqsMessage) -> String {
    message.message_id.clone().unwrap_or_default()
}
