//! Projectors and fulfilment on their queues: poison events, unreadable messages, killed functions,
//! unavailable tables.

use crate::harness::depth::full_or;
use crate::harness::events::{confirmed, new_order, placed, received, shipped, stock_of, write};
use crate::harness::faults::Fault;
use crate::harness::fold::ReadModel;
use crate::harness::pipeline::policy::{FifoPolicy, StreamPolicy};
use crate::harness::pipeline::{Call, FEW_RECEIVES, Fate, Pipeline, WELL};
use crate::projections::read_models;
use bookshop::fulfilment;
use bookshop::orders;
use eventstore::StreamId;
use projections::Projection;
use std::collections::BTreeSet;

const VISIBILITY_MS: u64 = 60_000;

/// Orders that were confirmed.
async fn some_orders(pipeline: &Pipeline, count: usize) -> Vec<StreamId> {
    let streams: Vec<StreamId> = (0..count).map(|_| new_order()).collect();
    for stream in &streams {
        write(&pipeline.stack.store, stream, &[&placed("c", [(1, 1)]), &confirmed()]).await;
    }
    streams
}

/// How each function dies in its first call.
fn first_calls_end(pipeline: &mut Pipeline, fate: Fate) {
    let mut called = BTreeSet::new();
    pipeline.fates(move |call: &Call| if called.insert(call.function) { fate } else { WELL });
}

async fn send(pipeline: &Pipeline, consumer: &str, group: &str, body: &str) -> String {
    let request = pipeline
        .stack
        .clients()
        .sqs
        .send_message()
        .queue_url(&pipeline.stack.route(consumer).queue_url)
        .message_body(body);
    let request =
        request.message_group_id(group).message_deduplication_id(format!("{group}-{body}"));
    request.send().await.unwrap().message_id.unwrap()
}

#[tokio::test]
async fn a_poison_event_parks_its_stream_at_the_fifth_receive() {
    let mut pipeline = Pipeline::start().await;
    pipeline.deploy(orders(), pipeline.projector().with_fault("orders", "OrderShipped"));
    let mut streams = some_orders(&pipeline, 3).await;
    let poisoned = new_order();
    write(&pipeline.stack.store, &poisoned, &[&placed("c", [(2, 2)]), &confirmed(), &shipped()])
        .await;
    streams.extend(some_orders(&pipeline, 3).await);
    pipeline.run_for(VISIBILITY_MS / 2).await;
    let model = pipeline.stack.read_models().await;
    let expected = ReadModel::of_streams(&pipeline.stack.store, &streams).await;
    assert_eq!(model.clone().without(&poisoned).only("orders"), expected.only("orders"));
    assert_eq!(model.applied("orders", &poisoned), Some(2), "up to the poison event");
    pipeline.run_until_quiet().await;
    let most = pipeline.calls_of("orders").iter().map(|call| call.receives).max();
    let parked = pipeline.stack.operations().view(&orders()).await.unwrap().status.parked;
    assert_eq!((most, parked), (Some(5), 1));
    pipeline.deploy(orders(), pipeline.projector());
    assert!(!pipeline.stack.operations().resume(&orders(), None, None).await.unwrap().is_stuck());
    pipeline.run_until_quiet().await;
    pipeline.stack.assert_exact_after(streams.iter().chain([&poisoned]), "").await;
}

#[tokio::test]
async fn an_unreadable_message_becomes_a_dead_letter_and_is_repaired() {
    let mut pipeline = Pipeline::with_few_receives().await;
    let streams = some_orders(&pipeline, 3).await;
    pipeline.run_until_quiet().await;
    let told_badly = new_order();
    write(&pipeline.stack.store, &told_badly, &[&placed("c", [(1, 1)])]).await;
    drop(pipeline.new_records().await);
    let id = send(&pipeline, "orders", told_badly.as_str(), "{").await;
    let behind = new_order();
    write(&pipeline.stack.store, &behind, &[&placed("c", [(1, 1)])]).await;
    pipeline.run_until_quiet().await;
    let receives =
        pipeline.calls_of("orders").iter().filter(|call| call.items.contains(&id)).count();
    assert_eq!(receives, usize::try_from(FEW_RECEIVES).unwrap());
    let model = pipeline.stack.read_models().await;
    assert_eq!(
        (model.applied("orders", &behind), model.applied("orders", &told_badly)),
        (Some(1), None)
    );
    assert_eq!(pipeline.redrive(&orders()).await, 1);
    pipeline.reconcile(&bookshop::bestsellers()).await;
    pipeline.stack.assert_exact_after(streams.iter().chain([&told_badly, &behind]), "").await;
}

#[tokio::test]
async fn whenever_a_function_dies_nothing_is_applied_twice() {
    let mut pipeline = Pipeline::start().await;
    let mut streams = Vec::new();
    for request in 1..=6 {
        for fault in [Fault::DiesBefore(request), Fault::DiesAfter(request)] {
            let (order, book) = (new_order(), stock_of(u32::try_from(streams.len()).unwrap() + 10));
            write(
                &pipeline.stack.store,
                &order,
                &[&placed("c", [(1, 2), (2, 1)]), &confirmed(), &shipped()],
            )
            .await;
            write(&pipeline.stack.store, &book, &[&received(3)]).await;
            streams.extend([order, book]);
            let before = pipeline.calls.len();
            first_calls_end(&mut pipeline, Fate { fault: Some(fault), is_answered: false, ..WELL });
            pipeline.run_until_quiet().await;
            for projection in read_models() {
                let calls =
                    pipeline.calls[before..].iter().filter(|call| call.function == projection.name);
                let at: Vec<u64> = calls.map(|call| call.at_ms).collect();
                assert!(
                    at.len() > 1 && at[at.len() - 1] >= at[0] + VISIBILITY_MS,
                    "{} {fault:?}",
                    projection.name
                );
            }
        }
    }
    pipeline.stack.assert_exact_after(&streams, "").await;
}

#[tokio::test]
async fn work_that_was_done_and_never_heard_of_is_not_done_twice() {
    let mut pipeline = Pipeline::start().await;
    let streams = some_orders(&pipeline, 4).await;
    first_calls_end(&mut pipeline, Fate { is_answered: false, ..WELL });
    pipeline.run_until_quiet().await;
    pipeline.stack.assert_exact_after(&streams, "after the last death").await;
    let more = some_orders(&pipeline, 2).await;
    first_calls_end(&mut pipeline, Fate { lasts_ms: u64::MAX, ..WELL });
    pipeline.run_until_quiet().await;
    pipeline.stack.assert_exact_after(streams.iter().chain(&more), "timed out").await;
}

#[tokio::test]
async fn a_panic_fails_its_batch_only_and_redrive_repairs_it() {
    let mut pipeline = Pipeline::with_few_receives().await;
    let mut streams = vec![new_order()];
    write(&pipeline.stack.store, &streams[0], &[&placed("c", [(1, 1)])]).await;
    streams.extend(some_orders(&pipeline, 2).await);
    pipeline.wire.panic_at("ledgerfold-read-models", streams[0].as_str());
    pipeline.run_for(VISIBILITY_MS / 2).await;
    let later = some_orders(&pipeline, 3).await;
    pipeline.run_for(1_000).await;
    let model = pipeline.stack.read_models().await;
    assert!(later.iter().all(|stream| model.applied("orders", stream) == Some(2)));
    pipeline.run_until_quiet().await;
    let model = pipeline.stack.read_models().await;
    assert_eq!(model.applied("orders", &streams[0]), None);
    pipeline.wire.end_outages();
    let mut dead = 0;
    for projection in read_models() {
        dead += pipeline.redrive(&projection).await;
    }
    assert!(dead >= 2, "the orders and the bestsellers of the first stream at least: {dead}");
    pipeline.stack.assert_exact_after(streams.iter().chain(&later), "").await;
}

#[tokio::test]
async fn redrive_repairs_the_dead_letters_of_an_unavailable_table() {
    let mut pipeline = Pipeline::with_few_receives().await;
    let streams = some_orders(&pipeline, 5).await;
    pipeline.wire.begin_outage("ledgerfold-read-models");
    pipeline.run_until_quiet().await;
    assert_eq!(pipeline.stack.read_models().await.len(), 0);
    pipeline.wire.end_outages();
    for projection in [orders(), bookshop::bestsellers()] {
        assert!(pipeline.redrive(&projection).await > 0, "{}", projection.name);
    }
    pipeline.stack.assert_exact_after(&streams, "").await;
}

#[tokio::test]
async fn messages_redelivered_to_a_second_function_are_applied_once() {
    let patient = |policy| FifoPolicy { timeout_ms: 200_000, ..policy };
    let mut pipeline = Pipeline::under(StreamPolicy::of_fan_out(), patient).await;
    let streams = some_orders(&pipeline, 4).await;
    first_calls_end(&mut pipeline, Fate { lasts_ms: VISIBILITY_MS * 3 / 2, ..WELL });
    pipeline.run_until_quiet().await;
    let calls = pipeline.calls_of("bestsellers");
    assert_eq!(
        (&calls[0].items, calls[0].at_ms + VISIBILITY_MS),
        (&calls[1].items, calls[1].at_ms)
    );
    pipeline.stack.assert_exact_after(&streams, "").await;
}

#[tokio::test]
async fn whenever_fulfilment_dies_no_book_is_reserved_twice() {
    let mut pipeline = Pipeline::start().await.with_fulfilment().await;
    let (mut orders, mut books) = (Vec::new(), Vec::new());
    for request in (1..=8).step_by(full_or(1, 3)) {
        for fault in [Fault::DiesBefore(request), Fault::DiesAfter(request)] {
            let number = u32::try_from(books.len()).unwrap() + 10;
            let book = stock_of(number);
            write(&pipeline.stack.store, &book, &[&received(3)]).await;
            books.push(book);
            for _ in 0..2 {
                orders.push(new_order());
                write(
                    &pipeline.stack.store,
                    &orders[orders.len() - 1],
                    &[&placed("c", [(number, 2)])],
                )
                .await;
            }
            let mut called = false;
            pipeline.fates(move |call: &Call| {
                let hit =
                    call.function == fulfilment().name && !std::mem::replace(&mut called, true);
                if hit { Fate { fault: Some(fault), is_answered: false, ..WELL } } else { WELL }
            });
            pipeline.run_until_quiet().await;
        }
    }
    pipeline.stack.assert_exact_after(orders.iter().chain(&books), "").await;
    for pair in orders.chunks(2) {
        let mut answers = Vec::new();
        for order in pair {
            answers.push(last_type(&pipeline, order).await);
        }
        answers.sort();
        assert_eq!(answers, ["OrderConfirmed", "OrderRejected"]);
    }
    for book in &books {
        assert_eq!(pipeline.stack.read_models().await.stock_of(book), Some((3, 2)));
    }
}

async fn last_type(pipeline: &Pipeline, stream: &StreamId) -> String {
    let loaded = pipeline.stack.store.load(stream, eventstore::Consistency::Strong).await.unwrap();
    let events =
        loaded.batches.into_iter().flat_map(|batch| batch.commits).flat_map(|commit| commit.events);
    events.last().unwrap().body.event_type
}

#[tokio::test]
async fn reconcile_repairs_lost_notifications_of_fulfilment() {
    let mut pipeline = Pipeline::start().await.with_fulfilment().await;
    let (order, book) = (new_order(), stock_of(1));
    pipeline.wire.begin_outage("ledgerfold-fulfilment.fifo");
    write(&pipeline.stack.store, &book, &[&received(3)]).await;
    write(&pipeline.stack.store, &order, &[&placed("c", [(1, 2)])]).await;
    pipeline.run_until_quiet().await;
    assert!(!pipeline.stream.discarded().is_empty());
    pipeline.wire.end_outages();
    pipeline.reconcile(&fulfilment()).await;
    assert_eq!(last_type(&pipeline, &order).await, "OrderConfirmed");
    pipeline.stack.assert_exact_after([&order, &book], "").await;
}

/// The consumers that redrive and reconcile repair.
pub(super) fn everybody() -> Vec<Projection> {
    bookshop::app().consumers().to_vec()
}
