//! A worker whose clock is behind that of the API: an id that the API made is not the sender's
//! fault.

use super::{STREAM, TestStack, answer, is_done_with, later, receive};
use crate::harness::messages::Message;
use axum::body::Body;
use axum::http::Request;
use chrono::{TimeDelta, Utc};
use eventstore::{EventStore, Options};
use handlers::CommandWorker;
use serde_json::Value;
use std::sync::Arc;

const LAST: u32 = CommandWorker::MAX_RECEIVES;

/// A worker whose clock is ten minutes behind.
fn slow_worker(stack: &TestStack) -> CommandWorker {
    let options =
        Options { clock: Arc::new(|| Utc::now() - TimeDelta::minutes(10)), ..Options::default() };
    let store =
        EventStore::with_options(stack.clients().dynamodb.clone(), stack.names.events(), options);
    CommandWorker::new(bookshop::app(), &store, stack.system().command_statuses())
}

/// Sends a command without an id. Returns the API's id, and the message.
async fn taken_without_id(stack: &TestStack) -> (String, Message) {
    let (path, body) = receive(5);
    let request = Request::post(path)
        .header("Content-Type", "application/json")
        .header("Prefer", "respond-async");
    let api = stack.api(Some(stack.queue().await));
    let taken = answer(&api, request.body(Body::from(body.to_string())).unwrap()).await;
    assert_eq!(taken.status, 202, "{taken:?}");
    (taken.body["command_id"].as_str().unwrap().to_owned(), stack.message().await)
}

#[tokio::test]
async fn an_id_that_the_api_made_is_tried_until_a_clock_is_right() {
    let stack = TestStack::start().await;
    let (id, message) = taken_without_id(&stack).await;
    assert!(!is_done_with(&slow_worker(&stack), &message, 1).await, "it comes again");
    assert_eq!(stack.command_status(&id).await, "pending");
    assert!(is_done_with(&stack.worker(), &message, 2).await);
    assert_eq!(
        (stack.command_status(&id).await.as_str(), stack.types(STREAM).await.len()),
        ("done", 1)
    );
}

#[tokio::test]
async fn an_id_that_the_api_made_is_never_refused() {
    let stack = TestStack::start().await;
    let (id, message) = taken_without_id(&stack).await;
    assert!(!is_done_with(&slow_worker(&stack), &message, LAST).await, "it becomes a dead letter");
    let outcome = stack.outcome(&id).await;
    let told = (&outcome["status"], &outcome["problem"]["type"]);
    assert_eq!(
        told,
        (&"failed".into(), &"https://ledgerfold.dev/problems/unavailable".into()),
        "{outcome}"
    );
    assert!(outcome["problem"]["error_id"].is_string(), "{outcome}");
    assert!(is_done_with(&stack.worker(), &message, 1).await, "redriven");
    assert_eq!(stack.command_status(&id).await, "done");
}

#[tokio::test]
async fn a_senders_own_id_from_the_future_is_refused_later_too() {
    let stack = TestStack::start().await;
    let (path, body) = receive(5);
    let id = uuid::Uuid::now_v7().to_string();
    assert_eq!(later(&stack.api(Some(stack.queue().await)), &path, &id, &body).await.status, 202);
    assert!(is_done_with(&slow_worker(&stack), &stack.message().await, 1).await);
    assert_eq!(stack.command_status(&id).await, "refused");
}

#[tokio::test]
async fn a_message_without_the_maker_of_its_id_is_read() {
    let stack = TestStack::start().await;
    let (id, message) = taken_without_id(&stack).await;
    let mut body: Value = serde_json::from_str(message.body.as_ref().unwrap()).unwrap();
    assert_eq!(body.as_object_mut().unwrap().remove("id_made_here"), Some(Value::from(true)));
    assert!(
        is_done_with(&stack.worker(), &Message { body: Some(body.to_string()), ..message }, 1)
            .await
    );
    assert_eq!(stack.command_status(&id).await, "done");
}
