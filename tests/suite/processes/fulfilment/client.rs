//! A client of the running program over HTTP.

use crate::harness::http::{Client, Response, unless_busy};
use serde_json::{Value, json};

pub(super) const TRACE_PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

impl Client {
    /// Sends a command under a correlation of its key. None if the program ends meanwhile.
    pub(super) async fn try_correlated(
        &self,
        path: &str,
        key: &str,
        body: &Value,
    ) -> Option<Response> {
        let request =
            self.keyed(path, key, body).header("X-Correlation-Id", format!("shopping-{key}"));
        unless_busy(request.header("traceparent", TRACE_PARENT)).await
    }

    pub(super) async fn correlated(&self, path: &str, key: &str, body: &Value) -> Value {
        let answer = self.try_correlated(path, key, body).await.expect("the program ended");
        assert!((200..300).contains(&answer.status), "{path}: {answer:?}");
        answer.body
    }

    /// Places an order of these books, each with its copies. Its id.
    pub(super) async fn order(&self, key: &str, lines: &[(&str, u32)]) -> String {
        let answer = self.correlated("/orders", key, &order(lines)).await;
        answer["stream"].as_str().unwrap().trim_start_matches("order-").to_owned()
    }

    /// Waits until the order has that status.
    pub(super) async fn becomes(&self, order_id: &str, status: &str) -> Value {
        self.until(&format!("/orders/{order_id}"), |order| order.body["status"] == status).await
    }

    /// Waits until the book has those copies on hand and reserved.
    pub(super) async fn holds(&self, isbn: &str, on_hand: u32, reserved: u32) {
        let (on_hand, reserved) = (json!(on_hand), json!(reserved));
        let wanted = |stock: &Response| {
            stock.body["on_hand"] == on_hand && stock.body["reserved"] == reserved
        };
        self.until(&format!("/stock/{isbn}"), wanted).await;
    }
}

pub(super) fn order(lines: &[(&str, u32)]) -> Value {
    let line = |(isbn, copies): &(&str, u32)| json!({"isbn": isbn, "quantity": copies, "unit_price_minor": 995});
    crate::harness::http::order("c-17", &lines.iter().map(line).collect::<Vec<_>>())
}
