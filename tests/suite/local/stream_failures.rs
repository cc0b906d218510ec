//! A stream mapping with a failing batch.

use std::time::Duration;

use aws_lambda_events::event::dynamodb::Event;
use aws_lambda_events::event::streams::DynamoDbEventResponse;
use ledgerfold::local::event_source::mapping::StreamMapping;

use super::Seen;
use super::event_table::{EventTable, Failure, all_done, failed, numbers, response};

/// Runs a handler that gives that answer to the batch with that number (from 1). Items 0 to 5 exist
/// already; items 6 and 7 come later. Returns the batches until items 6 and 7.
async fn batches(
    answer: impl Fn(usize, &Event) -> Result<DynamoDbEventResponse, Failure>
    + Clone
    + Send
    + Sync
    + 'static,
) -> Vec<Vec<usize>> {
    let world = EventTable::new().await;
    world.put(0..6).await;
    let seen = Seen::nothing();
    let writer = seen.clone();
    let mapping = StreamMapping { first_retry: Duration::from_millis(5), ..world.mapping() };
    let mapping = StreamMapping { timeout: Duration::from_millis(300), ..mapping };
    let mapping = world.run(mapping, move |event| {
        let number = writer.add(numbers(&event));
        let answer = answer.clone();
        async move { answer(number, &event) }
    });
    seen.at_least(3).await;
    world.put(6..8).await;
    seen.until(|seen| seen.concat().contains(&7)).await;
    mapping.stop().await;
    seen.all()
}

fn check(batches: &[Vec<usize>], expected_first: &[&[usize]]) {
    assert_eq!(batches[..expected_first.len()], *expected_first);
    assert_eq!(
        batches[expected_first.len()..].concat(),
        [6, 7],
        "nothing overtakes, nothing comes again"
    );
}

#[tokio::test]
async fn a_failed_record_is_tried_again_with_those_after_it() {
    let batches =
        batches(|batch, event| if batch < 3 { failed(event, &[4, 2]) } else { all_done() }).await;
    check(&batches, &[&[0, 1, 2, 3, 4, 5], &[2, 3, 4, 5], &[2, 3, 4, 5]]);
}

#[tokio::test]
async fn a_handler_error_repeats_the_whole_batch() {
    let batches =
        batches(|batch, _| if batch < 3 { Err("the queue is down".into()) } else { all_done() })
            .await;
    check(&batches, &[&[0, 1, 2, 3, 4, 5][..]; 3]);
}

#[tokio::test]
async fn a_panic_repeats_the_whole_batch() {
    let batches =
        batches(|batch, _| if batch < 3 { panic!("on purpose") } else { all_done() }).await;
    check(&batches, &[&[0, 1, 2, 3, 4, 5][..]; 3]);
}

#[tokio::test]
async fn an_unknown_failure_repeats_the_whole_batch() {
    let batches = batches(move |batch, _| match batch {
        1 => Ok(response(["999999999999999999999".to_owned()])),
        2 => Ok(response([String::new()])),
        _ => all_done(),
    })
    .await;
    check(&batches, &[&[0, 1, 2, 3, 4, 5][..]; 3]);
}

#[tokio::test]
async fn a_handler_that_never_answers_is_a_failed_batch() {
    let world = EventTable::new().await;
    world.put(0..3).await;
    let seen = Seen::nothing();
    let writer = seen.clone();
    let mapping = world.run(
        StreamMapping { timeout: Duration::from_millis(50), ..world.mapping() },
        move |event| {
            let batch = writer.add(numbers(&event));
            async move {
                if batch == 1 {
                    std::future::pending::<()>().await;
                }
                all_done()
            }
        },
    );
    assert_eq!(seen.at_least(2).await, [[0, 1, 2], [0, 1, 2]]);
    mapping.stop().await;
}

#[tokio::test]
async fn a_failing_batch_does_not_hold_a_stop_up() {
    let world = EventTable::new().await;
    world.put(0..3).await;
    let seen = Seen::nothing();
    let writer = seen.clone();
    let endless = Duration::from_secs(3_600);
    let mapping = StreamMapping { first_retry: endless, last_retry: endless, ..world.mapping() };
    let mapping = world.run(mapping, move |event| {
        writer.add(numbers(&event));
        async { Err("always".into()) }
    });
    seen.at_least(1).await;
    mapping.stop().await;
    assert_eq!(seen.all(), [[0, 1, 2]]);
}

#[tokio::test]
async fn a_restart_after_a_failure_begins_at_the_failed_record() {
    let world = EventTable::new().await;
    world.put(0..6).await;
    let endless = Duration::from_secs(3_600);
    // First no item is handled, then all before item 2.
    for (first_failed, expected) in
        [(0, vec![0, 1, 2, 3, 4, 5]), (2, vec![0, 1, 2, 3, 4, 5]), (5, vec![2, 3, 4, 5])]
    {
        let seen = Seen::nothing();
        let writer = seen.clone();
        let mapping =
            StreamMapping { first_retry: endless, last_retry: endless, ..world.mapping() };
        let mapping = world.run(mapping, move |event| {
            writer.add(numbers(&event));
            async move {
                if first_failed == 0 { Err("down".into()) } else { failed(&event, &[first_failed]) }
            }
        });
        seen.at_least(1).await;
        mapping.stop().await;
        assert_eq!(seen.all(), [expected]);
    }
}
