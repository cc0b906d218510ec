//! Redelivered streams, stored refusals, and rows that are older than the runner.

use super::orders::{Line, deliver, new_book, order_stream, stock_stream};
use crate::harness::faults::{Fault, FaultInjector};
use crate::harness::messages::messages_of;
use crate::harness::stack::TestStack;
use aws_sdk_dynamodb::types::AttributeValue;
use bookshop::fulfilment;
use domain::order::{OrderCommand, OrderStatus};
use domain::{Isbn, OrderId};
use eventstore::StreamId;
use serde_json::{Value, json};

impl TestStack {
    /// Three orders: one is confirmed, one is rejected for a book that comes later, one is
    /// cancelled.
    async fn three_orders(&self) -> Vec<StreamId> {
        let (there, missing) = (new_book(), new_book());
        self.receive(&there, 9).await;
        let confirmed = self.place(&[(there.clone(), 2)]).await;
        let rejected = self.place(&[(there.clone(), 1), (missing.clone(), 3)]).await;
        let cancelled = self.place(&[(there.clone(), 1)]).await;
        let reason = "changed my mind".to_owned().try_into().unwrap();
        self.ask(cancelled, &OrderCommand::CancelOrder { reason }).await;
        let (books, orders) = ([there, missing], [confirmed, rejected, cancelled]);
        let mut lines: Vec<Line> = orders.iter().map(|order| Line::of(*order, &books)).collect();
        for _ in 0..4 {
            for line in &mut lines {
                line.run_dry(self, &self.runner()).await;
            }
        }
        self.receive(&books[1], 5).await;
        lines[0].run_dry(self, &self.runner()).await;
        assert_eq!(self.unsettled(&orders, &books).await, [""; 0]);
        orders
            .iter()
            .map(|order| order_stream(*order))
            .chain(books.iter().map(stock_stream))
            .collect()
    }

    async fn lengths(&self, streams: &[StreamId]) -> Vec<usize> {
        let mut lengths = Vec::new();
        for stream in streams {
            lengths.push(self.commits(stream).await.len());
        }
        lengths
    }

    /// The row of an order in fulfilment.
    async fn kept(&self, order_id: OrderId) -> Value {
        let item = self.row(&format!("fulfilment.1/state/{order_id}")).await.unwrap();
        serde_json::from_str(item["data"].as_s().unwrap()).unwrap()
    }

    /// Rewrites the order's row in the form before the runner.
    async fn age(&self, order_id: OrderId, held: bool) {
        let mut data = self.kept(order_id).await["state"].clone();
        if held {
            data["held"] = json!(true);
        }
        let key = AttributeValue::S(format!("fulfilment.1/state/{order_id}"));
        let request = self
            .clients()
            .dynamodb
            .update_item()
            .table_name(self.names.read_models())
            .key("row", key);
        let request = request
            .update_expression("SET #data = :data")
            .expression_attribute_names("#data", "data");
        let data = AttributeValue::S(data.to_string());
        request.expression_attribute_values(":data", data).send().await.unwrap();
    }
}

#[tokio::test]
async fn redelivered_streams_send_no_new_commands() {
    let (stack, wire) = (TestStack::start().await, FaultInjector::default());
    let streams = stack.three_orders().await;
    let before = stack.lengths(&streams).await;
    let runner = stack.runner_over(&wire);
    for stream in &streams {
        stack.projector().rewind(fulfilment().consumer(), stream).await.unwrap();
        for message in messages_of(&stack.batches(stream).await) {
            wire.take();
            assert!(deliver(&runner, &[message]).await.is_empty());
            let puts =
                wire.operations().into_iter().filter(|operation| operation == "PutItem").count();
            assert_eq!(puts, 1, "only the position moves");
        }
    }
    assert_eq!(stack.lengths(&streams).await, before);
}

/// A runner dies after the refusal, before it stores the answer. Copies come in before another
/// continues.
#[tokio::test]
async fn a_reservation_that_was_refused_is_never_accepted_later() {
    let (stack, wire) = (TestStack::start().await, FaultInjector::default());
    let book = new_book();
    let order_id = stack.place(&[(book.clone(), 2)]).await;
    let placed = messages_of(&stack.batches(&order_stream(order_id)).await);
    // Position and instance, the decision, stock, the refusal; then the answer.
    wire.arm(Some(Fault::DiesBefore(5)));
    assert_eq!(deliver(&stack.runner_over(&wire), &placed).await.len(), 1);
    assert!(!wire.is_armed());
    assert_eq!(stack.types(&stock_stream(&book)).await, ["$Refused"]);
    assert_eq!(stack.order(order_id).await.status(), Some(OrderStatus::Placed));
    stack.receive(&book, 5).await;
    assert!(deliver(&stack.runner(), &placed).await.is_empty());
    assert_eq!(stack.order(order_id).await.status(), Some(OrderStatus::Rejected));
    let refusal = stack.commits(&stock_stream(&book)).await.remove(0).refusal().unwrap();
    assert_eq!(
        (&*refusal.code, &*refusal.reason),
        ("not-enough", "2 wanted, but only 0 available")
    );
    Line::of(order_id, std::slice::from_ref(&book)).run_dry(&stack, &stack.runner()).await;
    assert_eq!(stack.types(&stock_stream(&book)).await, ["$Refused", "StockReceived"]);
    assert_eq!(stack.unsettled(&[order_id], &[book]).await, [""; 0]);
}

#[tokio::test]
async fn an_order_with_an_older_row_continues_and_repeats_no_ask() {
    let stack = TestStack::start().await;
    for held in [false, true] {
        let books: [Isbn; 2] = [new_book(), new_book()];
        for book in &books {
            stack.receive(book, 1).await;
        }
        let order_id = stack.place(&books.clone().map(|book| (book, 1))).await;
        let placed = messages_of(&stack.batches(&order_stream(order_id)).await);
        assert!(deliver(&stack.runner(), &placed).await.is_empty());
        stack.age(order_id, held).await;
        assert_eq!(stack.kept(order_id).await["format"], Value::Null);
        let mut line = Line::of(order_id, &books);
        line.run_dry(&stack, &stack.runner()).await;
        assert_eq!(stack.types(&order_stream(order_id)).await, ["OrderPlaced", "OrderConfirmed"]);
        for book in &books {
            assert_eq!(stack.types(&stock_stream(book)).await, ["StockReceived", "StockReserved"]);
        }
        // Delivered from its beginning, as a resumed stream is.
        stack.age(order_id, held).await;
        stack.projector().rewind(fulfilment().consumer(), &order_stream(order_id)).await.unwrap();
        assert!(deliver(&stack.runner(), &placed).await.is_empty());
        let kept = stack.kept(order_id).await;
        assert_eq!(
            (&kept["format"], &kept["open"], &kept["held"]),
            (&json!(1), &Value::Null, &Value::Null),
            "{kept}"
        );
        assert_eq!(stack.unsettled(&[order_id], &books).await, [""; 0]);
    }
}
