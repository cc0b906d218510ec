//! Redrive: moves the messages of a consumer's dead-letter queue back to its queue.
//!
//! A message becomes a dead letter if it is unreadable, or if a table was down for long. A readable
//! message is sent unchanged. For an unreadable one, the message group is the name of its stream,
//! and the store knows the stream's version: a new notification is sent. A message is deleted from
//! the dead-letter queue only after the queue has accepted its replacement.

use crate::delivery::notification::NotificationMessage;
use crate::delivery::queue::{Outgoing, Queue};
use crate::operations::OperateError;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use eventstore::{Consistency, EventStore, ReadError, StreamId};
use serde::Serialize;
use std::time::{Duration, Instant};

/// A store and the two queues of a redrive.
pub(crate) struct Redrive<'a> {
    pub(crate) store: &'a EventStore,
    pub(crate) queue: Queue,
    pub(crate) dead_letters: Queue,
}

/// The result of a redrive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Redriven {
    /// How many messages were sent again.
    pub sent: u64,
    /// The messages that stay, with the reason.
    pub stays: Vec<Stays>,
    /// The approximate number of messages left. More of the same group may follow a message that
    /// stays.
    pub left: u64,
    /// Whether the time was up before all messages were handled: another call continues. A call
    /// that sends nothing found only messages that stay.
    pub more: bool,
}

/// A message that stays in the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stays {
    /// The message's id.
    pub message_id: String,
    /// Its group.
    pub group: String,
    /// Why it stays.
    pub reason: String,
}

/// The messages that stay, each once, with its newest receipt handle: each receive invalidates the
/// one before.
#[derive(Default)]
struct Remaining(Vec<(Stays, Message)>);

impl Remaining {
    fn note(&mut self, message: Message, reason: String) {
        self.forget(&message);
        self.0.push((Stays { message_id: id(&message), group: group(&message), reason }, message));
    }

    fn forget(&mut self, message: &Message) {
        self.0.retain(|(stays, _)| stays.message_id != id(message));
    }
}

impl Redriven {
    /// Adds the result of a later call.
    pub fn add(&mut self, later: Self) {
        let is_again =
            |before: &Stays| later.stays.iter().any(|stays| stays.message_id == before.message_id);
        self.stays.retain(|before| !is_again(before));
        self.sent += later.sent;
        self.stays.extend(later.stays);
        (self.left, self.more) = (later.left, later.more);
    }
}

impl Redrive<'_> {
    /// Handles messages until the dead-letter queue is empty, or the time is up.
    pub(crate) async fn run(&self, time: Duration) -> Result<Redriven, OperateError> {
        let (begun, mut redriven, mut remaining) =
            (Instant::now(), Redriven::default(), Remaining::default());
        loop {
            let taken = self.dead_letters.take().await?;
            if taken.is_empty() {
                break;
            }
            for message in taken {
                match self.successor(&message).await? {
                    Ok(successor) => {
                        self.queue.send(&[successor]).await?;
                        self.dead_letters.delete(&message).await?;
                        remaining.forget(&message);
                        redriven.sent += 1;
                    }
                    Err(reason) => remaining.note(message, reason),
                }
            }
            redriven.more = begun.elapsed() >= time;
            if redriven.more {
                break;
            }
        }
        let (stays, messages): (Vec<_>, Vec<_>) = remaining.0.into_iter().unzip();
        let handles: Vec<_> =
            messages.into_iter().filter_map(|message| message.receipt_handle).collect();
        // Returned only after the last call, so that another redrive finds them at once. Before
        // that they stay invisible for a minute, so that the next call gets other messages.
        if !redriven.more
            && let Err(error) = self.dead_letters.give_back(&handles).await
        {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "dead letters that stay are invisible for a minute");
        }
        redriven.stays = stays;
        redriven.left = self.dead_letters.count().await?;
        Ok(redriven)
    }

    /// The message to send, or why there is none.
    async fn successor(&self, message: &Message) -> Result<Result<Outgoing, String>, OperateError> {
        let deduplication_id = format!("redrive:{}", id(message));
        let group = group(message);
        if let Some((stream, body)) = readable(message) {
            let group = stream.map_or(group, String::from);
            return Ok(Ok(Outgoing { body, group, deduplication_id }));
        }
        let Ok(stream) = StreamId::new(&group) else {
            return Ok(Err("it cannot be read, and its group is no stream".to_owned()));
        };
        let head = match self.store.head(&stream, Consistency::Strong).await {
            Ok((head, _)) if head.version() > 0 => head,
            Ok(_) => {
                return Ok(Err(format!("it cannot be read, and the store has no stream {stream}")));
            }
            Err(ReadError::Corrupt(corrupt)) => {
                return Ok(Err(format!("it cannot be read, and {corrupt}")));
            }
            Err(error @ ReadError::Store(_)) => return Err(error.into()),
        };
        let address = serde_json::to_string(&NotificationMessage::address(stream, head.version()));
        Ok(match address {
            Ok(body) => Ok(Outgoing { body, group, deduplication_id }),
            Err(error) => Err(error.to_string()),
        })
    }
}

/// The body of a readable message, and its stream if it has one notification.
fn readable(message: &Message) -> Option<(Option<StreamId>, String)> {
    let body = message.body.clone()?;
    let read = NotificationMessage::read(&body).ok()?.into_iter();
    let mut streams: Vec<StreamId> =
        read.map(|one| Some(one.notification().ok()?.stream)).collect::<Option<_>>()?;
    let stream = if streams.len() == 1 { streams.pop() } else { None };
    Some((stream, body))
}

fn id(message: &Message) -> String {
    message.message_id.clone().unwrap_or_default()
}

fn group(message: &Message) -> String {
    let attributes = message.attributes.as_ref();
    let group = attributes
        .and_then(|attributes| attributes.get(&MessageSystemAttributeName::MessageGroupId));
    group.cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_calls_add_up_and_name_each_message_once() {
        let stays = |id: &str| Stays {
            message_id: id.to_owned(),
            group: "g".to_owned(),
            reason: "r".to_owned(),
        };
        let mut first =
            Redriven { sent: 10, stays: vec![stays("a"), stays("b")], left: 7, more: true };
        first.add(Redriven { sent: 5, stays: vec![stays("b"), stays("c")], left: 3, more: false });
        let stays = vec![stays("a"), stays("b"), stays("c")];
        assert_eq!(first, Redriven { sent: 15, stays, left: 3, more: false });
    }

    #[test]
    fn a_message_received_twice_stays_once_with_its_newest_handle() {
        let taken = |id: &str, handle: &str| {
            Message::builder().message_id(id).receipt_handle(handle).build()
        };
        let mut remaining = Remaining::default();
        remaining.note(taken("a", "1"), "it cannot be read".to_owned());
        remaining.note(taken("b", "2"), "it cannot be read".to_owned());
        remaining.note(taken("a", "3"), "it cannot be read still".to_owned());
        let stays: Vec<_> = remaining
            .0
            .iter()
            .map(|(stays, message)| (&*stays.reason, message.receipt_handle()))
            .collect();
        assert_eq!(
            stays,
            [("it cannot be read", Some("2")), ("it cannot be read still", Some("3"))]
        );
        remaining.forget(&taken("b", "4"));
        assert_eq!(remaining.0.len(), 1);
    }
}
