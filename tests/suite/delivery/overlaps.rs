//! Concurrent functions of one queue: on the same messages after a visibility timeout, or on many
//! groups.

use crate::harness::events::{confirmed, new_order, placed, shipped, write};
use crate::harness::faults::FaultInjector;
use crate::harness::pipeline::policy::{FifoPolicy, StreamPolicy};
use crate::harness::pipeline::{Function, Outcome, Pipeline};
use aws_lambda_events::event::sqs::SqsEvent;
use bookshop::{bestsellers, orders};
use eventstore::StreamId;
use futures::future::join_all;
use handlers::ProjectorHandler;
use projections::Projection;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// More requests than any function sends for one batch.
const MAX_REQUESTS: usize = 30;

fn function(pipeline: &Pipeline, projection: Projection, wire: &FaultInjector) -> Function {
    let projector = pipeline.stack.projector_over(wire);
    Function::Projector(ProjectorHandler::new(projection, projector))
}

/// The first function stops before its n-th request. The second function handles the same messages
/// completely. Then the first one continues. Returns whether it had requests left.
async fn handle_twice(
    pipeline: &Pipeline,
    projection: Projection,
    event: &SqsEvent,
    stops_before: usize,
) -> bool {
    let (wire, other) = (FaultInjector::default(), FaultInjector::default());
    let (slow, quick) =
        (function(pipeline, projection, &wire), function(pipeline, projection, &other));
    let mut first = pin!(slow.call(event.clone()));
    let stopped = poll_fn(|context| match first.as_mut().poll(context) {
        Poll::Ready(response) => Poll::Ready(Some(response)),
        Poll::Pending if wire.requests() >= stops_before => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    let was_through = stopped.await.is_some();
    assert!(quick.call(event.clone()).await.batch_item_failures.is_empty());
    if !was_through {
        assert!(
            first.await.batch_item_failures.is_empty(),
            "the late function finds the work done"
        );
    }
    !was_through
}

#[tokio::test]
async fn two_functions_on_the_same_messages_apply_them_once() {
    let mut pipeline = Pipeline::start().await;
    let mut streams: Vec<StreamId> = Vec::new();
    for projection in [orders(), bestsellers()] {
        let mut hung = 0;
        for stops_before in 1..MAX_REQUESTS {
            let order = new_order();
            write(&pipeline.stack.store, &order, &[&placed("c", [(1, 2), (2, 1)]), &confirmed()])
                .await;
            streams.push(order);
            pipeline.announce().await;
            let clock = pipeline.clock.clone();
            let source = &mut pipeline.consumer(projection.name).source;
            let batch = source.next_batch(&clock).await.expect("the order is announced");
            let event = batch.event.clone();
            source.answer(batch, &Outcome::Failed).await;
            let it_hung = handle_twice(&pipeline, projection, &event, stops_before).await;
            pipeline.run_until_quiet().await;
            pipeline
                .stack
                .assert_exact_after(&streams, &format!("{} {stops_before}", projection.name))
                .await;
            hung += usize::from(it_hung);
            if !it_hung {
                break;
            }
        }
        assert!(
            (2..MAX_REQUESTS - 1).contains(&hung),
            "{}: it hung at {hung} requests",
            projection.name
        );
    }
}

#[tokio::test]
async fn any_number_of_functions_at_once_makes_the_same_read_models() {
    for max_concurrency in 1..=4 {
        let change = |policy| FifoPolicy { batch_size: 2, max_concurrency, ..policy };
        let mut pipeline = Pipeline::under(StreamPolicy::of_fan_out(), change).await;
        let streams: Vec<StreamId> = (0..8).map(|_| new_order()).collect();
        for stream in &streams {
            write(
                &pipeline.stack.store,
                stream,
                &[&placed("c", [(1, 1), (2, 1)]), &confirmed(), &shipped()],
            )
            .await;
        }
        pipeline.announce().await;
        for projection in [orders(), bestsellers()] {
            assert_eq!(empty_at_once(&mut pipeline, projection.name).await, max_concurrency);
        }
        pipeline.stack.assert_exact_after(&streams, &format!("{max_concurrency} at once")).await;
    }
}

/// Handles the queue with as many parallel functions as allowed. Returns the highest number of
/// parallel functions.
async fn empty_at_once(pipeline: &mut Pipeline, consumer: &str) -> usize {
    let clock = pipeline.clock.clone();
    let consumer = pipeline.consumer(consumer);
    let mut at_once = 0;
    loop {
        let mut batches = Vec::new();
        while let Some(batch) = consumer.source.next_batch(&clock).await {
            batches.push(batch);
        }
        if batches.is_empty() {
            return at_once;
        }
        at_once = at_once.max(batches.len());
        let calls = batches.iter().map(|batch| consumer.function.call(batch.event.clone()));
        let responses = join_all(calls).await;
        for (batch, response) in batches.into_iter().zip(responses) {
            consumer.source.answer(batch, &Outcome::Answered(response)).await;
        }
    }
}
