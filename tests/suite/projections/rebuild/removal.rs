//! A dropped generation is removed completely.

use super::jobs::{
    Calls, NO_END, ONE_PAGE, assert_exact, finish, items, progress_rows, projector, rebuild, ruled,
    work,
};
use crate::harness::events::{confirmed, new_order, placed, write};
use crate::harness::messages::{deliver, messages_of};
use crate::harness::stack::TestStack;
use crate::harness::wire::Act;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use bookshop::{bestsellers, orders};
use eventstore::Item;
use handlers::ProjectorHandler;
use projections::rebuild::JobKind;
use projections::{Projection, Projector};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// As many orders, projected into the first generation.
async fn shop(stack: &TestStack, projection: Projection, orders: usize) {
    let handler = ProjectorHandler::new(projection, projector(stack));
    for _ in 0..orders {
        let batches = write(&stack.store, &new_order(), &[&placed("c", [(1, 1)])]).await;
        assert!(deliver(&handler, &messages_of(&batches)).await.is_empty());
    }
}

#[tokio::test]
async fn a_rebuild_that_is_given_up_leaves_no_row_and_no_progress() {
    for projection in [orders(), bestsellers()] {
        let stack = TestStack::start().await;
        shop(&stack, projection, 30).await;
        // Some streams are parked in it, too.
        write(&stack.store, &new_order(), &[&placed("c", [(1, 1)]), &confirmed()]).await;
        let operator = projector(&stack).with_fault(projection.name, "OrderConfirmed");
        let mut calls = Calls::of(operator.rebuild(&projection, 4).await.unwrap());
        for _ in 0..3 {
            let call = calls.next().unwrap();
            calls.send(work(&operator, &projection, &call, ONE_PAGE).await.unwrap());
        }
        let begin = format!("{}.2/", projection.name);
        let there = items(&stack, &begin).await.len();
        assert!(there > 0 && progress_rows(&stack, &projection).await > 0);
        let wakes = operator.cancel_job(&projection).await.unwrap();
        let report = finish(&operator, &projection, wakes).await;
        assert_eq!(
            (report.kind, report.generation, report.complete),
            (JobKind::Remove, Some(2), true),
            "{report:?}"
        );
        assert_eq!(report.first_pass.removed, u64::try_from(there).unwrap());
        assert!(items(&stack, &begin).await.is_empty());
        assert_eq!(progress_rows(&stack, &projection).await, 0);
    }
}

#[tokio::test]
async fn a_pass_that_gives_way_or_is_given_up_leaves_no_progress() {
    let stack = TestStack::start().await;
    let of = &orders();
    shop(&stack, *of, 12).await;
    let operator = projector(&stack);
    rebuild(&operator, of, 2).await;
    assert_eq!(progress_rows(&stack, of).await, 0);
    for step in ["switch", "rollback"] {
        let wakes = match step {
            "switch" => operator.switch(of, false).await.unwrap(),
            _ => operator.rollback(of).await.unwrap(),
        };
        work(&operator, of, &wakes[0], ONE_PAGE).await.unwrap();
        assert!(progress_rows(&stack, of).await > 0, "the pass after the {step} has begun");
    }
    operator.cancel_job(of).await.unwrap();
    assert_eq!(progress_rows(&stack, of).await, 0);
    let wakes = operator.reconcile(of, 2).await.unwrap();
    work(&operator, of, &wakes[0], ONE_PAGE).await.unwrap();
    let wakes = operator.drop_generation(of, None).await.unwrap();
    assert_eq!(progress_rows(&stack, of).await, 0);
    finish(&operator, of, wakes).await;
    assert!(items(&stack, "orders.2/").await.is_empty());
    assert_exact(&stack, of, 1).await;
}

/// A worker has read a page of 250 streams when its rebuild is cancelled.
#[tokio::test]
async fn a_worker_leaves_nothing_when_its_rebuild_is_cancelled() {
    let stack = TestStack::start().await;
    let of = &orders();
    shop(&stack, *of, 250).await;
    let operator = projector(&stack);
    let (worker, wire) = ruled(&stack);
    let worker = worker.with_cache_time(Duration::ZERO);
    let calls = operator.rebuild(of, 1).await.unwrap();
    let canceller = operator.clone();
    let puts = Arc::new(AtomicUsize::new(0));
    let counter = puts.clone();
    wire.rule(move |seen| {
        let (operator, counter) = (canceller.clone(), counter.clone());
        async move {
            let row =
                seen.body["Item"]["row"]["S"].as_str().filter(|_| seen.operation == "PutItem");
            let of_rebuild = row.is_some_and(|row| row.starts_with("orders.2/"));
            if of_rebuild && counter.fetch_add(1, Ordering::SeqCst) == 0 {
                operator.cancel_job(&orders()).await.unwrap();
            }
            Act::Pass
        }
    });
    let next = work(&worker, of, &calls[0], NO_END).await.unwrap();
    assert!(
        next.iter().all(|call| call.job == calls[0].job + 1),
        "the removal is called for: {next:?}"
    );
    let written = puts.load(Ordering::SeqCst);
    assert!((1..=100).contains(&written), "{written} rows were written of 250");
    assert_eq!(progress_rows(&stack, of).await, 0, "its progress is of no use");
    finish(&operator, of, next).await;
    assert!(items(&stack, "orders.2/").await.is_empty());
    assert_eq!(progress_rows(&stack, of).await, 0);
    assert_exact(&stack, of, 1).await;
}

/// A process with cached generations reads the old one after a switch, and writes it after a
/// removal began.
#[tokio::test]
async fn a_removal_waits_until_what_others_remember_is_past() {
    let stack = TestStack::start().await;
    let of = &orders();
    shop(&stack, *of, 3).await;
    let remembered = Duration::from_millis(150);
    let operator: Projector = stack.projector().with_cache_time(remembered);
    rebuild(&operator, of, 1).await;
    operator.switch(of, false).await.unwrap();
    let wakes = operator.drop_generation(of, None).await.unwrap();
    let report = finish(&operator, of, wakes).await;
    let waited = (report.ended_at - report.started_at).to_std().unwrap();
    assert!(waited >= remembered * 2, "{waited:?}");
    assert!(report.passes >= 2, "it looks again whether something was written");
    assert!(items(&stack, "orders.1/").await.is_empty());
}

/// Items of 8 KB, more than fit into a page of 1 MB.
async fn put_many(stack: &TestStack, begin: &str, count: usize) {
    let table = stack.names.read_models();
    let request = |number: usize| {
        let item = Item::from([
            ("row".to_owned(), AttributeValue::S(format!("{begin}{number}"))),
            ("version".to_owned(), AttributeValue::N("1".to_owned())),
            ("data".to_owned(), AttributeValue::S(format!("\"{}\"", "x".repeat(8_000)))),
        ]);
        let put = PutRequest::builder().set_item(Some(item)).build().unwrap();
        WriteRequest::builder().put_request(put).build()
    };
    let requests: Vec<WriteRequest> = (0..count).map(request).collect();
    for requests in requests.chunks(25) {
        let write =
            stack.clients().dynamodb.batch_write_item().request_items(&table, requests.to_vec());
        write.send().await.unwrap();
    }
}

#[tokio::test]
async fn a_removal_goes_over_pages_and_touches_no_other_generation() {
    let stack = TestStack::start().await;
    let of = &orders();
    let operator = projector(&stack);
    operator.rebuild(of, 2).await.unwrap();
    put_many(&stack, "orders.2/order-", 400).await;
    let others =
        ["orders.1/order-", "orders.20/order-", "orders-2.2/order-", "bestsellers.2/fence/order-"];
    for other in others {
        put_many(&stack, other, 10).await;
    }
    let wakes = operator.cancel_job(of).await.unwrap();
    let mut calls = Calls::of(wakes);
    let mut slices = 0;
    while let Some(call) = calls.next() {
        slices += 1;
        calls.send(work(&operator, of, &call, ONE_PAGE).await.unwrap());
    }
    let report = operator.status(of).await.unwrap().report.unwrap();
    assert_eq!(
        (report.first_pass.removed, report.last_pass.removed, report.passes),
        (400, 0, 2),
        "{report:?}"
    );
    assert!(slices > 4, "3.2 MB in two segments are more than a page each: {slices}");
    assert!(items(&stack, "orders.2/").await.is_empty());
    for other in others {
        assert_eq!(items(&stack, other).await.len(), 10, "{other}");
    }
}
