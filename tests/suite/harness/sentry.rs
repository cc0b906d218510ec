//! A local server in place of Sentry's ingest. It parses envelopes.

use crate::harness::waiting::eventually;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// An ingest, which ends when it is dropped.
pub(crate) struct Ingest {
    /// The DSN of this server.
    pub(crate) dsn: String,
    taken: Taken,
    server: JoinHandle<()>,
}

/// An item of an envelope: its type and payload.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    kind: String,
    pub(crate) payload: Value,
}

type Taken = Arc<Mutex<Vec<Item>>>;

impl Drop for Ingest {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Ingest {
    pub(crate) async fn open() -> Self {
        let taken = Taken::default();
        let router = Router::new().route("/api/1/envelope/", post(take)).with_state(taken.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dsn = format!("http://key@{}/1", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { dsn, taken, server }
    }

    /// All events so far.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.of("event")
    }

    /// All sampled transactions so far.
    pub(crate) fn transactions(&self) -> Vec<Value> {
        self.of("transaction")
    }

    fn of(&self, kind: &str) -> Vec<Value> {
        let taken = self.taken.lock().unwrap();
        taken.iter().filter(|item| item.kind == kind).map(|item| item.payload.clone()).collect()
    }

    /// Waits for a matching event.
    pub(crate) async fn event(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        eventually(what, async || self.events().into_iter().find(|event| fits(event))).await
    }
}

async fn take(State(taken): State<Taken>, headers: HeaderMap, body: String) -> StatusCode {
    assert!(headers["x-sentry-auth"].to_str().unwrap().contains("sentry_key=key"), "{headers:?}");
    taken.lock().unwrap().extend(items(&body));
    StatusCode::OK
}

/// An envelope is lines of JSON: its header, then of each item a header and the payload.
fn items(envelope: &str) -> Vec<Item> {
    let mut lines = envelope.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let _header = lines.next().unwrap();
    let mut items = Vec::new();
    while let Some(header) = lines.next() {
        items.push(Item {
            kind: header["type"].as_str().unwrap().to_owned(),
            payload: lines.next().unwrap(),
        });
    }
    items
}

/// The values of an event's exceptions, the outermost first.
pub(crate) fn chain(event: &Value) -> Vec<String> {
    let exceptions = event["exception"]["values"].as_array().cloned().unwrap_or_default();
    exceptions
        .iter()
        .rev()
        .map(|exception| exception["value"].as_str().unwrap_or_default().to_owned())
        .collect()
}
