//! A queue mapping deletes only the messages that its handler has handled.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_lambda_events::event::sqs::SqsBatchResponse;
use aws_sdk_sqs::types::QueueAttributeName;
use handlers::delivery::QueueMapping;
use serde_json::json;
use tokio::sync::{Barrier, Notify};

use super::event_table::Failure;
use super::local_queues::{LocalQueues, all_done, bodies, failed, mapping};
use super::{Seen, ends};

#[tokio::test]
async fn messages_come_in_order_and_are_deleted() {
    let world = LocalQueues::new().await;
    let queue = world.queue("orders", &[]).await;
    world.send(&queue, "order-1", &["1", "2", "3"]).await;
    let seen = Seen::nothing();
    let writer = seen.clone();
    let running = world.run(mapping(&queue), move |event| {
        let message = &event.records[0];
        assert_eq!(message.event_source.as_deref(), Some("aws:sqs"));
        assert_eq!(message.aws_region.as_deref(), Some("us-east-1"));
        assert!(message.event_source_arn.as_ref().is_some_and(|arn| arn.ends_with("orders.fifo")));
        assert_eq!(message.attributes["MessageGroupId"], "order-1");
        assert_eq!(message.attributes["ApproximateReceiveCount"], "1");
        bodies(&event).into_iter().for_each(|body| {
            writer.add(body);
        });
        async { all_done() }
    });
    seen.at_least(3).await;
    world.send(&queue, "order-1", &["4", "5"]).await;
    assert_eq!(seen.at_least(5).await, ["1", "2", "3", "4", "5"]);
    world.holds(&queue, 0).await;
    running.stop().await;
}

#[tokio::test]
async fn only_failed_messages_come_again() {
    let world = LocalQueues::new().await;
    let queue = world.queue("orders", &[]).await;
    world.send(&queue, "order-1", &["1", "2", "3"]).await;
    let seen = Seen::nothing();
    let writer = seen.clone();
    let running = world.run(mapping(&queue), move |event| {
        let batch = writer.add(bodies(&event));
        async move { if batch == 1 { failed(&event, &["2", "3"]) } else { all_done() } }
    });
    assert_eq!(seen.at_least(2).await, [vec!["1", "2", "3"], vec!["2", "3"]]);
    world.holds(&queue, 0).await;
    running.stop().await;
}

#[tokio::test]
async fn without_a_retry_pause_failures_wait_for_their_visibility() {
    let world = LocalQueues::new().await;
    let queue =
        world.queue("orders", &[(QueueAttributeName::VisibilityTimeout, "2".to_owned())]).await;
    world.send(&queue, "order-1", &["1"]).await;
    let seen = Seen::nothing();
    let writer = seen.clone();
    let running = world.run(QueueMapping::new(&queue), move |_| {
        let try_number = writer.add(tokio::time::Instant::now());
        async move { if try_number == 1 { Err("down".into()) } else { all_done() } }
    });
    let times = seen.at_least(2).await;
    assert!(times[1] - times[0] > Duration::from_millis(1_500), "{:?}", times[1] - times[0]);
    world.holds(&queue, 0).await;
    running.stop().await;
}

/// Runs a handler whose first call gives that answer; the whole batch must be redelivered.
async fn whole_batch_comes_again(first: fn() -> Result<SqsBatchResponse, Failure>) {
    let world = LocalQueues::new().await;
    let queue = world.queue("orders", &[]).await;
    world.send(&queue, "order-1", &["1", "2"]).await;
    let seen = Seen::nothing();
    let writer = seen.clone();
    let running = world.run(mapping(&queue), move |event| {
        let batch = writer.add(bodies(&event));
        async move { if batch == 1 { first() } else { all_done() } }
    });
    assert_eq!(seen.at_least(2).await, [["1", "2"], ["1", "2"]]);
    world.holds(&queue, 0).await;
    running.stop().await;
}

#[tokio::test]
async fn a_handler_error_fails_the_whole_batch() {
    whole_batch_comes_again(|| Err("the store is down".into())).await;
}

#[tokio::test]
async fn a_panic_fails_the_whole_batch() {
    whole_batch_comes_again(|| panic!("on purpose")).await;
}

#[tokio::test]
async fn an_unknown_failure_fails_the_whole_batch() {
    whole_batch_comes_again(|| {
        let mut response = SqsBatchResponse::default();
        response.add_failure("never-sent");
        Ok(response)
    })
    .await;
}

#[tokio::test]
async fn a_handler_that_never_answers_fails_the_whole_batch() {
    let world = LocalQueues::new().await;
    let queue = world.queue("orders", &[]).await;
    world.send(&queue, "order-1", &["1"]).await;
    let seen = Seen::nothing();
    let writer = seen.clone();
    let running = world.run(
        QueueMapping { timeout: Duration::from_millis(50), ..mapping(&queue) },
        move |_| {
            let try_number = writer.add(());
            async move {
                if try_number == 1 {
                    std::future::pending::<()>().await;
                }
                all_done()
            }
        },
    );
    seen.at_least(2).await;
    world.holds(&queue, 0).await;
    running.stop().await;
}

#[tokio::test]
async fn a_message_that_always_fails_becomes_a_dead_letter_alone() {
    let world = LocalQueues::new().await;
    let dead = world.queue("dead", &[]).await;
    let arn = world
        .sqs
        .get_queue_attributes()
        .queue_url(&dead)
        .attribute_names(QueueAttributeName::QueueArn);
    let arn = arn.send().await.unwrap().attributes.unwrap()[&QueueAttributeName::QueueArn].clone();
    let redrive = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 3 }).to_string();
    let queue = world.queue("orders", &[(QueueAttributeName::RedrivePolicy, redrive)]).await;
    world.send(&queue, "order-1", &["poison"]).await;
    world.send(&queue, "order-2", &["sound"]).await;
    let seen = Seen::nothing();
    let writer = seen.clone();
    let running = world.run(mapping(&queue), move |event| {
        bodies(&event).into_iter().for_each(|body| {
            writer.add(body);
        });
        async move { failed(&event, &["poison"]) }
    });
    world.holds(&dead, 1).await;
    world.holds(&queue, 0).await;
    running.stop().await;
    let count = |body: &str| seen.list().iter().filter(|seen| *seen == body).count();
    assert_eq!((count("poison"), count("sound")), (3, 1));
}

#[tokio::test]
async fn a_stop_finishes_and_deletes_the_batch_in_flight() {
    let world = LocalQueues::new().await;
    let queue = world.queue("orders", &[]).await;
    world.send(&queue, "order-1", &["1"]).await;
    let (begun, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let running = world.run(mapping(&queue), {
        let (begun, release) = (begun.clone(), release.clone());
        move |_| {
            let (begun, release) = (begun.clone(), release.clone());
            async move {
                begun.notify_one();
                release.notified().await;
                all_done()
            }
        }
    });
    ends("batch begins", begun.notified()).await;
    running.ask_to_stop();
    assert!(!running.task.is_finished());
    release.notify_one();
    running.stop().await;
    world.holds(&queue, 0).await;
}

#[tokio::test]
async fn no_more_batches_than_allowed_are_handled_at_the_same_time() {
    let world = LocalQueues::new().await;
    let queue = world.queue("orders", &[]).await;
    let (now, most, seen) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Seen::nothing());
    for group in ["a", "b", "c", "d", "e", "f"] {
        world.send(&queue, group, &[group]).await;
    }
    let running = world.run(QueueMapping { concurrency: 2, batch_size: 1, ..mapping(&queue) }, {
        let (now, most, seen, both) =
            (now.clone(), most.clone(), seen.clone(), Arc::new(Barrier::new(2)));
        move |event| {
            let (now, most, seen, both) = (now.clone(), most.clone(), seen.clone(), both.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                both.wait().await;
                // Long enough for a third batch to be received meanwhile.
                tokio::time::sleep(Duration::from_millis(50)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                seen.add(bodies(&event));
                all_done()
            }
        }
    });
    seen.at_least(6).await;
    world.holds(&queue, 0).await;
    running.stop().await;
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_queue_that_is_not_there_yet_is_waited_for() {
    let world = LocalQueues::new().await;
    let url = world.queue("orders", &[]).await;
    let missing = url.replace("orders", "later");
    let seen = Seen::nothing();
    let writer = seen.clone();
    let running = world.run(mapping(&missing), move |event| {
        writer.add(bodies(&event));
        async { all_done() }
    });
    let queue = world.queue("later", &[]).await;
    assert_eq!(queue, missing);
    world.send(&queue, "order-1", &["1"]).await;
    assert_eq!(seen.at_least(1).await, [["1"]]);
    running.stop().await;
}
