//! An API whose clock is set back: ids that it generates must not fail the request.

use crate::harness::in_process::ask;
use crate::harness::stack::TestStack;
use axum::Router;
use axum::http::Method;
use chrono::{DateTime, TimeDelta, Utc};
use eventstore::{EventStore, Id, Options};
use handlers::http::{Api, router};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

const RECEIVE: &str = "/stock/9780306406157/receive";
const HISTORY: &str = "/audit/streams/stock-9780306406157";
const MINUTES: i64 = 60_000;

/// A clock that is ahead by some milliseconds, and goes back at each reading.
struct Clock {
    ahead_ms: AtomicI64,
    back_ms: AtomicI64,
}

impl Clock {
    fn now(&self) -> DateTime<Utc> {
        let ahead =
            self.ahead_ms.fetch_sub(self.back_ms.load(Ordering::Relaxed), Ordering::Relaxed);
        DateTime::<Utc>::from(SystemTime::now()) + TimeDelta::milliseconds(ahead)
    }
}

fn api(idle: &TestStack) -> (Arc<Clock>, Router) {
    let clock =
        Arc::new(Clock { ahead_ms: AtomicI64::new(60 * MINUTES), back_ms: AtomicI64::new(0) });
    let hands = clock.clone();
    let options = Options { clock: Arc::new(move || hands.now()), ..Options::default() };
    let store =
        EventStore::with_options(idle.clients().dynamodb.clone(), idle.names.events(), options);
    let projector = idle.system().projector();
    let operations = idle.system().operations(projector.clone());
    (clock, router(Api::new(store, projector, operations, Id::new("dev").unwrap())))
}

/// A copy, for each path that takes a body.
fn one() -> Value {
    json!({"quantity": 1})
}

#[tokio::test]
async fn generated_ids_are_accepted_after_the_clock_was_set_back() {
    let idle = TestStack::start().await;
    let (clock, api) = api(&idle);
    for ahead_ms in [60 * MINUTES, 0, -60 * MINUTES] {
        clock.ahead_ms.store(ahead_ms, Ordering::Relaxed);
        for (method, path) in [(Method::POST, RECEIVE), (Method::GET, HISTORY)] {
            let (status, body) = ask(&api, method, path, None, &one()).await;
            assert_eq!(status, 200, "{path}, {ahead_ms} ms ahead: {body}");
        }
    }
    assert_eq!(
        ask(&api, Method::GET, HISTORY, None, &one()).await.1["events"].as_array().unwrap().len(),
        3
    );
}

#[tokio::test]
async fn a_clock_set_back_meanwhile_is_503() {
    let idle = TestStack::start().await;
    let (clock, api) = api(&idle);
    clock.back_ms.store(10 * MINUTES, Ordering::Relaxed);
    for (method, path) in [(Method::POST, RECEIVE), (Method::GET, HISTORY)] {
        let (status, body) = ask(&api, method, path, None, &one()).await;
        assert_eq!(
            (status, body["type"].as_str().unwrap()),
            (503, "https://ledgerfold.dev/problems/unavailable")
        );
    }
}
