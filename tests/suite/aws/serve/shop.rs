//! Orders, and their expected rows.

use super::Deployment;
use super::eventually;
use crate::harness::http::{Client, Response, isbn, line, order};
use aws_sdk_sqs::types::QueueAttributeName;
use ledgerfold::local::event_source::mapping::StreamMapping;
use serde_json::{Value, json};
use std::convert::Infallible;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// All queues but those of dead letters.
const QUEUES: [&str; 7] =
    ["orders", "stock", "bestsellers", "audit", "fulfilment", "commands", "rebuild"];
/// The read models, each with a path to its rows.
const READ_MODELS: [(&str, &str); 3] = [
    ("orders", "/customers/c-1/orders?limit=500"),
    ("stock", ""),
    ("bestsellers", "/bestsellers?limit=500"),
];

/// Fan-out, which runs on Lambda and not in the container. Dropping this ends it.
pub(super) struct FanOutRuns {
    _running: JoinHandle<()>,
    _stop: DropGuard,
}

impl Deployment {
    /// Runs fan-out next to the program.
    pub(super) async fn fan_out(&self) -> FanOutRuns {
        let (stack, stop) = (&self.stack, CancellationToken::new());
        let fan_out = stack.system().fan_out().await.unwrap();
        let mapping = StreamMapping::new(stack.stream_arn().await, stack.folder().join("fan-out"));
        let handler = move |event| {
            let fan_out = fan_out.clone();
            async move { Ok::<_, Infallible>(fan_out.handle(event).await) }
        };
        let running =
            tokio::spawn(mapping.run(stack.clients().streams.clone(), handler, stop.clone()));
        FanOutRuns { _running: running, _stop: stop.drop_guard() }
    }

    /// Makes messages of a killed process visible soon.
    pub(super) async fn return_messages_after(&self, seconds: u32) {
        for queue in QUEUES {
            self.stack
                .set_queue(&name(queue), QueueAttributeName::VisibilityTimeout, seconds)
                .await;
        }
    }

    /// How many messages a queue holds, visible or not.
    pub(super) async fn held(&self, queue: &str) -> usize {
        self.stack.held(&name(queue)).await
    }

    /// Waits until all queues are empty, and asserts that there are no dead letters.
    pub(super) async fn idle(&self) {
        for queue in QUEUES {
            let what = format!("the queue {queue} is empty");
            eventually(&what, || async { (self.held(queue).await == 0).then_some(()) }).await;
            assert_eq!(self.held(&format!("{queue}-dead")).await, 0, "{queue} has dead letters");
        }
    }
}

fn name(queue: &str) -> String {
    format!("ledgerfold-{queue}.fifo")
}

/// An order of one copy of a book.
pub(super) fn order_of(book: u32) -> Value {
    order("c-1", &[line(book, 1, 995)])
}

impl Client {
    /// Places orders of a book; their paths.
    pub(super) async fn place_many(&self, name: &str, book: u32, orders: usize) -> Vec<String> {
        let mut placed = Vec::new();
        for number in 0..orders {
            placed.push(self.place(&format!("{name}-{number}"), &order_of(book)).await);
        }
        placed
    }

    /// Waits until all orders are confirmed.
    pub(super) async fn all_confirmed(&self, orders: &[String]) {
        for path in orders {
            self.until(path, |order| order.status == 200 && order.body["status"] == "confirmed")
                .await;
        }
    }

    /// Rebuilds each read model from the events, and asserts that the rows stay the same.
    pub(super) async fn read_models_are_those_of_a_rebuild(&self, book: u32) {
        let stock = format!("/stock/{}", isbn(book));
        for (read_model, path) in READ_MODELS {
            let path = if path.is_empty() { &stock } else { path };
            let before = self.read(path).await;
            let step = |step| format!("/projections/{read_model}/{step}");
            let answer = self.command(&step("rebuild"), "a-rebuild", &json!({"segments": 2})).await;
            assert_eq!(answer.status, 202, "{answer:?}");
            let complete = |view: &Response| {
                view.body["job"].is_null() && view.body["report"]["complete"] == true
            };
            self.until(&format!("/projections/{read_model}"), complete).await;
            let answer = self.command(&step("switch"), "a-switch", &json!({})).await;
            assert_eq!(answer.status, 202, "{answer:?}");
            self.until(&format!("/projections/{read_model}"), |view| view.body["job"].is_null())
                .await;
            assert_eq!(self.read(path).await, before, "{read_model}");
        }
    }
}
