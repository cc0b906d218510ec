//! One message to the journal has the notifications of many streams.

use super::{assert_exact, stored, stream, write};
use crate::harness::events::{commit, raw};
use crate::harness::messages::{Message, deliver};
use crate::harness::stack::{Received, TestStack, event_key};
use crate::projections::fan_out::hand_over;
use eventstore::{Consistency, StreamId};
use projections::journal::PROJECTION;
use serde_json::Value;

/// The stream and first version of each notification.
fn notified(message: &Received) -> Vec<(String, u64)> {
    let one = |one: &Value| {
        (one["stream"].as_str().unwrap().to_owned(), one["version"].as_u64().unwrap())
    };
    message.body.as_array().unwrap().iter().map(one).collect()
}

fn as_delivered(message: &Received) -> Message {
    Message::new(&message.group, &message.body.to_string())
}

#[tokio::test]
async fn a_call_of_fan_out_sends_one_message_for_all_streams() {
    let stack = TestStack::start().await;
    let streams: Vec<StreamId> = (0..9).map(|number| stream(&format!("b{number}"))).collect();
    let mut expected = Vec::new();
    for version in 1..=3 {
        for stream in &streams {
            write(&stack, stream, 1).await;
            expected.push((stream.to_string(), version));
        }
    }
    assert_eq!(hand_over(&stack, &stack.records(27).await).await, None);
    let messages = stack.receive_all("journal").await;
    assert_eq!(messages.len(), 1);
    assert_eq!((&*messages[0].group, notified(&messages[0])), ("journal", expected));
    let others = stack.receive_all("audit").await;
    assert_eq!(others.len(), 27, "other consumers get a message for each");
    let handler = stack.handler(PROJECTION);
    assert!(deliver(&handler, &[as_delivered(&messages[0])]).await.is_empty());
    assert_exact(&stack, 1, &streams).await;
    let batches = stored(&stack, 1).await.len();
    assert_eq!(batches, 27);
}

#[tokio::test]
async fn large_commits_are_spread_over_messages_and_leave_with_their_versions() {
    let stack = TestStack::start().await;
    let mut streams = Vec::new();
    for (number, kilobytes) in [60, 60, 30, 390, 1, 90].into_iter().enumerate() {
        let stream = stream(&format!("large{number}"));
        // Letters by chance, so that they do not get smaller when they are compressed.
        let text: String =
            std::iter::repeat_with(fastrand::alphanumeric).take(kilobytes * 1_000).collect();
        let (head, _) = stack.store.head(&stream, Consistency::Strong).await.unwrap();
        let event = raw("Noted", 1, &format!(r#"{{"text":"{text}"}}"#));
        stack.store.append(&head, vec![commit(vec![event])]).await.unwrap();
        streams.push(stream);
    }
    assert_eq!(hand_over(&stack, &stack.records(6).await).await, None);
    let messages = stack.receive_all("journal").await;
    let lengths: Vec<usize> = messages.iter().map(|message| notified(message).len()).collect();
    assert_eq!(lengths, [1, 4, 1], "60; 60, 30, the address of 390, 1; 90");
    assert!(messages.iter().all(|message| message.body.to_string().len() < 102_400));
    assert!(messages[1].body[2]["commits"].is_null(), "the store has it");
    let handler = stack.handler(PROJECTION);
    let delivered: Vec<Message> = messages.iter().map(as_delivered).collect();
    assert!(deliver(&handler, &delivered).await.is_empty());
    assert_exact(&stack, 1, &streams).await;
}

#[tokio::test]
async fn a_stream_that_cannot_be_journaled_is_parked_and_holds_up_none() {
    let stack = TestStack::start().await;
    let (a, b) = (stream("a"), stream("b"));
    write(&stack, &a, 3).await;
    write(&stack, &b, 2).await;
    assert_eq!(hand_over(&stack, &stack.records(5).await).await, None);
    let mut message = stack.receive_all("journal").await.remove(0);
    // The message has only versions, and the store lacks one of them.
    for one in message.body.as_array_mut().unwrap() {
        one.as_object_mut().unwrap().remove("commits");
    }
    let request = stack.clients().dynamodb.delete_item().table_name(stack.names.events());
    request.set_key(Some(event_key(a.as_str(), 2))).send().await.unwrap();
    let handler = stack.handler(PROJECTION);
    let mut message = as_delivered(&message);
    for receives in 1..=5 {
        message.receives = receives;
        let again = deliver(&handler, std::slice::from_ref(&message)).await;
        assert_eq!(again.is_empty(), receives == 5, "at receive {receives}");
    }
    let parked = stack.operations().parked(&PROJECTION, 10, None).await.unwrap();
    assert_eq!(parked.streams.len(), 1);
    let journal = stored(&stack, 1).await;
    assert_eq!(journal.values().filter(|entry| entry.0 == b.as_str()).count(), 2);
}

#[tokio::test]
async fn an_unreadable_message_is_a_failure_and_blocks_no_reader() {
    let stack = TestStack::start().await;
    let handler = stack.handler(PROJECTION);
    for body in ["[]", "[{}]", "[", r#"[{"stream":"note-1","version":1,"last_version":1},7]"#] {
        let message = Message::new("journal", body);
        assert_eq!(deliver(&handler, std::slice::from_ref(&message)).await, [message.id], "{body}");
    }
    assert!(stored(&stack, 1).await.is_empty());
}
