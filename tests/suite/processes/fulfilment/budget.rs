//! The cost of one order of one line in fulfilment, counted at the wire.

use super::orders::{Line, deliver, new_book, order_stream};
use crate::harness::faults::{Fault, FaultInjector};
use crate::harness::stack::TestStack;
use domain::order::OrderStatus;
use eventstore::Usage;

/// The requests of each message in order, for a runner with empty caches.
const REQUESTS: [&[&str]; 3] = [
    // Placed: position and instance, of which there is none; the decision; reserve (read the stock,
    // put); the answer; the position.
    &["BatchGetItem", "PutItem", "Query", "PutItem", "PutItem", "PutItem"],
    // Reserved: position and instance; the decision; confirm (read the order, put); the answer; the
    // position.
    &["BatchGetItem", "PutItem", "Query", "PutItem", "PutItem", "PutItem"],
    // Confirmed: no ask; the position.
    &["GetItem", "PutItem"],
];
/// A write unit.
const KILOBYTE: usize = 1024;

#[tokio::test]
async fn an_order_of_one_line_costs_fourteen_requests() {
    let (stack, wire) = (TestStack::start().await, FaultInjector::default());
    let book = new_book();
    stack.receive(&book, 1).await;
    let order_id = stack.place(&[(book.clone(), 1)]).await;
    let runner = stack.runner_over(&wire);
    let mut line = Line::of(order_id, &[book]);
    let mut messages = line.news(&stack).await;
    // The received copy costs two requests, for any number of orders.
    assert!(deliver(&runner, &[messages.remove(0)]).await.is_empty());
    assert_eq!(wire.operations(), ["GetItem", "PutItem"]);
    let (mut requests, mut commands) = (Vec::new(), Usage::default());
    while let Some(message) = messages.pop() {
        let (again, usage) = Usage::of(deliver(&runner, &[message])).await;
        assert!(again.is_empty());
        commands += usage;
        requests.push(wire.operations());
        messages.extend(line.news(&stack).await);
    }
    assert_eq!(requests, REQUESTS);
    assert_eq!((commands.requests, commands.write_units, commands.read_units), (4, 2.0, 1.0));
    assert_eq!(stack.order(order_id).await.status(), Some(OrderStatus::Confirmed));
    assert_small_rows(&stack).await;
    // As the program before the runner recorded it: a repeated ask is the same command after a
    // deployment.
    let confirmed = stack.commits(&order_stream(order_id)).await.pop().unwrap();
    assert_eq!(confirmed.metadata.fingerprint.to_string(), "zMyEQ6b6lBU0Gwe5NMzJrg");
}

/// The decision with its asks is the largest row: it is measured after a runner died before it sent
/// them.
#[tokio::test]
async fn a_decision_with_its_ask_is_one_write_unit() {
    let (stack, wire) = (TestStack::start().await, FaultInjector::default());
    let book = new_book();
    stack.receive(&book, 1).await;
    let order_id = stack.place(&[(book.clone(), 1)]).await;
    let (runner, mut line) = (stack.runner_over(&wire), Line::of(order_id, &[book]));
    let mut messages = line.news(&stack).await.split_off(1);
    for _ in ["reserve", "confirm"] {
        wire.arm(Some(Fault::DiesBefore(3)));
        assert_eq!(deliver(&runner, &messages).await.len(), 1);
        assert!(!wire.is_armed());
        assert_small_rows(&stack).await;
        wire.arm(None);
        assert!(deliver(&runner, &messages).await.is_empty());
        messages = line.news(&stack).await;
    }
    assert_eq!(stack.order(order_id).await.status(), Some(OrderStatus::Confirmed));
}

async fn assert_small_rows(stack: &TestStack) {
    let bytes = kept_bytes(stack).await;
    assert!(
        !bytes.is_empty() && bytes.iter().all(|bytes| *bytes < KILOBYTE),
        "rows of {bytes:?} bytes"
    );
}

/// The sizes of the rows that fulfilment keeps: each write of one below a kilobyte is a unit.
async fn kept_bytes(stack: &TestStack) -> Vec<usize> {
    let rows = stack
        .clients()
        .dynamodb
        .scan()
        .table_name(stack.names.read_models())
        .send()
        .await
        .unwrap()
        .items;
    let bytes = |text: Option<&String>| text.unwrap().len();
    let size = |item: eventstore::Item| {
        "rowdataversion99".len() + bytes(item["row"].as_s().ok()) + bytes(item["data"].as_s().ok())
    };
    rows.unwrap().into_iter().map(size).collect()
}

#[tokio::test]
async fn a_handled_notification_costs_one_read_of_the_position() {
    let (stack, wire) = (TestStack::start().await, FaultInjector::default());
    let book = new_book();
    stack.receive(&book, 1).await;
    let order_id = stack.place(&[(book.clone(), 1)]).await;
    let (runner, mut line) = (stack.runner_over(&wire), Line::of(order_id, &[book]));
    let messages = line.news(&stack).await;
    assert!(deliver(&runner, &messages).await.is_empty());
    wire.take();
    // A delivery concerns no order; if it does, the order's row is read with the position.
    for (message, look) in messages.iter().zip(["GetItem", "BatchGetItem"]) {
        assert!(deliver(&runner, std::slice::from_ref(message)).await.is_empty());
        assert_eq!(wire.operations(), [look]);
    }
}

#[tokio::test]
async fn a_batch_of_several_streams_looks_at_all_positions_at_once() {
    let (stack, wire) = (TestStack::start().await, FaultInjector::default());
    let books = [new_book(), new_book()];
    for book in &books {
        stack.receive(book, 1).await;
    }
    let order_id = stack.place(&books.clone().map(|book| (book, 1))).await;
    let (runner, mut line) = (stack.runner_over(&wire), Line::of(order_id, &books));
    let messages = line.news(&stack).await;
    assert!(deliver(&runner, &messages).await.is_empty());
    wire.take();
    assert!(deliver(&runner, &messages).await.is_empty());
    assert_eq!(wire.operations(), ["BatchGetItem"]);
}
