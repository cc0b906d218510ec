//! The status of a command is true, and there is a final one.

use super::{
    BOOK, QUEUE, STREAM, TABLE, TestStack, api_of, deliver, get, is_done_with, passes, receive,
    reserve,
};
use crate::harness::engine::unreachable;
use crate::harness::faults::{Fault, FaultInjector};
use crate::harness::messages::Message;
use crate::harness::wire::{Act, Wire};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use eventstore::EventStore;
use handlers::http::{Api, router};
use handlers::{CommandQueue, CommandStatuses, CommandWorker};
use serde_json::{Value, json};

const LAST: u32 = CommandWorker::MAX_RECEIVES;

fn release(quantity: u32) -> (String, Value) {
    let (path, body) = reserve(quantity);
    (path.replace("/reserve", "/release"), body)
}

/// Moves the row's times by seconds, as if its writer's clock were wrong, or time had passed.
pub(super) async fn move_clock(stack: &TestStack, key: &str, seconds: i64) {
    let mut row = stack.command_row(key).await.unwrap();
    let expires_at_s: i64 = row["expires_at_s"].as_n().unwrap().parse().unwrap();
    row.insert("expires_at_s".to_owned(), AttributeValue::N((expires_at_s + seconds).to_string()));
    stack.clients().dynamodb.put_item().table_name(TABLE).set_item(Some(row)).send().await.unwrap();
}

/// A command whose message became a dead letter while no table was reachable.
pub(super) async fn dead(stack: &TestStack, key: &str) -> Message {
    let (path, body) = receive(5);
    stack.later(&path, key, &body).await;
    let (message, wire) = (stack.message().await, FaultInjector::default());
    wire.arm(Some(Fault::DiesBefore(1)));
    assert!(!is_done_with(&stack.system_over(&wire).command_worker(), &message, LAST).await);
    assert_eq!(stack.command_status(key).await, "pending");
    message
}

/// Reads the status of a command that has waited for ten minutes. Returns the marker.
async fn marker(stack: &TestStack, key: &str) -> Message {
    move_clock(stack, key, -600).await;
    assert_eq!(stack.command_status(key).await, "pending");
    stack.message().await
}

/// A worker over that wire for all its tables.
fn worker_over(stack: &TestStack, wire: &Wire) -> CommandWorker {
    let config = stack.clients().dynamodb.config();
    let client = Client::from_conf(config.to_builder().http_client(wire.clone()).build());
    let store = EventStore::new(client, stack.names.events());
    CommandWorker::new(bookshop::app(), &store, stack.system().command_statuses())
}

#[tokio::test]
async fn a_refused_command_that_is_done_at_once_is_returned_as_done() {
    let stack = TestStack::start().await;
    let (path, body) = reserve(2);
    stack.later(&path, "r", &body).await;
    assert!(is_done_with(&stack.worker(), &stack.message().await, 1).await);
    assert_eq!(stack.command_status("r").await, "refused");
    let (path, body) = receive(2);
    stack.at_once(&path, "s", &body).await;
    assert_eq!(stack.command_status("r").await, "refused", "it was not sent again");
    let (path, body) = reserve(2);
    let at_once = stack.at_once(&path, "r", &body).await;
    let answer = stack.outcome("r").await;
    assert_eq!(
        (&answer["status"], &answer["result"], &answer["problem"]),
        (&json!("done"), &at_once.body, &Value::Null)
    );
}

#[tokio::test]
async fn a_no_op_that_is_done_at_once_is_returned_whole() {
    let stack = TestStack::start().await;
    let (path, body) = release(2);
    stack.later(&path, "free", &body).await;
    assert!(is_done_with(&stack.worker(), &stack.message().await, 1).await);
    assert_eq!(stack.outcome("free").await["result"]["events"], json!([]));
    for (path, body) in [receive(2), reserve(2)] {
        stack.at_once(&path, &path, &body).await;
    }
    let (path, body) = release(2);
    let at_once = stack.at_once(&path, "free", &body).await;
    assert_eq!(at_once.body["events"][0]["type"], "StockReleased");
    assert_eq!(stack.outcome("free").await["result"], at_once.body);
}

#[tokio::test]
async fn a_refusal_because_of_another_command_stays_one() {
    let stack = TestStack::start().await;
    let (path, body) = receive(1);
    stack.at_once(&path, "k", &body).await;
    let (path, body) = receive(2);
    stack.later(&path, "k", &body).await;
    assert!(is_done_with(&stack.worker(), &stack.message().await, 1).await);
    let answer = stack.outcome("k").await;
    assert_eq!(answer["status"], "refused");
    assert_eq!(answer["problem"]["type"], "https://ledgerfold.dev/problems/idempotency-key-reused");
}

#[tokio::test]
async fn a_put_whose_answer_is_lost_at_the_last_try_is_done() {
    let stack = TestStack::start().await;
    let (path, body) = receive(5);
    stack.later(&path, "k", &body).await;
    let message = stack.message().await;
    let wire = Wire::over(stack.clients().dynamodb.config().http_client().unwrap());
    // The answers of the put, and of the store's reads about it, are lost.
    wire.rule(async |seen| if seen.operation == "PutItem" { Act::LoseAnswer } else { Act::Pass });
    let worker = worker_over(&stack, &wire);
    assert!(!is_done_with(&worker, &message, LAST).await, "the worker knows of no success");
    assert_eq!(stack.command_row("k").await.unwrap()["status"].as_s().unwrap(), "failed");
    let answer = stack.outcome("k").await;
    assert_eq!((&answer["status"], &answer["result"]["version"]), (&json!("done"), &json!(1)));
}

#[tokio::test]
async fn only_pending_is_returned_while_the_store_is_down() {
    let stack = TestStack::start().await;
    let (path, body) = reserve(2);
    stack.later(&path, "r", &body).await;
    let (client, wire) = Wire::under(&stack.clients().dynamodb);
    wire.rule(async |_| Act::Answer(500, r#"{"__type":"InternalServerError"}"#.to_owned()));
    let down = EventStore::new(client, stack.names.events());
    let (system, default_actor) = (stack.system(), eventstore::Id::new("dev").unwrap());
    let operations = system.operations(system.projector());
    let api = Api::new(down, system.projector(), operations, default_actor);
    let api = router(api.with_command_queue(stack.queue().await));
    assert_eq!(get(&api, "/commands/r").await.body["status"], "pending");
    let message = stack.message().await;
    for (worker, receives, status) in [
        (stack.lost_worker(), LAST, "failed"),
        (stack.worker(), 1, "refused"),
        (stack.worker(), 1, "refused"),
    ] {
        is_done_with(&worker, &message, receives).await;
        assert_eq!(stack.command_status("r").await, status);
        passes(&get(&api, "/commands/r").await, 503, "unavailable");
    }
    wire.no_rule();
    assert_eq!(get(&api, "/commands/r").await.body["status"], "refused");
}

#[tokio::test]
async fn a_command_on_a_corrupt_stream_is_returned_as_failed() {
    let stack = TestStack::start().await;
    let (path, body) = receive(1);
    stack.at_once(&path, "s", &body).await;
    stack.later(&path, "k", &body).await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let item = [
        ("stream_id", text(STREAM)),
        ("version", AttributeValue::N("1".to_owned())),
        ("hole", text(BOOK)),
    ];
    let (table, item) =
        (stack.names.events(), item.map(|(name, value)| (name.to_owned(), value)).into());
    stack
        .clients()
        .dynamodb
        .put_item()
        .table_name(table)
        .set_item(Some(item))
        .send()
        .await
        .unwrap();
    assert!(!is_done_with(&stack.worker(), &stack.message().await, LAST).await);
    let answer = stack.outcome("k").await;
    assert_eq!(
        (&answer["status"], answer["problem"]["error_id"].is_string()),
        (&json!("failed"), true),
        "{answer}"
    );
}

#[tokio::test]
async fn a_message_that_died_while_the_tables_were_down_is_failed() {
    let stack = TestStack::start().await;
    let message = dead(&stack, "k").await;
    let marker = marker(&stack, "k").await;
    assert!(is_done_with(&stack.worker(), &marker, 1).await);
    let answer = stack.outcome("k").await;
    assert_eq!(
        (&answer["status"], &answer["problem"]["title"]),
        (&json!("failed"), &json!("The command was given up"))
    );
    assert!(answer["problem"]["detail"].as_str().unwrap().contains("send it again"), "{answer}");
    // Sent again it is done, and the redriven message has no further effect.
    let (path, body) = receive(5);
    stack.later(&path, "k", &body).await;
    assert!(is_done_with(&stack.worker(), &stack.message().await, 1).await);
    assert!(is_done_with(&stack.worker(), &message, 1).await);
    assert_eq!(
        (stack.command_status("k").await.as_str(), stack.types(STREAM).await.len()),
        ("done", 1)
    );
}

#[tokio::test]
async fn a_failed_command_can_be_redriven() {
    let stack = TestStack::start().await;
    let message = dead(&stack, "k").await;
    assert!(is_done_with(&stack.worker(), &marker(&stack, "k").await, 1).await);
    assert_eq!(stack.command_status("k").await, "failed");
    assert!(is_done_with(&stack.worker(), &message, 1).await);
    assert_eq!(
        (stack.command_status("k").await.as_str(), stack.types(STREAM).await.len()),
        ("done", 1)
    );
}

#[tokio::test]
async fn what_was_recorded_before_its_message_died_is_done() {
    let stack = TestStack::start().await;
    let (path, body) = receive(5);
    stack.later(&path, "k", &body).await;
    let message = stack.message().await;
    let (client, wire) = Wire::under(&stack.clients().dynamodb);
    wire.rule(async |seen| {
        if seen.operation == "PutItem" { Act::Answer(400, "{}".to_owned()) } else { Act::Pass }
    });
    let worker =
        CommandWorker::new(bookshop::app(), &stack.store, CommandStatuses::new(client, TABLE));
    assert!(!is_done_with(&worker, &message, LAST).await, "its answer cannot be noted");
    assert_eq!(
        (stack.command_status("k").await.as_str(), stack.types(STREAM).await.len()),
        ("pending", 1)
    );
    assert!(is_done_with(&stack.worker(), &marker(&stack, "k").await, 1).await);
    assert_eq!(stack.outcome("k").await["result"]["version"], 1);
}

#[tokio::test]
async fn a_command_that_was_never_queued_is_returned_as_failed() {
    let (stack, wire) = (TestStack::start().await, FaultInjector::default());
    let system = stack.system_over(&wire);
    let api = api_of(&system, Some(system.command_queue().await.unwrap()));
    // The queue is counted and the row is written; the message is not sent, and the sender is gone.
    wire.arm(Some(Fault::DiesBefore(3)));
    let (path, body) = receive(5);
    passes(&super::later(&api, &path, "k", &body).await, 503, "unavailable");
    assert!(is_done_with(&stack.worker(), &marker(&stack, "k").await, 1).await);
    assert_eq!(stack.command_status("k").await, "failed");
}

#[tokio::test]
async fn a_marker_comes_after_the_messages_of_its_command() {
    let stack = TestStack::start().await;
    let (path, body) = receive(5);
    stack.later(&path, "k", &body).await;
    move_clock(&stack, "k", -600).await;
    assert_eq!(stack.command_status("k").await, "pending");
    let messages = stack.queued_messages().await;
    assert_eq!(
        (messages.len(), messages[0].group.as_str(), messages[1].group.as_str()),
        (2, STREAM, STREAM)
    );
    assert_eq!(
        deliver(&stack.lost_worker(), &messages).await.len(),
        2,
        "the marker waits until the command is over"
    );
    assert_eq!(stack.command_status("k").await, "pending");
    assert_eq!(deliver(&stack.worker(), &messages).await.len(), 0);
    assert_eq!(
        (stack.command_status("k").await.as_str(), stack.types(STREAM).await.len()),
        ("done", 1)
    );
}

#[tokio::test]
async fn one_marker_is_sent_however_often_is_asked() {
    let stack = TestStack::start().await;
    let (path, body) = receive(5);
    stack.later(&path, "k", &body).await;
    assert_eq!(stack.command_status("k").await, "pending");
    assert_eq!(stack.queued_messages().await.len(), 1, "a new command has no marker");
    for seconds in [-600, 0, 0] {
        move_clock(&stack, "k", seconds).await;
        assert_eq!(stack.command_status("k").await, "pending");
    }
    assert_eq!(stack.queued_messages().await.len(), 1);
}

#[tokio::test]
async fn a_row_from_a_clock_that_is_ahead_gets_its_marker_too() {
    let stack = TestStack::start().await;
    dead(&stack, "k").await;
    move_clock(&stack, "k", 3_600).await;
    assert_eq!(stack.command_status("k").await, "pending");
    assert!(is_done_with(&stack.worker(), &stack.message().await, 1).await);
    assert_eq!(stack.command_status("k").await, "failed");
}

#[tokio::test]
async fn what_waits_long_is_pending_while_its_queue_is_down() {
    let stack = TestStack::start().await;
    dead(&stack, "k").await;
    move_clock(&stack, "k", -600).await;
    let (system, statuses) = (stack.system(), stack.system().command_statuses());
    let queue = CommandQueue::new(statuses, unreachable().sqs, "http://127.0.0.1:1/0/q.fifo");
    let answer = get(&api_of(&system, Some(queue)), "/commands/k").await;
    assert_eq!((answer.status, &answer.body["status"]), (200, &json!("pending")));
    assert_eq!(stack.waiting(QUEUE).await, 0);
}

#[tokio::test]
async fn a_marker_gives_up_its_own_round_only_and_only_what_waits() {
    let stack = TestStack::start().await;
    let (path, body) = reserve(2);
    stack.later(&path, "r", &body).await;
    let message = stack.message().await;
    let marker = marker(&stack, "r").await;
    assert!(is_done_with(&stack.worker(), &message, 1).await);
    assert!(is_done_with(&stack.worker(), &marker, 1).await);
    assert_eq!(stack.command_status("r").await, "refused");
    stack.later(&path, "r", &body).await;
    assert!(is_done_with(&stack.worker(), &marker, 1).await);
    assert_eq!(stack.command_status("r").await, "pending", "it is in the next round");
    let key = AttributeValue::S("dev\nr".to_owned());
    stack
        .clients()
        .dynamodb
        .delete_item()
        .table_name(TABLE)
        .key("command", key)
        .send()
        .await
        .unwrap();
    assert!(is_done_with(&stack.worker(), &marker, 1).await);
    assert!(stack.command_row("r").await.is_none());
}

#[tokio::test]
async fn a_marker_comes_again_until_its_last_receive() {
    let stack = TestStack::start().await;
    dead(&stack, "k").await;
    let (marker, wire) = (marker(&stack, "k").await, FaultInjector::default());
    wire.arm(Some(Fault::DiesBefore(1)));
    let worker = stack.system_over(&wire).command_worker();
    assert!(!is_done_with(&worker, &marker, 1).await, "the table does not take it");
    assert!(is_done_with(&worker, &marker, LAST).await, "it is no dead letter");
    let unreadable = marker.body.as_ref().unwrap().replace("\"stream\"", "\"steam\"");
    assert!(
        !is_done_with(&stack.worker(), &Message { body: Some(unreadable), ..marker.clone() }, 1)
            .await
    );
    assert_eq!(stack.command_status("k").await, "pending");
    assert!(is_done_with(&stack.worker(), &marker, 2).await);
    assert_eq!(stack.command_status("k").await, "failed");
}
