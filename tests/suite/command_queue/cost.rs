//! The cost of a command that is answered later.

use super::{TestStack, api_of, get, is_done_with, later, post, receive, reserve};
use crate::harness::faults::FaultInjector;

/// The size of a row as DynamoDB documents it, from above.
async fn row_bytes(stack: &TestStack, key: &str) -> usize {
    let row = stack.command_row(key).await.unwrap();
    row.iter()
        .map(|(name, value)| name.len() + value.as_s().or(value.as_n()).map_or(1, String::len))
        .sum()
}

#[tokio::test]
async fn a_later_answer_costs_two_rows_and_a_read_more() {
    let (stack, wire) = (TestStack::start().await, FaultInjector::default());
    let system = stack.system_over(&wire);
    let (api, worker) =
        (api_of(&system, Some(system.command_queue().await.unwrap())), system.command_worker());
    let (path, body) = receive(5);
    // The first command counts the queue, and the worker caches the stream.
    assert_eq!(later(&api, &path, "a", &body).await.status, 202);
    assert!(is_done_with(&worker, &stack.message().await, 1).await);
    wire.take();
    assert_eq!(later(&api, &path, "b", &body).await.status, 202);
    let sent: Vec<String> = wire
        .operations()
        .into_iter()
        .filter(|operation| operation != "GetQueueAttributes")
        .collect();
    assert_eq!(sent, ["PutItem", "SendMessageBatch"]);
    assert!(row_bytes(&stack, "b").await < 1_024, "a write unit");
    let message = stack.message().await;
    wire.take();
    assert!(is_done_with(&worker, &message, 1).await);
    assert_eq!(
        wire.operations(),
        ["GetItem", "PutItem", "PutItem"],
        "a look, the commit, the answer"
    );
    assert!(row_bytes(&stack, "b").await < 1_024, "a write unit");
    assert_eq!(get(&api, "/commands/b").await.status, 200);
    assert_eq!(wire.operations(), ["GetItem", "Query"]);
    assert!(is_done_with(&worker, &message, 2).await);
    assert_eq!(wire.operations(), ["GetItem"], "a duplicate is known by its row");
    assert_eq!(later(&api, &path, "b", &body).await.status, 202);
    let again: Vec<String> = wire
        .operations()
        .into_iter()
        .filter(|operation| operation != "GetQueueAttributes")
        .collect();
    assert_eq!(again, ["PutItem"], "what is done is not sent again");
}

#[tokio::test]
async fn a_refusal_is_returned_after_a_read_of_the_store() {
    let (stack, wire) = (TestStack::start().await, FaultInjector::default());
    let system = stack.system_over(&wire);
    let api = api_of(&system, Some(system.command_queue().await.unwrap()));
    let (path, body) = reserve(2);
    assert_eq!(later(&api, &path, "r", &body).await.status, 202);
    assert!(is_done_with(&stack.worker(), &stack.message().await, 1).await);
    wire.take();
    assert_eq!(get(&api, "/commands/r").await.body["status"], "refused");
    assert_eq!(
        wire.operations(),
        ["GetItem", "Query", "Query"],
        "the row, and the stream as it is at this moment"
    );
    assert_eq!(get(&api, "/commands/r").await.body["status"], "refused");
    assert_eq!(wire.operations(), ["GetItem", "Query"], "of a stream that is known, what is new");
    assert!(row_bytes(&stack, "r").await < 1_024, "a write unit");
}

#[tokio::test]
async fn a_command_that_waits_long_costs_a_message_and_a_put() {
    let (stack, wire) = (TestStack::start().await, FaultInjector::default());
    let system = stack.system_over(&wire);
    let api = api_of(&system, Some(system.command_queue().await.unwrap()));
    super::statuses::dead(&stack, "k").await;
    super::statuses::move_clock(&stack, "k", -600).await;
    wire.take();
    assert_eq!(get(&api, "/commands/k").await.body["status"], "pending");
    let asked = wire.operations().into_iter().filter(|operation| operation != "GetQueueAttributes");
    assert_eq!(asked.collect::<Vec<_>>(), ["GetItem", "SendMessageBatch"]);
    assert!(is_done_with(&system.command_worker(), &stack.message().await, 1).await);
    assert_eq!(wire.operations(), ["PutItem"]);
}

#[tokio::test]
async fn a_command_that_is_answered_at_once_costs_what_it_did() {
    let (stack, wire) = (TestStack::start().await, FaultInjector::default());
    let system = stack.system_over(&wire);
    let api = api_of(&system, Some(system.command_queue().await.unwrap()));
    let (path, body) = receive(5);
    assert_eq!(post(&api, &path, "a", None, &body).await.status, 200);
    wire.take();
    assert_eq!(post(&api, &path, "b", None, &body).await.status, 200);
    assert_eq!(wire.operations(), ["PutItem"]);
}
