//! Shows messages of a consumer's dead-letter queue, and leaves them there.
//!
//! SQS shows messages only to a receiver, and a received message is in flight: invisible to other
//! receivers, with all later messages of its group. Hence a sample is received, and given back at
//! once. Each look counts as a receive of its messages. A dead-letter queue has no further redrive
//! policy, so no number of receives moves or removes a message.
//!
//! A process that dies between the two leaves the messages invisible for [`INVISIBLE_S`] seconds.
//! A redrive that begins during a look waits a second for messages, which is longer than a look
//! usually takes. A message that it misses is counted in its answer as left.

use crate::delivery::notification::NotificationMessage;
use crate::delivery::queue::{MAX_ENTRIES, Queue, QueueError};
use crate::operations::OperateError;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as Attribute};
use chrono::{DateTime, Utc};
use eventstore::StreamId;
use serde::Serialize;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// The messages of a sample without a limit.
pub const DEFAULT_DEAD_LETTERS: u32 = 20;
/// The most messages of a sample.
pub const MAX_DEAD_LETTERS: u32 = 100;
/// The visibility timeout of the received messages: longer than all receives of a sample.
const INVISIBLE_S: i32 = 10;
/// No receive begins later than this, so that the first messages are still in flight at the end.
const MAX_RECEIVE_TIME: Duration = Duration::from_secs(5);
/// The most receives of a sample. A receive may return fewer messages than the queue has.
const MAX_RECEIVES: u32 = 20;
/// The most bytes of a body, as a JSON string without its quotes.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// A sample of a dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetters {
    /// The messages. One receive returns at most ten of a group and blocks the rest of it, so the
    /// sample may have fewer messages than the limit and the queue.
    pub messages: Vec<DeadLetter>,
    /// The approximate number of messages in the queue.
    pub in_queue: u64,
}

/// A message of a dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// The message's id.
    pub message_id: String,
    /// Its group, which is the name of its stream.
    pub group: String,
    /// The stream, if the body is a notification.
    pub stream: Option<StreamId>,
    /// The version of the first event, if the body is a notification.
    pub version: Option<u64>,
    /// The approximate number of its receives, with those of samples.
    pub receives: u64,
    /// When it was sent to the queue.
    pub sent_at: DateTime<Utc>,
    /// The body. It is text of any kind.
    pub body: String,
    /// Whether the body is longer than 16 KB as JSON, so that only its beginning is shown.
    pub truncated: bool,
}

/// Receives a sample and gives it back.
///
/// # Errors
/// [`OperateError::DeadLettersInFlight`] during a redrive or another look; a failed request.
pub(super) async fn sample(queue: &Queue, limit: u32) -> Result<DeadLetters, OperateError> {
    let counts = queue.counts().await?;
    if counts.in_flight > 0 {
        return Err(OperateError::DeadLettersInFlight);
    }
    let limit = usize::try_from(limit.min(MAX_DEAD_LETTERS)).unwrap_or_default();
    let wanted = usize::try_from(counts.waiting).unwrap_or(limit).min(limit);
    let mut sample = Sample::default();
    let received = sample.receive(queue, wanted).await;
    // All together at the end: a message that is visible again would be received again.
    if let Err(error) = queue.give_back(&sample.handles).await {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "dead letters stay invisible for {INVISIBLE_S} seconds");
    }
    received?;
    Ok(DeadLetters { messages: sample.messages, in_queue: counts.waiting })
}

/// The messages received so far, each once, and their newest receipt handles in the same order.
#[derive(Default)]
struct Sample {
    messages: Vec<DeadLetter>,
    handles: Vec<String>,
}

impl Sample {
    async fn receive(&mut self, queue: &Queue, wanted: usize) -> Result<(), QueueError> {
        let begun = Instant::now();
        for _ in 0..MAX_RECEIVES {
            let missing = wanted.saturating_sub(self.messages.len()).min(MAX_ENTRIES);
            if missing == 0 || begun.elapsed() >= MAX_RECEIVE_TIME {
                break;
            }
            let received = queue.receive(missing, INVISIBLE_S).await?;
            if received.is_empty() {
                break;
            }
            received.into_iter().for_each(|message| self.add(message));
        }
        Ok(())
    }

    fn add(&mut self, message: Message) {
        let handle = message.receipt_handle.clone().unwrap_or_default();
        let letter = DeadLetter::of(message);
        let known = self.messages.iter().position(|known| known.message_id == letter.message_id);
        let entries = known
            .and_then(|index| Some((self.messages.get_mut(index)?, self.handles.get_mut(index)?)));
        match entries {
            // It was visible again. Its earlier handle is no longer valid.
            Some((known_letter, known_handle)) => {
                (*known_letter, *known_handle) = (letter, handle);
            }
            None => {
                self.messages.push(letter);
                self.handles.push(handle);
            }
        }
    }
}

impl DeadLetter {
    fn of(message: Message) -> Self {
        let body = message.body.unwrap_or_default();
        let notification: Option<NotificationMessage> = serde_json::from_str(&body).ok();
        let (stream, version) = notification.map(|read| (read.stream, read.version)).unzip();
        let attributes = message.attributes.unwrap_or_default();
        let text = |name| attributes.get(&name).map(String::as_str).unwrap_or_default();
        let sent_ms = number(text(Attribute::SentTimestamp)).unwrap_or_default();
        let (body, truncated) = cut(body);
        Self {
            message_id: message.message_id.unwrap_or_default(),
            group: text(Attribute::MessageGroupId).to_owned(),
            stream,
            version,
            receives: number(text(Attribute::ApproximateReceiveCount)).unwrap_or_default(),
            sent_at: DateTime::from_timestamp_millis(sent_ms).unwrap_or_default(),
            body,
            truncated,
        }
    }
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// The beginning of a text that fits into an answer, and whether something is missing.
fn cut(mut text: String) -> (String, bool) {
    let mut bytes = 0;
    let too_long = text.char_indices().find(|(_, character)| {
        bytes += json_bytes(*character);
        bytes > MAX_BODY_BYTES
    });
    let end = too_long.map(|(index, _)| index);
    text.truncate(end.unwrap_or(text.len()));
    (text, end.is_some())
}

/// The length of a character in a JSON string.
fn json_bytes(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..' ' => 6,
        _ => character.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str, handle: &str, body: &str) -> Message {
        Message::builder().message_id(id).receipt_handle(handle).body(body).build()
    }

    #[test]
    fn a_body_is_cut_to_what_fits_as_json() {
        for text in ["a", "é", "\"", "\\", "\n", "\0", "\u{1b}", "\u{7f}", "😀", "</script>"] {
            for length in [0, 1, 1_000, MAX_BODY_BYTES] {
                let whole = text.repeat(length);
                let (begins, truncated) = cut(whole.clone());
                let bytes = |text: &str| serde_json::to_string(text).unwrap().len() - 2;
                assert!(whole.starts_with(&begins) && bytes(&begins) <= MAX_BODY_BYTES, "{text:?}");
                assert_eq!(truncated, bytes(&whole) > MAX_BODY_BYTES, "{text:?} {length}");
                assert!(!truncated || bytes(&begins) > MAX_BODY_BYTES - 7, "{text:?} {length}");
            }
        }
    }

    #[test]
    fn a_message_received_twice_is_shown_once_with_its_newest_handle() {
        let mut sample = Sample::default();
        for (id, handle) in [("a", "1"), ("b", "2"), ("a", "3")] {
            sample.add(message(id, handle, "{"));
        }
        let ids: Vec<_> = sample.messages.iter().map(|letter| &*letter.message_id).collect();
        assert_eq!((ids, sample.handles), (vec!["a", "b"], vec!["3".to_owned(), "2".to_owned()]));
    }

    #[test]
    fn stream_and_version_are_those_of_a_notification_only() {
        let named = |body: &str| {
            let letter = DeadLetter::of(message("a", "1", body));
            (letter.stream.map(|stream| stream.to_string()), letter.version)
        };
        // Its commits cannot be read. The address can.
        let damaged =
            r#"{"stream":"stock-1","version":2,"last_version":3,"format":2,"commits":[{}]}"#;
        assert_eq!(named(damaged), (Some("stock-1".to_owned()), Some(2)));
        for body in [
            "",
            "{",
            "null",
            r#"{"stream":"stock-1"}"#,
            r#"{"stream":"<script>","version":1,"last_version":1}"#,
            r#"{"stream":"stock-\u0000","version":1,"last_version":1}"#,
            r#"{"stream":"stock-1","version":-1,"last_version":1}"#,
        ] {
            assert_eq!(named(body), (None, None), "{body}");
        }
    }
}
