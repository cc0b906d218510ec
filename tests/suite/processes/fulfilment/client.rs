//! Somebody who speaks to the running program over HTTP.

use super::shop::PATIENCE;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    pub(super) fn of(url: &str) -> Self {
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        Self { http, url: url.to_owned() }
    }

    /// Sends a command until it is answered with something else than "busy"; nothing if the program goes away.
    pub(super) async fn try_post(&self, path: &str, key: &str, body: &Value) -> Option<(StatusCode, Value)> {
        for _ in 0..100 {
            let request = self.http.post(format!("{}{path}", self.url)).header("Idempotency-Key", key);
            let request = request.header("X-Correlation-Id", format!("shopping-{key}"));
            let answer = request.header("traceparent", TRACE_PARENT).json(body).send().await.ok()?;
            let status = answer.status();
            let answer = answer.json().await.ok()?;
            if status != StatusCode::SERVICE_UNAVAILABLE {
                return Some((status, answer));
            }
        }
        panic!("{path} is never answered but with busy");
    }

    pub(super) async fn post(&self, path: &str, key: &str, body: &Value) -> Value {
        let (status, answer) = self.try_post(path, key, body).await.expect("the program went away");
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        self.http.get(format!("{}{path}", self.url)).send().await.unwrap().json().await.unwrap()
    }

    pub(super) async fn receive(&self, isbn: &str, copies: u32) {
        self.post(&format!("/stock/{isbn}/receive"), &format!("delivery-of-{isbn}"), &json!({"quantity": copies}))
            .await;
    }

    /// Places an order and tells its id.
    pub(super) async fn place(&self, key: &str, lines: &[(&str, u32)]) -> String {
        let answer = self.post("/orders", key, &order(lines)).await;
        answer["stream"].as_str().unwrap().trim_start_matches("order-").to_owned()
    }

    /// The events of a stream.
    pub(super) async fn history(&self, stream: &str) -> Vec<Value> {
        let page = self.get(&format!("/audit/streams/{stream}?limit=500")).await;
        assert_eq!(page["next_from"], Value::Null, "{page}");
        page["events"].as_array().unwrap_or_else(|| panic!("{page}")).clone()
    }

    /// Looks at a path until it is so; what it then says.
    pub(super) async fn eventually(&self, path: &str, look: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path).await;
            if look(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path} still says {answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the order has that status.
    pub(super) async fn becomes(&self, order_id: &str, status: &str) -> Value {
        self.eventually(&format!("/orders/{order_id}"), |order| order["status"] == status).await
    }

    /// Waits until the book has those copies on hand and reserved.
    pub(super) async fn holds(&self, isbn: &str, on_hand: u32, reserved: u32) {
        let look = |stock: &Value| (&stock["on_hand"], &stock["reserved"]) == (&json!(on_hand), &json!(reserved));
        self.eventually(&format!("/stock/{isbn}"), look).await;
    }
}

pub(super) const TRACE_PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

pub(super) fn order(lines: &[(&str, u32)]) -> Value {
    let lines: Vec<Value> =
        lines.iter().map(|(isbn, copies)| json!({"isbn": isbn, "quantity": copies, "unit_price_minor": 995})).collect();
    json!({"customer_id": "c-17", "currency": "EUR", "lines": lines})
}
