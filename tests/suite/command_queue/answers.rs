//! Which status is stored, and which stays.

use super::{BOOK, STREAM, TABLE, TestStack, is_done_with, receive, reserve};
use crate::harness::messages::Message;
use crate::harness::wire::{Act, Wire};
use aws_sdk_dynamodb::types::AttributeValue;
use eventstore::{CommandMetadata, EventStore, Head, Id, NewCommit, NewEvent, StreamId};
use handlers::{CommandStatuses, CommandWorker};
use serde_json::{Value, json};
use std::sync::Arc;

/// A refused reservation, and its message, which is redelivered later.
pub(super) async fn refused(stack: &TestStack) -> Message {
    let (path, body) = reserve(2);
    stack.later(&path, "r", &body).await;
    let message = stack.message().await;
    assert!(is_done_with(&stack.worker(), &message, 1).await);
    assert_eq!(stack.command_status("r").await, "refused");
    message
}

#[tokio::test]
async fn an_answered_refusal_stays_until_a_new_send() {
    let stack = TestStack::start().await;
    let message = refused(&stack).await;
    let (path, body) = receive(2);
    stack.at_once(&path, "s", &body).await;
    assert!(is_done_with(&stack.worker(), &message, 2).await);
    assert_eq!(
        (stack.command_status("r").await.as_str(), stack.types(STREAM).await.len()),
        ("refused", 1)
    );
}

#[tokio::test]
async fn a_send_after_a_refusal_is_decided_by_its_own_message() {
    let stack = TestStack::start().await;
    let old = refused(&stack).await;
    let (path, body) = receive(2);
    stack.at_once(&path, "s", &body).await;
    let (path, body) = reserve(2);
    stack.later(&path, "r", &body).await;
    assert_eq!(stack.command_status("r").await, "pending");
    assert!(is_done_with(&stack.worker(), &old, 3).await);
    assert_eq!(
        (stack.command_status("r").await.as_str(), stack.types(STREAM).await.len()),
        ("pending", 1)
    );
    assert!(is_done_with(&stack.worker(), &stack.message().await, 1).await);
    assert_eq!(stack.command_status("r").await, "done");
    assert_eq!(stack.types(STREAM).await, ["StockReceived", "StockReserved"]);
}

#[tokio::test]
async fn each_send_has_a_message_until_the_command_is_done() {
    let stack = TestStack::start().await;
    let (path, body) = receive(5);
    for _ in 0..3 {
        stack.later(&path, "k", &body).await;
    }
    let messages = stack.queued_messages().await;
    assert_eq!(messages.len(), 3, "none is dropped, for the ones before might be lost");
    for message in &messages {
        assert!(is_done_with(&stack.worker(), message, 1).await);
    }
    stack.later(&path, "k", &body).await;
    assert_eq!((stack.queued_messages().await.len(), stack.types(STREAM).await.len()), (0, 1));
}

#[tokio::test]
async fn a_second_send_at_once_replaces_a_lost_message() {
    let stack = TestStack::start().await;
    let (path, body) = receive(5);
    stack.later(&path, "k", &body).await;
    assert_eq!(stack.queued_messages().await.len(), 1, "lost");
    stack.later(&path, "k", &body).await;
    assert!(is_done_with(&stack.worker(), &stack.message().await, 1).await);
    assert_eq!(stack.command_status("k").await, "done");
}

/// The table of a slow worker: `meanwhile` runs before it writes a row with that status.
pub(super) fn overtaken<F: Future<Output = ()> + Send + 'static>(
    stack: &TestStack,
    status: &'static str,
    meanwhile: impl Fn() -> F + Send + Sync + 'static,
) -> CommandStatuses {
    let (client, wire) = Wire::under(&stack.clients().dynamodb);
    let meanwhile = Arc::new(meanwhile);
    wire.rule(move |seen| {
        let meanwhile = meanwhile.clone();
        async move {
            if seen.operation == "PutItem" && seen.body["Item"]["status"]["S"] == status {
                meanwhile().await;
            }
            Act::Pass
        }
    });
    CommandStatuses::new(client, TABLE)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn done_stays_done_despite_a_slow_worker() {
    for (found, table, receives) in [
        ("refused", "ledgerfold-events", 1),
        ("failed", "no-such-table", CommandWorker::MAX_RECEIVES),
    ] {
        let stack = Arc::new(TestStack::start().await);
        let (path, body) = reserve(2);
        stack.later(&path, "r", &body).await;
        let message = stack.message().await;
        let (others, again) = (stack.clone(), message.clone());
        let statuses = overtaken(&stack, found, move || {
            let (stack, message) = (others.clone(), again.clone());
            async move {
                let (path, body) = receive(2);
                stack.at_once(&path, "s", &body).await;
                assert!(is_done_with(&stack.worker(), &message, 2).await);
            }
        });
        let store = EventStore::new(stack.clients().dynamodb.clone(), table);
        assert!(
            is_done_with(
                &CommandWorker::new(bookshop::app(), &store, statuses),
                &message,
                receives
            )
            .await,
            "another has answered it"
        );
        assert_eq!(
            stack.types(STREAM).await,
            ["StockReceived", "StockReserved"],
            "the other one was quicker"
        );
        assert_eq!(stack.command_status("r").await, "done", "{found}");
    }
}

#[tokio::test]
async fn a_message_without_a_row_is_handled_and_its_status_stored() {
    let stack = TestStack::start().await;
    let (path, body) = receive(5);
    stack.later(&path, "k", &body).await;
    let message = stack.message().await;
    let key = AttributeValue::S("dev\nk".to_owned());
    stack
        .clients()
        .dynamodb
        .delete_item()
        .table_name(TABLE)
        .key("command", key)
        .send()
        .await
        .unwrap();
    assert!(is_done_with(&stack.worker(), &message, 1).await);
    assert_eq!(
        (stack.command_status("k").await.as_str(), stack.types(STREAM).await.len()),
        ("done", 1)
    );
}

#[tokio::test]
async fn an_answer_as_large_as_an_item_is_returned_whole() {
    let stack = TestStack::start().await;
    let (path, body) = receive(5);
    stack.later(&path, "k", &body).await;
    let message = stack.message().await;
    let sent: Value = serde_json::from_str(message.body.as_ref().unwrap()).unwrap();
    let metadata: CommandMetadata = serde_json::from_value(sent["envelope"].clone()).unwrap();
    assert_eq!(metadata.command_id, Id::new("k").unwrap());
    // An event of another program, with a note of at least 290 KB after compression.
    let note: String = (0..390 * 1024).map(|_| fastrand::alphanumeric()).collect();
    let data = serde_json::to_string(&json!({"quantity": 5, "note": note})).unwrap();
    let data = serde_json::value::RawValue::from_string(data).unwrap();
    let event = NewEvent { event_type: "StockReceived".to_owned(), schema: 1, data };
    let head = Head::empty(&StreamId::new(STREAM).unwrap());
    stack.store.append(&head, vec![NewCommit { metadata, events: vec![event] }]).await.unwrap();
    assert!(is_done_with(&stack.worker(), &message, 1).await);
    let outcome = stack.outcome("k").await;
    assert_eq!(outcome["status"], "done");
    assert_eq!(outcome["result"]["events"][0]["data"]["note"].as_str().unwrap().len(), 390 * 1024);
    let row = stack.command_row("k").await.unwrap();
    assert!(format!("{row:?}").len() < 2_048, "the row does not have it: {row:?}");
}

#[tokio::test]
async fn a_row_that_is_done_without_its_commit_is_reported() {
    let stack = TestStack::start().await;
    let (path, body) = receive(5);
    stack.later(&path, "k", &body).await;
    assert!(is_done_with(&stack.worker(), &stack.message().await, 1).await);
    let mut row = stack.command_row("k").await.unwrap();
    row.insert("version".to_owned(), AttributeValue::N("7".to_owned()));
    stack.clients().dynamodb.put_item().table_name(TABLE).set_item(Some(row)).send().await.unwrap();
    let answer = super::get(&stack.api(Some(stack.queue().await)), "/commands/k").await;
    assert_eq!(
        (answer.status, &answer.body["title"]),
        (500, &json!("The request could not be answered"))
    );
    assert!(
        answer.body["error_id"].is_string() && !answer.body.to_string().contains(BOOK),
        "{answer:?}"
    );
}
