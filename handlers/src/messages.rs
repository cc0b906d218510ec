//! The messages of a consumer's queue: what they tell, and which of them are to come again.

use crate::announcement::Announcement;
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsMessage};
use eventstore::{Damaged, StreamId};
use projections::{Pulse, WakeUp};
use std::collections::BTreeSet;

/// A batch of messages, sorted into those that can be read and those that cannot, or that follow such a one.
pub(crate) struct Messages<'a> {
    read: Vec<Read<'a>>,
    unhandled: BTreeSet<String>,
}

/// A message that can be read.
struct Read<'a> {
    message: &'a SqsMessage,
    news: WakeUp,
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

impl<'a> Messages<'a> {
    /// Reads the messages to a consumer; what cannot be read is logged.
    pub(crate) fn read(consumer: &str, messages: &'a [SqsMessage]) -> Self {
        let (mut read, mut unhandled, mut blocked) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for message in messages {
            let group = message.attributes.get("MessageGroupId").cloned().unwrap_or_default();
            let readable = if blocked.contains(&group) { Err(Unreadable::Behind) } else { news(message) };
            match readable {
                Ok(news) => read.push(Read { message, news }),
                Err(error) => {
                    let message_id = id(message);
                    let error: &(dyn std::error::Error + Send + Sync) = &error;
                    tracing::error!(consumer, message_id, group, error, "a message cannot be handled");
                    blocked.insert(group);
                    unhandled.insert(message_id);
                }
            }
        }
        Self { read, unhandled }
    }

    /// What they tell.
    pub(crate) fn news(&self) -> Vec<WakeUp> {
        self.read.iter().map(|read| read.news.clone()).collect()
    }

    /// How often the queue has given out the stream's most tried message.
    pub(crate) fn receives(&self, stream: &StreamId) -> u32 {
        let of_stream = self.read.iter().filter(|read| read.news.stream == *stream);
        let counts = of_stream.filter_map(|read| read.message.attributes.get("ApproximateReceiveCount")?.parse().ok());
        counts.max().unwrap_or(1)
    }

    /// Notes how far the consumer has come: when the newest of what is done was recorded.
    pub(crate) async fn note(&self, pulse: &Pulse, failed: impl Fn(&StreamId) -> bool) {
        let done = self.read.iter().map(|read| &read.news).filter(|news| !failed(&news.stream));
        let commits = done.flat_map(|news| &news.batch).flat_map(|batch| &batch.commits);
        let Some(newest) = commits.map(|commit| commit.recorded_at).max() else { return };
        if let Err(error) = pulse.note(newest).await {
            let error: &(dyn std::error::Error + Send + Sync) = &error;
            tracing::warn!(error, "how far a consumer has come was not noted");
        }
    }

    /// The answer: the messages that are to come again. Each that failed and, as FIFO order demands, every later one of its
    /// group; never the whole batch for one message.
    pub(crate) fn answer(self, failed: impl Fn(&WakeUp) -> bool) -> SqsBatchResponse {
        let failed = self.read.iter().filter(|read| failed(&read.news)).map(|read| id(read.message));
        let mut response = SqsBatchResponse::default();
        for message_id in self.unhandled.into_iter().chain(failed).collect::<BTreeSet<_>>() {
            response.add_failure(message_id);
        }
        response
    }
}

fn news(message: &SqsMessage) -> Result<WakeUp, Unreadable> {
    let announcement: Announcement = serde_json::from_str(message.body.as_deref().ok_or(Unreadable::Empty)?)?;
    Ok(announcement.wake_up()?)
}

fn id(message: &SqsMessage) -> String {
    message.message_id.clone().unwrap_or_default()
}
