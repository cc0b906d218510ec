//! The HTTP API of the running program.
//!
//! | module | what it asks |
//! |---|---|
//! | [`orders`], [`stock`] | what each command answers, and what each refuses |
//! | [`idempotency`] | is a command sent twice done once? |
//! | [`pairs`] | does a command over two aggregates happen in both or in none? |
//! | [`clock`] | are ids that the API makes itself taken, though its clock is set back? |
//! | [`preconditions`] | `If-Match`, and reads that are as fresh as asked |
//! | [`bad_bodies`], [`bad_requests`] | is what breaks a rule told so, and nothing written? |
//! | [`lists`], [`bestsellers`] | what many orders come to |
//! | [`asynchronous`] | are commands answered later as they would have been at once? |
//! | [`audit`] | who did what, when and why, in a stream |
//! | [`audit_search`], [`audit_trace`] | the same over all streams, and the tree of causes |
//! | [`audit_states`] | a stream as it was, and what changed |
//! | [`without_index`] | what can be asked where there is no audit index |
//! | [`audit_export`] | events as files |
//! | [`audit_walks`] | does a walk from page to page end, though each page is recorded? |
//! | [`audit_access`] | is each reader recorded? |
//! | [`auth`], [`tokens`] | who is let in, to what, and as whom it is recorded; which tokens are believed |
//! | [`projections`] | what operators see and do, and a job's progress as it happens |
//! | [`bounded_steps`] | do `resume` and `redrive` end in time, and go on with the next call? |
//! | [`description`] | is the OpenAPI document true? |
#![cfg(test)]

mod asynchronous;
mod audit;
mod audit_access;
mod audit_export;
mod audit_search;
mod audit_states;
mod audit_trace;
mod audit_walks;
mod auth;
mod bad_bodies;
mod bad_requests;
mod bestsellers;
mod bounded_steps;
mod clock;
mod description;
mod idempotency;
mod lists;
mod orders;
mod pairs;
mod preconditions;
mod projections;
mod stock;
mod tokens;
mod without_index;

use crate::harness::program::Dev;
use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use std::future::Future;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// Far above what any answer needs, so that only a broken program meets it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The program, running for one test, and a client of it.
struct Shop {
    dev: Dev,
    http: Client,
    _data: TempDir,
}

/// What came back.
#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Shop {
    async fn open() -> Self {
        let data = TempDir::new().unwrap();
        Self::of(Dev::start(data.path()).await, data)
    }

    /// A client of a program that runs already.
    fn of(dev: Dev, data: TempDir) -> Self {
        let http = Client::builder().timeout(DEADLINE).no_proxy().build().unwrap();
        Self { dev, http, _data: data }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.dev.url)
    }

    /// A command, not yet sent.
    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.http.post(self.url(path)).json(body)
    }

    async fn get(&self, path: &str) -> Answer {
        sent(self.http.get(self.url(path))).await
    }

    /// Sends a command under a key.
    async fn command(&self, path: &str, key: &str, body: &Value) -> Answer {
        sent(self.post(path, body).header("Idempotency-Key", key)).await
    }

    /// Places an order, and gives its path.
    async fn place(&self, key: &str, order: &Value) -> String {
        let placed = self.command("/orders", key, order).await;
        assert_eq!(placed.status, 201, "{placed:?}");
        placed.header("location").to_owned()
    }

    /// The versions and types of a stream's events, oldest first.
    async fn history(&self, stream: &str) -> Vec<String> {
        let answer = self.get(&format!("/audit/streams/{stream}?limit=500")).await;
        if answer.status == 404 {
            return Vec::new();
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        let events = answer.body["events"].as_array().unwrap();
        events.iter().map(|event| format!("{} {}", event["version"], text(&event["type"]))).collect()
    }
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"));
        value.to_str().unwrap()
    }

    /// Asserts that it is a problem document of that kind.
    #[track_caller]
    fn is_problem(&self, status: u16, slug: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["type"], format!("https://ledgerfold.dev/problems/{slug}"));
        assert_eq!(self.body["status"], status);
        assert!(!text(&self.body["title"]).is_empty() && !text(&self.body["detail"]).is_empty(), "{self:?}");
        assert!(text(&self.body["instance"]).starts_with("urn:uuid:"), "{self:?}");
    }

    /// Asserts that a field breaks a rule, of which a part is given.
    #[track_caller]
    fn breaks(&self, field: &str, rule: &str) {
        self.is_problem(400, "invalid-request");
        let error = &self.body["errors"][0];
        assert_eq!(error["field"], field, "{error}");
        assert!(text(&error["rule"]).contains(rule), "{error} has not {rule:?}");
    }

    /// Asserts that the domain refuses, in those words.
    #[track_caller]
    fn is_refused(&self, reason: &str) {
        self.is_problem(422, "refused");
        assert_eq!(self.body["reason"], reason);
    }
}

/// Sends a request and reads the whole answer; a body that is no JSON is shown as text.
async fn sent(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.text().await.unwrap();
    Answer { status, headers, body: serde_json::from_str(&body).unwrap_or(Value::String(body)) }
}

#[track_caller]
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// A book of its own for each number: 978, nine digits, and their check digit.
pub(crate) fn isbn(number: u32) -> String {
    let digits = format!("978{number:09}");
    let sum: u32 =
        digits.bytes().zip([1, 3].into_iter().cycle()).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

fn line(book: u32, quantity: u32, unit_price_minor: u32) -> Value {
    json!({"isbn": isbn(book), "quantity": quantity, "unit_price_minor": unit_price_minor})
}

fn order(customer_id: &str, lines: &[Value]) -> Value {
    json!({"customer_id": customer_id, "currency": "EUR", "lines": lines})
}

/// The stream of the order at that path.
fn order_stream(path: &str) -> String {
    path.replace("/orders/", "order-")
}

/// Looks until there is an answer.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "did not happen: {what}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
