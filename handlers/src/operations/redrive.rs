//! Redrive: what lies in a consumer's dead-letter queue is sent to its queue again.
//!
//! The dead-letter queue holds what could not be read a thousand times, or what met a table that
//! was down for that long. A message that can be read is sent as it is. Of one that cannot, its
//! group still says which stream it was about, and the store says how far that has come: so the
//! stream is announced by its address. A message leaves the dead-letter queue only when the queue
//! has taken its successor.

use crate::delivery::notification::NotificationMessage;
use crate::delivery::queue::{Outgoing, Queue};
use crate::operations::OperateError;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use eventstore::{Consistency, EventStore, ReadError, StreamId};
use serde::Serialize;
use std::time::{Duration, Instant};

/// What a redrive needs.
pub(crate) struct Redrive<'a> {
    pub(crate) store: &'a EventStore,
    pub(crate) queue: Queue,
    pub(crate) dead_letters: Queue,
}

/// What a redrive came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Redriven {
    /// How many messages were sent again.
    pub sent: u64,
    /// Those that stay, with the reason.
    pub stays: Vec<Stays>,
    /// How many are in the dead-letter queue afterwards, about. Behind one that stays there may be more of its group.
    pub left: u64,
    /// Whether the time of the call was up before all messages were looked at: another call goes
    /// on. One that sends nothing has met only messages that stay.
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

/// The messages that stay, each once and with its newest handle: one that is taken a second time comes with another, and the
/// one before is no good any more.
#[derive(Default)]
struct Kept(Vec<(Stays, Message)>);

impl Kept {
    fn note(&mut self, message: Message, reason: String) {
        self.forget(&message);
        self.0.push((Stays { message_id: id(&message), group: group(&message), reason }, message));
    }

    fn forget(&mut self, message: &Message) {
        self.0.retain(|(stays, _)| stays.message_id != id(message));
    }
}

impl Redriven {
    /// What two calls came to, the later one last.
    pub fn add(&mut self, later: Self) {
        let is_again = |before: &Stays| later.stays.iter().any(|stays| stays.message_id == before.message_id);
        self.stays.retain(|before| !is_again(before));
        self.sent += later.sent;
        self.stays.extend(later.stays);
        (self.left, self.more) = (later.left, later.more);
    }
}

impl Redrive<'_> {
    /// Looks at messages until the dead-letter queue gives out no more, or the time is up.
    pub(crate) async fn run(&self, time: Duration) -> Result<Redriven, OperateError> {
        let (begun, mut redriven, mut kept) = (Instant::now(), Redriven::default(), Kept::default());
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
                        kept.forget(&message);
                        redriven.sent += 1;
                    }
                    Err(reason) => kept.note(message, reason),
                }
            }
            redriven.more = begun.elapsed() >= time;
            if redriven.more {
                break;
            }
        }
        for (stays, message) in kept.0 {
            // Behind the last call, so that another try finds them at once. Before it, so that the
            // next call meets others: they come back within a minute.
            if !redriven.more
                && let Err(error) = self.dead_letters.give_back(&message).await
            {
                // It comes back within a minute.
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, message_id = stays.message_id, "a dead letter was not given back");
            }
            redriven.stays.push(stays);
        }
        redriven.left = self.dead_letters.count().await?;
        Ok(redriven)
    }

    /// The message to send instead, or why there is none.
    async fn successor(&self, message: &Message) -> Result<Result<Outgoing, String>, OperateError> {
        let deduplication_id = format!("redrive:{}", id(message));
        if let Some((stream, body)) = readable(message) {
            return Ok(Ok(Outgoing { body, group: stream.to_string(), deduplication_id }));
        }
        let group = group(message);
        let Ok(stream) = StreamId::new(&group) else {
            return Ok(Err("it cannot be read, and its group is no stream".to_owned()));
        };
        let head = match self.store.head(&stream, Consistency::Strong).await {
            Ok((head, _)) if head.version() > 0 => head,
            Ok(_) => return Ok(Err(format!("it cannot be read, and the store has no stream {stream}"))),
            Err(ReadError::Corrupt(damaged)) => return Ok(Err(format!("it cannot be read, and {damaged}"))),
            Err(error @ ReadError::Store(_)) => return Err(error.into()),
        };
        let address = serde_json::to_string(&NotificationMessage::address(stream, head.version()));
        Ok(match address {
            Ok(body) => Ok(Outgoing { body, group, deduplication_id }),
            Err(error) => Err(error.to_string()),
        })
    }
}

/// The stream and the body of an announcement that can be read to its end.
fn readable(message: &Message) -> Option<(StreamId, String)> {
    let body = message.body.clone()?;
    let announcement: NotificationMessage = serde_json::from_str(&body).ok()?;
    Some((announcement.notification().ok()?.stream, body))
}

fn id(message: &Message) -> String {
    message.message_id.clone().unwrap_or_default()
}

fn group(message: &Message) -> String {
    let attributes = message.attributes.as_ref();
    let group = attributes.and_then(|attributes| attributes.get(&MessageSystemAttributeName::MessageGroupId));
    group.cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_calls_add_up_and_name_each_message_once() {
        let stays = |id: &str| Stays { message_id: id.to_owned(), group: "g".to_owned(), reason: "r".to_owned() };
        let mut first = Redriven { sent: 10, stays: vec![stays("a"), stays("b")], left: 7, more: true };
        first.add(Redriven { sent: 5, stays: vec![stays("b"), stays("c")], left: 3, more: false });
        let stays = vec![stays("a"), stays("b"), stays("c")];
        assert_eq!(first, Redriven { sent: 15, stays, left: 3, more: false });
    }

    #[test]
    fn a_message_that_is_taken_twice_stays_once_with_its_newest_handle() {
        let taken = |id: &str, handle: &str| Message::builder().message_id(id).receipt_handle(handle).build();
        let mut kept = Kept::default();
        kept.note(taken("a", "1"), "it cannot be read".to_owned());
        kept.note(taken("b", "2"), "it cannot be read".to_owned());
        kept.note(taken("a", "3"), "it cannot be read still".to_owned());
        let stays: Vec<_> = kept.0.iter().map(|(stays, message)| (&*stays.reason, message.receipt_handle())).collect();
        assert_eq!(stays, [("it cannot be read", Some("2")), ("it cannot be read still", Some("3"))]);
        kept.forget(&taken("b", "4"));
        assert_eq!(kept.0.len(), 1);
    }
}
