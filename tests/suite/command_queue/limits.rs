//! Commands that are too large, too many or too late, and services that do not answer.

use super::{
    QUEUE, Response, STREAM, TABLE, TestStack, answer, api_of, get, is_done_with, later, passes,
    post, receive, reserve,
};
use crate::harness::faults::{Fault, FaultInjector};
use crate::harness::waiting::eventually;
use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use futures::future::join_all;
use handlers::{CommandQueue, CommandStatuses, Names, QueueLimits, System};
use ledgerfold::clients::{Clients, Endpoints};
use ledgerfold::local::engines::access_key::AccessKey;
use serde_json::{Value, json};
use std::time::Instant;
use tower::ServiceExt;

/// A queue with a small limit.
async fn short(stack: &TestStack, messages: u64) -> CommandQueue {
    stack.queue().await.with_limits(QueueLimits { messages, ..QueueLimits::default() })
}

#[tokio::test]
async fn an_overlong_queue_takes_nothing_more_until_it_is_shorter() {
    let stack = TestStack::start().await;
    let api = stack.api(Some(short(&stack, 3).await));
    let (path, body) = receive(5);
    for number in 0..3 {
        assert_eq!(later(&api, &path, &format!("k-{number}"), &body).await.status, 202);
    }
    let refused = later(&api, &path, "k-3", &body).await;
    passes(&refused, 503, "unavailable");
    assert!(
        refused.body["detail"].as_str().unwrap().starts_with("3 commands wait already"),
        "{refused:?}"
    );
    assert!(stack.command_row("k-3").await.is_none(), "it is not accepted, and has no status");
    assert_eq!(
        post(&api, &path, "k-4", None, &body).await.status,
        200,
        "at once it is handled all the same"
    );
    for message in stack.queued_messages().await {
        assert!(is_done_with(&stack.worker(), &message, 1).await);
    }
    eventually("it is counted again", || async {
        (later(&api, &path, "k-3", &body).await.status == 202).then_some(())
    })
    .await;
    assert_eq!(stack.types(STREAM).await.len(), 4);
}

/// The same command by another actor.
async fn later_as(api: &Router, actor: &str, key: &str) -> Response {
    let (path, body) = receive(5);
    let request = Request::post(path)
        .header("Content-Type", "application/json")
        .header("Idempotency-Key", key);
    let request = request.header("Prefer", "respond-async").header("X-Actor", actor);
    answer(api, request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn one_caller_does_not_fill_the_queue_for_all() {
    let stack = TestStack::start().await;
    let limits = QueueLimits { messages: 6, messages_of_actor: 2, ..QueueLimits::default() };
    let api = stack.api(Some(stack.queue().await.with_limits(limits)));
    for number in 0..2 {
        assert_eq!(later_as(&api, "anna", &format!("a-{number}")).await.status, 202);
    }
    for number in 2..5 {
        let refused = later_as(&api, "anna", &format!("a-{number}")).await;
        passes(&refused, 429, "throttled");
        assert!(
            refused.body["detail"].as_str().unwrap().starts_with("2 of your commands wait already"),
            "{refused:?}"
        );
    }
    assert_eq!(later_as(&api, "bob", "b").await.status, 202);
    for message in stack.queued_messages().await {
        assert!(is_done_with(&stack.worker(), &message, 1).await);
    }
    eventually("her commands no longer wait", || async {
        (later_as(&api, "anna", "a-2").await.status == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn only_a_limited_number_of_clients_gets_progress() {
    let system =
        System::new(bookshop::app(), nowhere().dynamodb, nowhere().sqs, Names::new("ledgerfold"));
    let api = api_of(&system, None);
    let watch = || async {
        let request = Request::get("/projections/orders/progress").body(Body::empty()).unwrap();
        api.clone().oneshot(request).await.unwrap()
    };
    let mut watchers = Vec::new();
    for _ in 0..64 {
        watchers.push(watch().await);
    }
    assert!(watchers.iter().all(|answer| answer.status() == 200));
    passes(&get(&api, "/projections/orders/progress").await, 503, "unavailable");
    drop(watchers.pop());
    assert_eq!(watch().await.status(), 200);
}

#[tokio::test]
async fn the_queue_of_other_senders_counts_too() {
    let stack = TestStack::start().await;
    for number in 0..3 {
        let (path, body) = receive(5);
        stack.later(&path, &format!("k-{number}"), &body).await;
    }
    let (path, body) = receive(5);
    passes(
        &later(&stack.api(Some(short(&stack, 3).await)), &path, "l", &body).await,
        503,
        "unavailable",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_is_counted_at_most_once_a_second() {
    let (stack, wire) = (TestStack::start().await, FaultInjector::default());
    let system = stack.system_over(&wire);
    let api = api_of(&system, Some(system.command_queue().await.unwrap()));
    wire.take();
    let (began, (path, body)) = (Instant::now(), receive(5));
    let taken = join_all((0..50).map(|number| {
        let (api, path, body, key) = (&api, &path, &body, format!("k-{number}"));
        async move { later(api, path, &key, body).await.status }
    }));
    assert_eq!(taken.await, [202; 50]);
    let counts =
        wire.operations().iter().filter(|operation| *operation == "GetQueueAttributes").count();
    assert!(
        (1..=1 + usize::try_from(began.elapsed().as_secs()).unwrap()).contains(&counts),
        "{counts}"
    );
}

#[tokio::test]
async fn a_message_that_would_be_too_large_is_refused_before_a_write() {
    let stack = TestStack::start().await;
    let lines: Vec<Value> = (0..20)
        .map(|book| json!({"isbn": crate::harness::http::isbn(book), "quantity": 1, "unit_price_minor": 5}))
        .collect();
    let order = json!({"customer_id": "c", "currency": "EUR", "lines": lines});
    let small = QueueLimits { message_bytes: 1_000, ..QueueLimits::default() };
    let api = stack.api(Some(stack.queue().await.with_limits(small)));
    let refused = later(&api, "/orders", "k", &order).await;
    assert_eq!(
        (refused.status, &refused.body["type"]),
        (413, &json!("https://ledgerfold.dev/problems/commit-too-large"))
    );
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("1000 are taken at most; send it without respond-async"), "{detail}");
    assert_eq!((stack.command_row("k").await, stack.queued_messages().await.len()), (None, 0));
    assert_eq!(post(&api, "/orders", "k", None, &order).await.status, 201);
}

#[tokio::test]
async fn the_largest_order_is_a_fraction_of_what_a_message_may_have() {
    let stack = TestStack::start().await;
    let lines: Vec<Value> = (0..90)
        .map(|book| json!({"isbn": crate::harness::http::isbn(book), "quantity": 1_000, "unit_price_minor": 1_000_000_000}))
        .collect();
    let order = json!({"customer_id": "c".repeat(64), "currency": "EUR", "lines": lines});
    stack.later("/orders", &"k".repeat(128), &order).await;
    let message = stack.message().await;
    assert!(message.body.as_ref().unwrap().len() < QueueLimits::default().message_bytes / 16);
    assert!(is_done_with(&stack.worker(), &message, 1).await);
    assert_eq!(stack.command_status(&"k".repeat(128)).await, "done");
}

/// Clients whose queues, or whose tables, do not answer.
fn nowhere() -> Clients {
    Clients::loopback(&Endpoints::of_one("http://127.0.0.1:1", AccessKey::generate().unwrap()))
}

#[tokio::test]
async fn a_queue_that_cannot_be_counted_takes_nothing() {
    let stack = TestStack::start().await;
    let statuses = stack.system().command_statuses();
    let queue = CommandQueue::new(
        statuses,
        nowhere().sqs,
        "http://127.0.0.1:1/000000000000/ledgerfold-commands.fifo",
    );
    let (path, body) = receive(5);
    let api = stack.api(Some(queue));
    passes(&later(&api, &path, "k", &body).await, 503, "unavailable");
    assert!(stack.command_row("k").await.is_none());
    assert_eq!(post(&api, &path, "k", None, &body).await.status, 200);
}

#[tokio::test]
async fn a_failing_queue_leaves_a_row_that_the_next_send_uses() {
    let (stack, wire) = (TestStack::start().await, FaultInjector::default());
    let system = stack.system_over(&wire);
    let api = api_of(&system, Some(system.command_queue().await.unwrap()));
    // The queue is counted and the row is written; the message is not sent.
    wire.arm(Some(Fault::DiesBefore(3)));
    let (path, body) = receive(5);
    let refused = later(&api, &path, "k", &body).await;
    passes(&refused, 503, "unavailable");
    assert!(
        refused.body["error_id"].is_string() && !refused.body.to_string().contains("127.0.0.1"),
        "{refused:?}"
    );
    assert_eq!(
        (stack.command_status("k").await.as_str(), stack.queued_messages().await.len()),
        ("pending", 0)
    );
    stack.later(&path, "k", &body).await;
    assert!(is_done_with(&stack.worker(), &stack.message().await, 1).await);
    assert_eq!(stack.command_status("k").await, "done");
}

#[tokio::test]
async fn without_the_table_of_commands_all_requests_fail() {
    let stack = TestStack::start().await;
    let queue_url = stack
        .clients()
        .sqs
        .get_queue_url()
        .queue_name(QUEUE)
        .send()
        .await
        .unwrap()
        .queue_url
        .unwrap();
    let statuses = CommandStatuses::new(nowhere().dynamodb, TABLE);
    let api = stack.api(Some(CommandQueue::new(statuses, stack.clients().sqs.clone(), queue_url)));
    let (path, body) = receive(5);
    passes(&later(&api, &path, "k", &body).await, 503, "unavailable");
    passes(&get(&api, "/commands/k").await, 503, "unavailable");
    assert_eq!(stack.queued_messages().await.len(), 0);
}

#[tokio::test]
async fn without_a_command_queue_every_command_is_answered_at_once() {
    let stack = TestStack::start().await;
    let (path, body) = receive(5);
    let answer = later(&stack.api(None), &path, "k", &body).await;
    assert_eq!((answer.status, answer.headers.get("preference-applied")), (200, None));
    assert_eq!(get(&stack.api(None), "/commands/k").await.status, 404);
}

#[tokio::test]
async fn a_missing_command_queue_is_reported_with_its_remedy() {
    let stack = TestStack::start().await;
    let elsewhere = System::new(
        bookshop::app(),
        stack.clients().dynamodb.clone(),
        stack.clients().sqs.clone(),
        handlers::Names::new("elsewhere"),
    );
    let error = elsewhere.command_queue().await.err().unwrap().to_string();
    assert_eq!(
        error,
        "there is no queue \"elsewhere-commands.fifo\": `ledgerfold tables create` makes it"
    );
}

#[tokio::test]
async fn an_answer_is_returned_for_a_month_then_its_key_is_free() {
    let stack = TestStack::start().await;
    let (path, body) = receive(5);
    stack.later(&path, "k", &body).await;
    let number = |row: &std::collections::HashMap<String, AttributeValue>| {
        row["expires_at_s"].as_n().unwrap().parse::<i64>().unwrap()
    };
    assert!(is_done_with(&stack.worker(), &stack.message().await, 1).await);
    let mut row = stack.command_row("k").await.unwrap();
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).timestamp();
    let day = 24 * 60 * 60;
    assert!((now + 29 * day..=now + 30 * day).contains(&number(&row)));
    // The row has expired, and DynamoDB has not removed it yet.
    row.insert("expires_at_s".to_owned(), AttributeValue::N((now - 1).to_string()));
    stack.clients().dynamodb.put_item().table_name(TABLE).set_item(Some(row)).send().await.unwrap();
    assert_eq!(get(&stack.api(Some(stack.queue().await)), "/commands/k").await.status, 404);
    let (path, body) = reserve(2);
    stack.later(&path, "k", &body).await;
    assert_eq!(stack.command_status("k").await, "pending");
    let description =
        stack.clients().dynamodb.describe_time_to_live().table_name(TABLE).send().await.unwrap();
    let description = description.time_to_live_description.unwrap();
    assert_eq!(description.attribute_name(), Some("expires_at_s"));
}
