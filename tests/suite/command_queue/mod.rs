//! Commands that are answered later, in a world in which anybody may die and anything may fail.
//!
//! | module | what it asks |
//! |---|---|
//! | [`answers`] | which answer is noted, and which stays |
//! | [`told`] | is what is told true, and is something told in the end? |
//! | [`rounds`] | when a round begins, and which answers belong to it |
//! | [`deaths`] | is a command handled once, whoever dies between two requests? |
//! | [`clocks`] | does a worker's slow clock refuse no command? |
//! | [`failures`] | what becomes of commands that fail, and of messages that are none |
//! | [`limits`] | what is too large, too much or too late |
//! | [`cost`] | what one costs |
#![cfg(test)]

mod answers;
mod clocks;
mod cost;
mod deaths;
mod failures;
mod limits;
mod rounds;
mod told;

use crate::harness::fault_wire::Wire;
use crate::harness::idle::Idle;
use crate::harness::messages::{Message, event_of, told_again};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::MessageSystemAttributeName;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use eventstore::{Consistency, EventStore, Id, StreamId};
use handlers::http::{Api, router};
use handlers::{CommandQueue, CommandWorker, System};
use serde_json::{Value, json};
use std::collections::HashMap;
use tower::ServiceExt;

const QUEUE: &str = "ledgerfold-commands.fifo";
const TABLE: &str = "ledgerfold-commands";
const BOOK: &str = "9780306406157";
const STREAM: &str = "stock-9780306406157";

/// A system on which nobody works but who is told to.
struct World(Idle);

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl World {
    async fn start() -> Self {
        Self(Idle::start().await)
    }

    /// The system over a wire.
    fn system_over(&self, wire: &Wire) -> System {
        let sqs = self.0.clients().sqs.config().to_builder().interceptor(wire.clone()).build();
        let sqs = aws_sdk_sqs::Client::from_conf(sqs);
        System::new(bookshop::app(), wire.client(&self.0.clients().dynamodb), sqs, self.0.names.clone())
    }

    fn system(&self) -> System {
        self.0.clients().system(&bookshop::app(), &self.0.names)
    }

    fn store(&self) -> EventStore {
        self.0.store()
    }

    /// A worker that remembers nothing of others.
    fn worker(&self) -> CommandWorker {
        self.system().command_worker()
    }

    /// A worker whose store has lost its table.
    fn lost_worker(&self) -> CommandWorker {
        let store = EventStore::new(self.0.clients().dynamodb.clone(), "no-such-table");
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
    async fn at_once(&self, path: &str, key: &str, body: &Value) -> Answer {
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

    async fn status(&self, key: &str) -> String {
        self.outcome(key).await["status"].as_str().unwrap().to_owned()
    }

    /// Takes every message that waits, as a worker gets it.
    async fn messages(&self) -> Vec<Message> {
        let taken = self.0.take_all(QUEUE).await.into_iter();
        let message = |message: aws_sdk_sqs::types::Message| {
            let group = message.attributes.unwrap().remove(&MessageSystemAttributeName::MessageGroupId);
            Message::new(&group.unwrap(), &message.body.unwrap())
        };
        taken.map(message).collect()
    }

    /// The one message that waits.
    async fn message(&self) -> Message {
        let mut messages = self.messages().await;
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.remove(0)
    }

    /// The types of a stream's events.
    async fn types(&self, stream: &str) -> Vec<String> {
        let loaded = self.store().load(&StreamId::new(stream).unwrap(), Consistency::Strong).await.unwrap();
        let commits = loaded.batches.into_iter().flat_map(|batch| batch.commits);
        commits.flat_map(|commit| commit.events).map(|event| event.body.event_type).collect()
    }

    /// The row of dev's command, as it lies in the table.
    async fn row(&self, key: &str) -> Option<HashMap<String, AttributeValue>> {
        let key = AttributeValue::S(format!("dev\n{key}"));
        let request = self.0.clients().dynamodb.get_item().table_name(TABLE).key("command", key);
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

async fn later(api: &Router, path: &str, key: &str, body: &Value) -> Answer {
    post(api, path, key, Some("respond-async"), body).await
}

async fn post(api: &Router, path: &str, key: &str, prefer: Option<&str>, body: &Value) -> Answer {
    let request = Request::post(path).header("Content-Type", "application/json").header("Idempotency-Key", key);
    let request = prefer.into_iter().fold(request, |request, value| request.header("Prefer", value));
    answer(api, request.body(Body::from(body.to_string())).unwrap()).await
}

async fn get(api: &Router, path: &str) -> Answer {
    answer(api, Request::get(path).body(Body::empty()).unwrap()).await
}

async fn answer(api: &Router, request: Request<Body>) -> Answer {
    let response = api.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap() }
}

/// Hands messages to a worker in one event. The ids that are to come again, in the order of the messages.
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
fn passes(answer: &Answer, status: u16, slug: &str) {
    assert_eq!((answer.status, answer.headers.get("retry-after").is_some()), (status, true), "{answer:?}");
    assert_eq!(answer.body["type"], format!("https://ledgerfold.dev/problems/{slug}"));
}
