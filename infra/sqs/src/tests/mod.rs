//! The server through its real router, with a clock that the test moves.

mod files;
mod model;
mod protocol;
mod serving;
mod time;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::{Config, Server};

const START_MS: u64 = 1_700_000_000_000;

/// A server in a folder of its own.
struct TestServer {
    router: Router,
    clock: Arc<AtomicU64>,
    folder: TempDir,
}

impl TestServer {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let clock = Arc::new(AtomicU64::new(START_MS));
        let mut config = config(&clock);
        change(&mut config);
        let folder = tempfile::tempdir().unwrap();
        let router = Server::open(&folder.path().join("queues.db"), config)
            .unwrap()
            .router_at(([127, 0, 0, 1], 0).into());
        Self { router, clock, folder }
    }

    /// Closes the file and opens it again, the clock standing at `now_ms`.
    fn reopened_at(self, now_ms: u64) -> Self {
        self.clock.store(now_ms, Ordering::SeqCst);
        self.reopened_with(|_| {})
    }

    /// Closes the file and opens it again with other settings.
    fn reopened_with(self, change: impl FnOnce(&mut Config)) -> Self {
        let Self { router, clock, folder } = self;
        drop(router);
        let mut config = config(&clock);
        change(&mut config);
        let router = Server::open(&folder.path().join("queues.db"), config)
            .unwrap()
            .router_at(([127, 0, 0, 1], 0).into());
        Self { router, clock, folder }
    }

    fn pass_s(&self, seconds: u64) {
        self.clock.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }

    async fn raw(&self, operation: &str, body: impl Into<Body>) -> (StatusCode, HeaderMap, Value) {
        let request = Request::post("/")
            .header("x-amz-target", format!("AmazonSQS.{operation}"))
            .body(body.into())
            .unwrap();
        send(&self.router, request).await
    }

    /// The answer of a call that must succeed.
    async fn ok(&self, operation: &str, body: Value) -> Value {
        let (status, _, answer) = self.raw(operation, body.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{operation}: {answer}");
        answer
    }

    /// The `__type` of a call that must fail.
    async fn error(&self, operation: &str, body: Value) -> String {
        let (status, headers, answer) = self.raw(operation, body.to_string()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{operation}: {answer}");
        assert!(headers.contains_key("x-amzn-query-error"));
        answer["__type"].as_str().unwrap().split_once('#').unwrap().1.to_owned()
    }

    async fn queue(&self, name: &str, attributes: Value) -> String {
        let answer =
            self.ok("CreateQueue", json!({ "QueueName": name, "Attributes": attributes })).await;
        answer["QueueUrl"].as_str().unwrap().to_owned()
    }

    async fn fifo(&self, name: &str) -> String {
        self.queue(name, json!({ "FifoQueue": "true", "ContentBasedDeduplication": "true" })).await
    }

    async fn send(&self, url: &str, body: &str) -> Value {
        self.ok("SendMessage", json!({ "QueueUrl": url, "MessageBody": body })).await
    }

    async fn send_to_group(&self, url: &str, group: &str, body: &str) -> Value {
        self.ok(
            "SendMessage",
            json!({ "QueueUrl": url, "MessageBody": body, "MessageGroupId": group }),
        )
        .await
    }

    /// Receives up to ten messages.
    async fn receive(&self, url: &str) -> Vec<Value> {
        let request = json!({ "QueueUrl": url, "MaxNumberOfMessages": 10, "MessageSystemAttributeNames": ["All"] });
        self.ok("ReceiveMessage", request).await["Messages"].as_array().cloned().unwrap_or_default()
    }

    async fn bodies(&self, url: &str) -> Vec<String> {
        self.receive(url)
            .await
            .iter()
            .map(|message| message["Body"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn config(clock: &Arc<AtomicU64>) -> Config {
    let clock = clock.clone();
    Config { now: Arc::new(move || clock.load(Ordering::SeqCst)), ..Config::default() }
}

async fn send(router: &Router, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (parts.status, parts.headers, serde_json::from_slice(&body).unwrap_or(Value::Null))
}
