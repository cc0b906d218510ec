//! Reads and live projection during rebuilds, switches and removals.

use super::jobs::{assert_exact, assert_same, finish, projector, rebuild};
use crate::harness::events::{Stored, Writer, cancelled, confirmed, new_order, placed, write};
use crate::harness::messages::{deliver, messages_of};
use crate::harness::stack::TestStack;
use bookshop::{bestsellers, orders};
use domain::read_models::orders::{OrderRow, customer_list};
use eventstore::{Batch, StreamId};
use handlers::ProjectorHandler;
use projections::{FreshError, Projection};
use std::time::Duration;

/// The orders of a customer, oldest first, projected with fresh generations.
async fn shop(stack: &TestStack, count: usize) -> Vec<(StreamId, Writer, Batch)> {
    let handler = ProjectorHandler::new(orders(), projector(stack));
    let mut orders = Vec::new();
    for _ in 0..count {
        let order = new_order();
        let mut writer = Writer::new(&stack.store, &order);
        let batch = writer.append(vec![placed("c", [(1, 1)]).stored()]).await;
        assert!(deliver(&handler, &messages_of([&batch])).await.is_empty());
        orders.push((order, writer, batch));
    }
    orders
}

#[tokio::test]
async fn a_list_can_be_read_across_a_switch_and_a_rollback() {
    let stack = TestStack::start().await;
    let of = &orders();
    shop(&stack, 11).await;
    let reader = projector(&stack);
    rebuild(&reader, of, 2).await;
    let list = customer_list("c");
    let whole = reader.list(of, &list, 100, None).await.unwrap().rows;
    let (mut read, mut cursor, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = reader.list(of, &list, 3, cursor.as_ref()).await.unwrap();
        read.extend(page.rows);
        pages += 1;
        // A client gets and returns a cursor as text.
        cursor = page
            .next
            .map(|next| serde_json::from_str(&serde_json::to_string(&next).unwrap()).unwrap());
        if cursor.is_none() {
            break;
        }
        match pages {
            1 => drop(reader.switch(of, false).await.unwrap()),
            2 => drop(reader.rollback(of).await.unwrap()),
            // The pass after the rollback has verified nothing yet.
            3 => drop(reader.switch(of, true).await.unwrap()),
            _ => {}
        }
    }
    let data = |rows: &[projections::Row]| {
        rows.iter().map(|row| row.content.data.clone()).collect::<Vec<_>>()
    };
    assert_eq!((whole.len(), data(&read)), (11, data(&whole)));
    let generations: Vec<&str> =
        read.iter().map(|row| row.key.split('/').next().unwrap()).collect();
    assert_eq!(
        generations[..10],
        ["orders.1"; 3]
            .iter()
            .chain(&["orders.2"; 3])
            .chain(&["orders.1"; 3])
            .chain(&["orders.2"])
            .copied()
            .collect::<Vec<_>>()
    );
}

/// The read of a client that knows the version that it wrote.
async fn status(reader: &projections::Projector, order: &StreamId, at_least: u64) -> (u64, String) {
    let row = reader.row(&orders(), order, at_least).await.unwrap().unwrap();
    let order: OrderRow = row.read().unwrap();
    (row.version, serde_json::to_value(order.status).unwrap().as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_writer_reads_its_write_at_once_in_any_generation() {
    let stack = TestStack::start().await;
    let of = &orders();
    let mut orders = shop(&stack, 1).await;
    let (order, mut writer, _) = orders.remove(0);
    let reader = projector(&stack);
    let before = reader.rebuild(of, 1).await.unwrap();
    // It is not notified.
    writer.append(vec![confirmed().stored()]).await;
    assert_eq!(status(&reader, &order, 2).await, (2, "confirmed".to_owned()), "while it is built");
    assert_eq!(status(&reader, &order, 1).await, (1, "placed".to_owned()));
    finish(&reader, of, before).await;
    writer.append(vec![cancelled("late").stored()]).await;
    reader.switch(of, false).await.unwrap();
    assert_eq!(status(&reader, &order, 3).await, (3, "cancelled".to_owned()), "after the switch");
    assert_eq!(
        status(&reader, &order, 0).await,
        (2, "confirmed".to_owned()),
        "what the new generation has"
    );
    reader.rollback(of).await.unwrap();
    assert_eq!(status(&reader, &order, 3).await, (3, "cancelled".to_owned()), "after the rollback");
    let beyond = reader.row(of, &order, 4).await.unwrap_err();
    assert!(matches!(beyond, FreshError::Beyond { at_least: 4, head: 3 }), "{beyond}");
}

/// The messages of one step of a history, applied by a process with old cached generations.
async fn frozen_leaves_nothing_out(projection: Projection) {
    let stack = TestStack::start().await;
    let of = &projection;
    let operator = projector(&stack);
    let frozen = ProjectorHandler::new(
        projection,
        stack.projector().with_cache_time(Duration::from_secs(3_600)),
    );
    let orders = [new_order(), new_order(), new_order()];
    let mut writers = orders.clone().map(|order| Writer::new(&stack.store, &order));
    for (number, writer) in (1..).zip(&mut writers) {
        let batch = writer.append(vec![placed("c", [(1, number), (2, 1)]).stored()]).await;
        assert!(
            deliver(&frozen, &messages_of([&batch])).await.is_empty(),
            "it knows of the first generation only"
        );
    }
    assert!(rebuild(&operator, of, 2).await.complete);
    let batch = writers[0].append(vec![confirmed().stored()]).await;
    assert!(deliver(&frozen, &messages_of([&batch])).await.is_empty());
    assert_same(&stack, of, 1, 2).await;
    operator.switch(of, false).await.unwrap();
    let batch = writers[1].append(vec![cancelled("late").stored()]).await;
    assert!(deliver(&frozen, &messages_of([&batch])).await.is_empty());
    assert_exact(&stack, of, 2).await;
    assert_same(&stack, of, 1, 2).await;
    operator.rollback(of).await.unwrap();
    let wakes = operator.drop_generation(of, None).await.unwrap();
    finish(&operator, of, wakes).await;
    assert!(rebuild(&operator, of, 1).await.complete);
    let batch = writers[2].append(vec![cancelled("later").stored()]).await;
    assert!(deliver(&frozen, &messages_of([&batch])).await.is_empty());
    assert_same(&stack, of, 1, 3).await;
    assert_exact(&stack, of, 3).await;
}

#[tokio::test]
async fn a_frozen_projector_of_orders_leaves_nothing_out() {
    frozen_leaves_nothing_out(orders()).await;
}

#[tokio::test]
async fn a_frozen_projector_of_bestsellers_leaves_nothing_out() {
    frozen_leaves_nothing_out(bestsellers()).await;
}

#[tokio::test]
async fn the_pass_after_a_switch_finds_a_lost_message() {
    let stack = TestStack::start().await;
    let of = &orders();
    shop(&stack, 3).await;
    let operator = projector(&stack);
    rebuild(&operator, of, 2).await;
    // These are never notified.
    write(&stack.store, &new_order(), &[&placed("d", [(1, 1)]), &confirmed()]).await;
    let wakes = operator.switch(of, false).await.unwrap();
    let report = finish(&operator, of, wakes).await;
    assert_eq!(
        (report.complete, report.first_pass.behind, report.last_pass.behind),
        (true, 2, 0),
        "{report:?}"
    );
    assert_exact(&stack, of, 1).await;
    assert_exact(&stack, of, 2).await;
}
