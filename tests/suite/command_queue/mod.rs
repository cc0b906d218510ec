//! Commands that are answered later, under crashes and failures.
//!
//! | module | what it tests |
//! |---|---|
//! | [`answers`] | which answer is noted, and which stays |
//! | [`statuses`] | is each status true, and is there a final one? |
//! | [`rounds`] | when a round begins, and which answers belong to it |
//! | [`deaths`] | is a command handled once if a process dies between any two requests? |
//! | [`clocks`] | does a worker's slow clock refuse no command? |
//! | [`failures`] | what happens to failing commands and to unreadable messages |
//! | [`limits`] | which commands are too large, too many or too late |
//! | [`cost`] | what one costs |
#![cfg(test)]

mod answers;
mod clocks;
mod cost;
mod deaths;
mod failures;
mod limits;
mod rounds;
mod statuses;

use crate::harness::http::Response;
use crate::harness::in_process::{answer, send};
use crate::harness::messages::{Message, event_of, told_again};
use crate::harness::stack::TestStack;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::MessageSystemAttributeName;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use eventstore::{EventStore, Id};
use handlers::http::{Api, router};
use handlers::{CommandQueue, CommandWorker, System};
use serde_json::{Value, json};
use std::collections::HashMap;

const QUEUE: &str = "ledgerfold-commands.fifo";
const TABLE: &str = "ledgerfold-commands";
const BOOK: &str = "9780306406157";
const STREAM: &str = "stock-9780306406157";

impl TestStack {
    /// A worker that remembers nothing of others.
    fn worker(&self) -> CommandWorker {
        self.system().command_worker()
    }

    /// A worker whose store has lost its table.
    fn lost_worker(&self) -> CommandWorker {
        let store = EventStore::new(self.clients().dynamodb.clone(), "no-such-table");
        CommandWorker::new(bookshop::app(), &store, self.system().command_statuses())
    }

    async fn queue(&self) -> CommandQueue {
        self.system().command_queue().await.unwrap()
    }

    /// The API with that queue; who says nothing is `dev`.
    fn api(&self, queue: Option<CommandQueue>) -> Router {
        api_of(&self.system(), queue)
    }

    /// Sends a command to be answered later, to an API that is whole.
    async fn later(&self, path: &str, key: &str, body: &Value) {
        let taken = later(&self.api(Some(self.queue().await)), path, key, body).await;
        assert_eq!(taken.status, 202, "{taken:?}");
    }

    /// Handles a command at once.
    async fn at_once(&self, path: &str, key: &str, body: &Value) -> Response {
        let answer = post(&self.api(None), path, key, None, body).await;
        assert!(answer.status < 300, "{answer:?}");
        answer
    }

    /// What is known of dev's command.
    async fn outcome(&self, key: &str) -> Value {
        let answer = get(&self.api(Some(self.queue().await)), &format!("/commands/{key}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    async fn command_status(&self, key: &str) -> String {
        self.outcome(key).await["status"].as_str().unwrap().to_owned()
    }

    /// Takes every message that waits, as a worker gets it.
    async fn queued_messages(&self) -> Vec<Message> {
        let taken = self.take_all(QUEUE).await.into_iter();
        let message = |message: aws_sdk_sqs::types::Message| {
            let group =
                message.attributes.unwrap().remove(&MessageSystemAttributeName::MessageGroupId);
            Message::new(&group.unwrap(), &message.body.unwrap())
        };
        taken.map(message).collect()
    }

    /// The one message that waits.
    async fn message(&self) -> Message {
        let mut messages = self.queued_messages().await;
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.remove(0)
    }

    /// The row of dev's command, as it lies in the table.
    async fn command_row(&self, key: &str) -> Option<HashMap<String, AttributeValue>> {
        let key = AttributeValue::S(format!("dev\n{key}"));
        let request = self.clients().dynamodb.get_item().table_name(TABLE).key("command", key);
        request.consistent_read(true).send().await.unwrap().item
    }
}

fn api_of(system: &System, queue: Option<CommandQueue>) -> Router {
    let projector = system.projector();
    let operations = system.operations(projector.clone());
    let api = Api::new(system.event_store(), projector, operations, Id::new("dev").unwrap());
    router(match queue {
        Some(queue) => api.with_command_queue(queue),
        None => api,
    })
}

async fn later(api: &Router, path: &str, key: &str, body: &Value) -> Response {
    post(api, path, key, Some("respond-async"), body).await
}

async fn post(api: &Router, path: &str, key: &str, prefer: Option<&str>, body: &Value) -> Response {
    let mut headers = vec![("Idempotency-Key", key)];
    headers.extend(prefer.map(|value| ("Prefer", value)));
    send(api, Method::POST, path, &headers, body).await
}

async fn get(api: &Router, path: &str) -> Response {
    answer(api, Request::get(path).body(Body::empty()).unwrap()).await
}

/// Hands messages to a worker in one event. The ids that are to come again, in the order of the
/// messages.
async fn deliver(worker: &CommandWorker, messages: &[Message]) -> Vec<String> {
    told_again(messages, worker.handle(event_of(messages)).await)
}

/// Hands a message to a worker at its n-th receive. Whether it is done with.
async fn is_done_with(worker: &CommandWorker, message: &Message, receives: u32) -> bool {
    deliver(worker, &[Message { receives, ..message.clone() }]).await.is_empty()
}

fn receive(quantity: u32) -> (String, Value) {
    (format!("/stock/{BOOK}/receive"), json!({ "quantity": quantity }))
}

/// Sets copies aside for one order.
fn reserve(quantity: u32) -> (String, Value) {
    let order_id = "6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e";
    (format!("/stock/{BOOK}/reserve"), json!({"order_id": order_id, "quantity": quantity}))
}

/// Asserts that it is a problem that passes.
#[track_caller]
fn passes(answer: &Response, status: u16, slug: &str) {
    assert_eq!(
        (answer.status, answer.headers.get("retry-after").is_some()),
        (status, true),
        "{answer:?}"
    );
    assert_eq!(answer.body["type"], format!("https://ledgerfold.dev/problems/{slug}"));
}
