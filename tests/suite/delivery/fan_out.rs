//! Fan-out on its stream: refused messages, outages of queues, killed functions.

use crate::harness::events::{
    Stored, Writer, confirmed, new_order, placed, received, shipped, stock_of, write,
};
use crate::harness::faults::Fault;
use crate::harness::log::Log;
use crate::harness::pipeline::policy::StreamPolicy;
use crate::harness::pipeline::{Call, Fate, Pipeline, WELL};
use crate::harness::stack::event_key;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::QueueAttributeName::MaximumMessageSize;
use bookshop::{bestsellers, orders};
use eventstore::{MAX_VERSION, StreamId};

const FAN_OUT: &str = "fan-out";
const ORDERS: &str = "ledgerfold-orders.fifo";
const HOUR_MS: u64 = 60 * 60 * 1_000;
/// Size limits of a queue: one accepts everything, the other only small orders.
const ANY_SIZE: u32 = 1_048_576;
const SMALL_ONLY: u32 = 2_048;

/// The index of the large order in [`orders_with_a_large_one`], and of its record.
const LARGE: usize = 4;
const LARGE_RECORD: usize = 8;

/// Orders with two records each.
async fn some_orders(pipeline: &Pipeline, count: usize) -> Vec<StreamId> {
    let streams: Vec<StreamId> = (0..count).map(|_| new_order()).collect();
    for stream in &streams {
        write(&pipeline.stack.store, stream, &[&placed("c", [(1, 1)]), &confirmed()]).await;
    }
    streams
}

/// Twelve orders. One is too large for the queue with the small limit. It has only one event,
/// because a small second event would bring its stream up to date.
async fn orders_with_a_large_one(pipeline: &Pipeline) -> Vec<StreamId> {
    let mut streams = some_orders(pipeline, LARGE).await;
    streams.push(new_order());
    let large = placed("c-large", (1..=60).map(|book| (book, 1)));
    write(&pipeline.stack.store, &streams[LARGE], &[&large]).await;
    streams.extend(some_orders(pipeline, 7).await);
    streams
}

/// The deployed mapping, but with one batch of the shard at a time.
fn one_at_a_time() -> StreamPolicy {
    StreamPolicy { parallelization_factor: 1, ..StreamPolicy::of_fan_out() }
}

async fn start_one_at_a_time() -> Pipeline {
    Pipeline::under(one_at_a_time(), |policy| policy).await
}

#[tokio::test]
async fn a_refused_message_delays_only_the_records_after_it() {
    let mut pipeline = start_one_at_a_time().await;
    let streams = orders_with_a_large_one(&pipeline).await;
    pipeline.stack.set_queue(ORDERS, MaximumMessageSize, SMALL_ONLY).await;
    pipeline.run_for(10 * 60_000).await;
    let model = pipeline.stack.read_models().await;
    let applied = |stream| model.applied("orders", stream);
    assert!(streams[..LARGE].iter().all(|stream| applied(stream) == Some(2)));
    assert_eq!(applied(&streams[LARGE]), None);
    let calls = pipeline.calls_of(FAN_OUT);
    assert!(
        calls.len() > 5 && calls[1..].iter().all(|call| call.items == calls[1].items),
        "it waits at one record"
    );
    assert_eq!(
        calls[1].items,
        calls[0].items[LARGE_RECORD..],
        "earlier records are not sent again"
    );
    pipeline.stack.set_queue(ORDERS, MaximumMessageSize, ANY_SIZE).await;
    pipeline.run_until_quiet().await;
    assert!(pipeline.stream.discarded().is_empty());
    pipeline.stack.assert_exact_after(&streams, "").await;
}

#[tokio::test]
async fn reconcile_repairs_an_outage_that_outlasts_all_retries() {
    let by_retries =
        StreamPolicy { max_record_age_ms: None, max_retries: Some(20), ..one_at_a_time() };
    let by_age =
        StreamPolicy { max_record_age_ms: Some(HOUR_MS), max_retries: None, ..one_at_a_time() };
    for (policy, condition) in
        [(by_retries, "RetryAttemptsExhausted"), (by_age, "RecordAgeExceeded")]
    {
        let mut pipeline = Pipeline::under(policy, |policy| policy).await;
        let mut streams = some_orders(&pipeline, 3).await;
        pipeline.wire.begin_outage("ledgerfold-orders.fifo");
        pipeline.run_until_quiet().await;
        let calls = pipeline.calls_of(FAN_OUT);
        let discarded = pipeline.stream.discarded();
        assert_eq!(discarded.len(), 1, "{condition}");
        assert_eq!(discarded[0].request_context.condition, condition);
        let batch_info = &discarded[0].batch_info;
        let range = [&batch_info.start_sequence_number, &batch_info.end_sequence_number];
        assert_eq!(
            range,
            [calls[0].items.first().unwrap(), calls[0].items.last().unwrap()],
            "{condition}"
        );
        pipeline.wire.end_outages();
        streams.push(new_order());
        write(&pipeline.stack.store, &streams[3], &[&placed("c", [(1, 1)])]).await;
        pipeline.run_until_quiet().await;
        let model = pipeline.stack.read_models().await;
        let applied: Vec<Option<u64>> =
            streams.iter().map(|stream| model.applied("orders", stream)).collect();
        assert_eq!(
            applied,
            [None, None, None, Some(1)],
            "{condition}: what comes behind flows, what was given up lacks"
        );
        pipeline.reconcile(&orders()).await;
        pipeline.stack.assert_exact_after(&streams, condition).await;
    }
}

#[tokio::test]
async fn reconcile_repairs_records_that_the_stream_has_trimmed() {
    let policy =
        StreamPolicy { max_record_age_ms: None, max_retries: None, ..StreamPolicy::of_fan_out() };
    let mut pipeline = Pipeline::under(policy, |policy| policy).await;
    let streams = some_orders(&pipeline, 2).await;
    pipeline.wire.begin_outage("ledgerfold-orders.fifo");
    pipeline.run_for(HOUR_MS).await;
    pipeline.wire.end_outages();
    // Then fan-out is not invoked for a day.
    pipeline.clock.pass(24 * HOUR_MS);
    pipeline.run_until_quiet().await;
    assert_eq!((pipeline.stream.trimmed(), pipeline.stream.discarded().len()), (4, 0));
    assert_eq!(pipeline.stack.read_models().await.applied("orders", &streams[0]), None);
    pipeline.reconcile(&orders()).await;
    pipeline.stack.assert_exact_after(&streams, "").await;
}

#[tokio::test]
async fn a_record_that_kills_fan_out_is_isolated() {
    // Limited by attempts: giving up by age would also discard records of the same time.
    let policy = StreamPolicy { max_record_age_ms: None, max_retries: Some(20), ..one_at_a_time() };
    let mut pipeline = Pipeline::under(policy, |policy| policy).await;
    let streams = orders_with_a_large_one(&pipeline).await;
    pipeline.wire.panic_at("ledgerfold-orders.fifo", "c-large");
    pipeline.run_until_quiet().await;
    let discarded = pipeline.stream.discarded();
    assert_eq!(discarded.len(), 1);
    let batch_info = &discarded[0].batch_info;
    assert_eq!(
        (batch_info.batch_size, &batch_info.start_sequence_number),
        (1, &pipeline.calls_of(FAN_OUT)[0].items[LARGE_RECORD])
    );
    pipeline.wire.end_outages();
    let model = pipeline.stack.read_models().await;
    let missed: Vec<&StreamId> =
        streams.iter().filter(|stream| model.applied("orders", stream).is_none()).collect();
    assert_eq!(missed, [&streams[LARGE]]);
    pipeline.reconcile(&orders()).await;
    // The function died before it had sent all other notifications.
    pipeline.reconcile(&bestsellers()).await;
    pipeline.stack.assert_exact_after(&streams, "").await;
}

#[tokio::test]
async fn a_fan_out_that_dies_loses_nothing_and_doubles_nothing() {
    let mut pipeline = Pipeline::start().await;
    let mut streams = Vec::new();
    for request in 1..=6 {
        for fault in
            [Fault::DiesBefore(request), Fault::DiesAfter(request), Fault::LosesAnswer(request)]
        {
            let stream = new_order();
            write(
                &pipeline.stack.store,
                &stream,
                &[&placed("c", [(1, 2)]), &confirmed(), &shipped()],
            )
            .await;
            streams.push(stream);
            let is_answered = matches!(fault, Fault::LosesAnswer(_));
            let mut first = true;
            pipeline.fates(move |call: &Call| {
                let hit = call.function == FAN_OUT && std::mem::take(&mut first);
                if hit { Fate { fault: Some(fault), is_answered, ..WELL } } else { WELL }
            });
            pipeline.run_until_quiet().await;
        }
    }
    pipeline.stack.assert_exact_after(&streams, "").await;
}

#[tokio::test]
async fn after_a_time_out_of_fan_out_nothing_is_applied_twice() {
    let mut pipeline = Pipeline::start().await;
    let stream = new_order();
    write(&pipeline.stack.store, &stream, &[&placed("c", [(1, 2)]), &confirmed()]).await;
    let mut calls = 0;
    pipeline.fates(move |call: &Call| {
        calls += usize::from(call.function == FAN_OUT);
        if call.function == FAN_OUT && calls < 4 {
            Fate { lasts_ms: u64::MAX, ..WELL }
        } else {
            WELL
        }
    });
    pipeline.run_until_quiet().await;
    let calls = pipeline.calls_of(FAN_OUT);
    assert!(calls.len() >= 4 && calls[1].at_ms - calls[0].at_ms >= pipeline.stream.timeout_ms());
    pipeline.stack.assert_exact_after([&stream], "").await;
}

#[tokio::test]
async fn a_notification_repeated_after_five_minutes_is_applied_once() {
    let mut pipeline = Pipeline::start().await;
    let (order, book) = (new_order(), stock_of(1));
    write(&pipeline.stack.store, &order, &[&placed("c", [(1, 2)])]).await;
    write(&pipeline.stack.store, &book, &[&received(5)]).await;
    let stuck = new_order();
    pipeline.wire.begin_outage("ledgerfold-fulfilment.fifo");
    write(&pipeline.stack.store, &stuck, &[&placed("c", [(1, 1)])]).await;
    for _ in 0..4 {
        pipeline.run_for(6 * 60_000).await;
        // Another process, which has no cache of what was sent.
        pipeline.wire.end_outages();
        pipeline.restart_fan_out().await;
        pipeline.wire.begin_outage("ledgerfold-fulfilment.fifo");
    }
    pipeline.wire.end_outages();
    pipeline.run_until_quiet().await;
    let messages: usize =
        pipeline.calls_of("bestsellers").iter().map(|call| call.items.len()).sum();
    assert!(messages > 4, "the notifications were repeated: {messages}");
    pipeline.stack.assert_exact_after([&order, &book, &stuck], "").await;
}

#[tokio::test]
async fn only_commits_invoke_fan_out_and_a_changed_one_is_reported() {
    let mut pipeline = Pipeline::start().await;
    let order = new_order();
    write(&pipeline.stack.store, &order, &[&placed("c", [(1, 1)]), &confirmed()]).await;
    pipeline.run_until_quiet().await;
    let before = pipeline.calls_of(FAN_OUT).len();
    let (table, dynamodb) =
        (pipeline.stack.names.events(), pipeline.stack.clients().dynamodb.clone());
    let mut snapshot = event_key(order.as_str(), MAX_VERSION + 1);
    for text in ["one", "two"] {
        snapshot.insert("snapshot".to_owned(), AttributeValue::S(text.to_owned()));
        dynamodb
            .put_item()
            .table_name(&table)
            .set_item(Some(snapshot.clone()))
            .send()
            .await
            .unwrap();
    }
    let key = event_key(order.as_str(), MAX_VERSION + 1);
    dynamodb.delete_item().table_name(&table).set_key(Some(key)).send().await.unwrap();
    pipeline.run_until_quiet().await;
    assert_eq!(pipeline.calls_of(FAN_OUT).len(), before, "snapshots do not invoke it");
    let (log, guard) = Log::catch();
    let key = event_key(order.as_str(), 2);
    let change = dynamodb.update_item().table_name(&table).set_key(Some(key.clone()));
    let change = change.update_expression("SET forged = :yes");
    change.expression_attribute_values(":yes", AttributeValue::Bool(true)).send().await.unwrap();
    dynamodb.delete_item().table_name(&table).set_key(Some(key)).send().await.unwrap();
    pipeline.run_until_quiet().await;
    drop(guard);
    let items: usize =
        pipeline.calls_of(FAN_OUT)[before..].iter().map(|call| call.items.len()).sum();
    assert_eq!(items, 2);
    let errors = log.errors();
    assert!(
        errors.len() == 2 && errors.iter().all(|error| error.contains("tampering")),
        "{errors:?}"
    );
    assert_eq!(
        pipeline.stack.read_models().await.applied("orders", &order),
        Some(2),
        "and no notification is sent"
    );
}

#[tokio::test]
async fn parallel_batches_may_swap_commits_without_effect() {
    let policy =
        StreamPolicy { parallelization_factor: 4, batch_size: 2, ..StreamPolicy::of_fan_out() };
    let mut pipeline = Pipeline::under(policy, |policy| policy).await;
    let mut writers: Vec<(StreamId, Writer)> = Vec::new();
    for _ in 0..6 {
        let stream = new_order();
        let mut writer = Writer::new(&pipeline.stack.store, &stream);
        writer.append(vec![placed("c", [(1, 1)]).stored()]).await;
        writers.push((stream, writer));
    }
    for (_, writer) in &mut writers {
        writer.append(vec![confirmed().stored()]).await;
        writer.append(vec![shipped().stored()]).await;
    }
    let mut fan_outs = 0;
    pipeline.fates(move |call: &Call| {
        fan_outs += usize::from(call.function == FAN_OUT);
        Fate { is_answered: call.function != FAN_OUT || fan_outs % 3 != 0, ..WELL }
    });
    pipeline.run_until_quiet().await;
    let at_once = pipeline
        .calls_of(FAN_OUT)
        .iter()
        .filter(|call| call.at_ms == pipeline.calls[0].at_ms)
        .count();
    assert!(at_once > 1, "the batches are parallel");
    pipeline.stack.assert_exact_after(writers.iter().map(|(stream, _)| stream), "").await;
}
