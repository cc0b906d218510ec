//! Orders, and what they must come to.

use super::World;
use super::eventually;
use super::process::Caller;
use crate::http::isbn;
use aws_sdk_sqs::types::QueueAttributeName;
use ledgerfold::local::stream_mapping::StreamMapping;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// All queues but those of dead letters.
const QUEUES: [&str; 7] = ["orders", "stock", "bestsellers", "audit", "fulfilment", "commands", "rebuild"];
/// The read models that a caller sees, each with a path to rows of it.
const READ_MODELS: [(&str, &str); 3] =
    [("orders", "/customers/c-1/orders?limit=500"), ("stock", ""), ("bestsellers", "/bestsellers?limit=500")];

/// Fan-out, which the container leaves to Lambda. It ends when this is dropped.
pub(super) struct FanOutRuns {
    _running: JoinHandle<()>,
    _stop: DropGuard,
}

impl World {
    /// Runs fan-out beside the program.
    pub(super) async fn fan_out(&self) -> FanOutRuns {
        let (clients, stop) = (self.system.clients().clone(), CancellationToken::new());
        let fan_out = clients.system(&bookshop::app(), &self.system.names).fan_out().await.unwrap();
        let table = clients.dynamodb.describe_table().table_name(self.system.names.events()).send().await.unwrap();
        let arn = table.table.unwrap().latest_stream_arn.unwrap();
        let mapping = StreamMapping::new(arn, self.system.folder().join("fan-out"));
        let handler = move |event| {
            let fan_out = fan_out.clone();
            async move { Ok::<_, Infallible>(fan_out.handle(event).await) }
        };
        let running = tokio::spawn(mapping.run(clients.streams.clone(), handler, stop.clone()));
        FanOutRuns { _running: running, _stop: stop.drop_guard() }
    }

    async fn queue_url(&self, queue: &str) -> String {
        let name = format!("ledgerfold-{queue}.fifo");
        self.system.clients().sqs.get_queue_url().queue_name(name).send().await.unwrap().queue_url.unwrap()
    }

    /// Lets messages of a killed process come again soon.
    pub(super) async fn return_messages_after(&self, seconds: u32) {
        for queue in QUEUES {
            let request = self.system.clients().sqs.set_queue_attributes().queue_url(self.queue_url(queue).await);
            let attributes = HashMap::from([(QueueAttributeName::VisibilityTimeout, seconds.to_string())]);
            request.set_attributes(Some(attributes)).send().await.unwrap();
        }
    }

    /// How many messages a queue holds, visible or not.
    pub(super) async fn held(&self, queue: &str) -> usize {
        let wanted = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let request = self.system.clients().sqs.get_queue_attributes().queue_url(self.queue_url(queue).await);
        let counts = request.set_attribute_names(Some(wanted.to_vec())).send().await.unwrap().attributes.unwrap();
        counts.values().map(|count| count.parse::<usize>().unwrap()).sum()
    }

    /// Waits until all queues are empty, and nothing is in a queue of dead letters.
    pub(super) async fn idle(&self) {
        for queue in QUEUES {
            let what = format!("the queue {queue} is empty");
            eventually(&what, || async { (self.held(queue).await == 0).then_some(()) }).await;
            assert_eq!(self.held(&format!("{queue}-dead")).await, 0, "{queue} has dead letters");
        }
    }
}

/// An order of one copy of a book.
pub(super) fn order(book: u32) -> Value {
    let lines = json!([{"isbn": isbn(book), "quantity": 1, "unit_price_minor": 995}]);
    json!({"customer_id": "c-1", "currency": "EUR", "lines": lines})
}

impl Caller {
    /// Takes in copies of a book.
    pub(super) async fn receive(&self, book: u32, quantity: usize) {
        let path = format!("/stock/{}/receive", isbn(book));
        let (status, body) = self.post(&path, &format!("receive-{book}"), &json!({"quantity": quantity})).await;
        assert_eq!(status, 200, "{body}");
    }

    /// Places orders of a book; their paths.
    pub(super) async fn place(&self, name: &str, book: u32, orders: usize) -> Vec<String> {
        let mut placed = Vec::new();
        for number in 0..orders {
            let (status, body) = self.post("/orders", &format!("{name}-{number}"), &order(book)).await;
            assert_eq!(status, 201, "{body}");
            placed.push(body["stream"].as_str().unwrap().replacen("order-", "/orders/", 1));
        }
        placed
    }

    /// Waits until all orders are confirmed.
    pub(super) async fn all_confirmed(&self, orders: &[String]) {
        for path in orders {
            self.until(path, |status, order| status == 200 && order["status"] == "confirmed").await;
        }
    }

    /// Rebuilds each read model from the events, and asserts that the rows stay the same.
    pub(super) async fn read_models_are_those_of_a_rebuild(&self, book: u32) {
        let stock = format!("/stock/{}", isbn(book));
        for (read_model, path) in READ_MODELS {
            let path = if path.is_empty() { &stock } else { path };
            let before = self.read(path).await;
            let step = |step| format!("/projections/{read_model}/{step}");
            let (status, body) = self.post(&step("rebuild"), "a-rebuild", &json!({"segments": 2})).await;
            assert_eq!(status, 202, "{body}");
            let complete = |_, view: &Value| view["job"].is_null() && view["report"]["complete"] == true;
            self.until(&format!("/projections/{read_model}"), complete).await;
            let (status, body) = self.post(&step("switch"), "a-switch", &json!({})).await;
            assert_eq!(status, 202, "{body}");
            self.until(&format!("/projections/{read_model}"), |_, view| view["job"].is_null()).await;
            assert_eq!(self.read(path).await, before, "{read_model}");
        }
    }
}
