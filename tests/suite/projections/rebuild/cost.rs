//! The cost of generations, counted at the wire: requests and write units, without the index of
//! lists.

use super::jobs::{NO_END, finish, projector, rebuild, ruled, work};
use crate::harness::events::{Stored, Writer, confirmed, new_order, placed, write};
use crate::harness::messages::{Message, deliver, messages_of};
use crate::harness::stack::TestStack;
use crate::harness::wire::{Exchange, Wire};
use bookshop::{bestsellers, orders};
use handlers::ProjectorHandler;
use serde_json::Value;

/// The requests, without those to the row of generations.
#[derive(Debug, Default, PartialEq)]
struct Cost {
    operations: Vec<String>,
    /// Write units of the table: each row is below 1 KB, and a row of a transaction costs two.
    write_units: usize,
    /// Keys that were read.
    keys: usize,
    /// Reads of the row of the generations.
    asides: usize,
}

fn list(value: &Value) -> usize {
    value.as_array().map_or(0, Vec::len)
}

fn cost(wire: &Wire) -> Cost {
    let mut cost = Cost::default();
    for Exchange { operation, request, .. } in wire.take() {
        if request.to_string().contains("/generations\"") {
            cost.asides += 1;
            continue;
        }
        match operation.as_str() {
            "PutItem" => cost.write_units += 1,
            "TransactWriteItems" => cost.write_units += 2 * list(&request["TransactItems"]),
            "GetItem" => cost.keys += 1,
            "BatchGetItem" => {
                cost.keys += request["RequestItems"]
                    .as_object()
                    .unwrap()
                    .values()
                    .map(|keys| list(&keys["Keys"]))
                    .sum::<usize>();
            }
            _ => {}
        }
        assert!(request.to_string().len() < 64_000, "rows are small");
        cost.operations.push(operation);
    }
    cost.operations.sort();
    cost
}

fn times(operation: &str, count: usize) -> Vec<String> {
    vec![operation.to_owned(); count]
}

#[tokio::test]
async fn a_second_generation_doubles_the_cost_of_an_event_of_orders() {
    let stack = TestStack::start().await;
    let of = &orders();
    let (live, wire) = ruled(&stack);
    let live = live.with_cache_time(std::time::Duration::from_secs(600));
    let handler = ProjectorHandler::new(*of, live.clone());
    live.claim(of).await.unwrap();
    for generations in 1..=2 {
        let mut costs = Vec::new();
        for (number, batch) in
            write(&stack.store, &new_order(), &[&placed("c", [(1, 2)]), &confirmed()])
                .await
                .iter()
                .enumerate()
        {
            wire.take();
            assert!(deliver(&handler, &messages_of([batch])).await.is_empty());
            costs.push((number, cost(&wire)));
        }
        for (number, cost) in costs {
            // The first event of a stream needs no read of the row.
            let expected =
                [times("GetItem", number * generations), times("PutItem", generations)].concat();
            assert_eq!((cost.operations, cost.write_units), (expected, generations));
            assert!(cost.asides <= 2, "one look behind each batch: {}", cost.asides);
        }
        if generations == 1 {
            let operator = projector(&stack);
            rebuild(&operator, of, 1).await;
        }
    }
}

#[tokio::test]
async fn ten_orders_cost_bestsellers_two_units_a_stream_and_row() {
    let stack = TestStack::start().await;
    let of = &bestsellers();
    let (live, wire) = ruled(&stack);
    let handler = ProjectorHandler::new(*of, live);
    for generations in 1..=2 {
        let mut messages: Vec<Vec<Message>> = Vec::new();
        for number in 0..10 {
            let events: [&dyn Stored; 2] =
                [&placed("c", [(1, 2), (2 + number % 4, 1)]), &confirmed()];
            messages.push(messages_of(&write(&stack.store, &new_order(), &events).await));
        }
        wire.take();
        let (streams, rows) = (10, 5);
        for (part, rows) in [rows, 0].into_iter().enumerate() {
            let event: Vec<Message> =
                messages.iter().map(|messages| messages[part].clone()).collect();
            assert!(deliver(&handler, &event).await.is_empty());
            let cost = cost(&wire);
            assert!(cost.write_units <= generations * (2 * streams + 2 * rows), "{cost:?}");
            assert_eq!(
                cost.operations,
                [times("BatchGetItem", generations), times("TransactWriteItems", generations)]
                    .concat()
            );
            let keys = if part == 0 { rows } else { streams };
            assert_eq!(
                cost.keys,
                keys * generations,
                "the fences of new streams are not looked for"
            );
        }
        if generations == 1 {
            rebuild(&projector(&stack), of, 1).await;
        }
    }
}

/// Two hundred streams of two commits, which fill two pages.
#[tokio::test]
async fn a_page_costs_a_write_a_stream_and_its_check_two_reads() {
    let stack = TestStack::start().await;
    let of = &orders();
    let live = ProjectorHandler::new(*of, projector(&stack));
    for _ in 0..200 {
        let mut writer = Writer::new(&stack.store, &new_order());
        let mut batches = vec![writer.append(vec![placed("c", [(1, 2)]).stored()]).await];
        batches.push(writer.append(vec![confirmed().stored()]).await);
        assert!(deliver(&live, &messages_of(&batches)).await.is_empty());
    }
    let operator = projector(&stack);
    let (worker, wire) = ruled(&stack);
    let calls = operator.rebuild(of, 1).await.unwrap();
    wire.take();
    let calls = work(&worker, of, &calls[0], NO_END).await.unwrap();
    let backfill = cost(&wire);
    // In addition, the progress is read and written, and read again for the next tasks.
    assert_eq!((backfill.write_units, backfill.keys), (200 + 1, 1 + 2), "{backfill:?}");
    let scans = backfill.operations.iter().filter(|operation| *operation == "Scan").count();
    assert_eq!(backfill.operations.len(), scans + 201 + 3, "{backfill:?}");
    let calls = work(&worker, of, &calls[0], NO_END).await.unwrap();
    let proof = cost(&wire);
    assert_eq!(proof.write_units, 1, "nothing but the progress: {proof:?}");
    assert_eq!(
        proof.keys,
        2 * 200 + 3,
        "each fence once in each generation, and the progress: {proof:?}"
    );
    let asked = proof.operations.iter().filter(|operation| *operation == "BatchGetItem").count();
    assert!(asked <= 2 * 2 * scans + 2, "a hundred fences a request: {proof:?}");
    assert!(finish(&operator, of, calls).await.complete);
}
