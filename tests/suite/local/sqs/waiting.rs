//! Long polls: what ends them, and when.

use std::time::{Duration, Instant};

use aws_sdk_sqs::types::QueueAttributeName;

use super::{EngineKind, QueueEngine, bodies, code};

cases!(
    a_long_poll_is_woken_by_a_message,
    a_long_poll_is_woken_when_a_timeout_or_a_delay_ends,
    a_long_poll_is_woken_when_a_group_is_free_again,
    a_long_poll_of_an_empty_queue_ends_empty,
    the_queues_own_waiting_time_holds_without_another,
    waiting_times_and_counts_out_of_range_are_refused,
    several_long_polls_share_what_comes,
);

/// Far less than the 20 s of the polls.
const SOON: Duration = Duration::from_secs(8);

async fn a_long_poll_is_woken_by_a_message(engine: &QueueEngine) {
    for url in [engine.queue().await, engine.fifo().await] {
        let began = Instant::now();
        let waits = engine.receive_waiting(&url, 10, 20);
        let sends = engine.send_to_group(&url, "g", "a");
        let (received, ()) = tokio::join!(waits, sends);
        assert_eq!(bodies(&received), ["a"]);
        assert!(began.elapsed() < SOON);
    }
}

async fn a_long_poll_is_woken_when_a_timeout_or_a_delay_ends(engine: &QueueEngine) {
    let url = engine.queue_with(&[(QueueAttributeName::VisibilityTimeout, "1")]).await;
    let began = Instant::now();
    engine.send(&url, "timeout").await;
    engine.receive(&url, 1).await;
    let back = engine.receive_waiting(&url, 1, 20).await;
    engine.delete(&url, &back[0]).await;
    let request =
        engine.client.send_message().queue_url(&url).message_body("delay").delay_seconds(1);
    request.send().await.unwrap();
    assert_eq!(bodies(&engine.receive_waiting(&url, 1, 20).await), ["delay"]);
    assert!(began.elapsed() < SOON);
}

async fn a_long_poll_is_woken_when_a_group_is_free_again(engine: &QueueEngine) {
    let url = engine.fifo().await;
    let began = Instant::now();
    engine.send_to_group(&url, "g", "1").await;
    engine.send_to_group(&url, "g", "2").await;
    let first = engine.receive(&url, 1).await;
    let (second, ()) =
        tokio::join!(engine.receive_waiting(&url, 1, 20), engine.delete(&url, &first[0]));
    assert_eq!(bodies(&second), ["2"]);
    let (again, ()) =
        tokio::join!(engine.receive_waiting(&url, 1, 20), engine.hide(&url, &second[0], 1));
    assert_eq!(bodies(&again), ["2"]);
    assert!(began.elapsed() < SOON);
}

async fn a_long_poll_of_an_empty_queue_ends_empty(engine: &QueueEngine) {
    let url = engine.queue().await;
    let began = Instant::now();
    assert!(engine.receive_waiting(&url, 1, 1).await.is_empty());
    assert!(began.elapsed() >= Duration::from_millis(900) && began.elapsed() < SOON);
}

async fn the_queues_own_waiting_time_holds_without_another(engine: &QueueEngine) {
    let url = engine.queue_with(&[(QueueAttributeName::ReceiveMessageWaitTimeSeconds, "1")]).await;
    let began = Instant::now();
    let received = engine.client.receive_message().queue_url(&url).send().await.unwrap();
    assert!(received.messages().is_empty());
    assert!(began.elapsed() >= Duration::from_millis(900));
    engine.set(&url, QueueAttributeName::ReceiveMessageWaitTimeSeconds, "20").await;
    let began = Instant::now();
    assert!(engine.receive(&url, 1).await.is_empty());
    assert!(began.elapsed() < SOON, "a wait time of 0 in the request overrides the queue's");
}

async fn waiting_times_and_counts_out_of_range_are_refused(engine: &QueueEngine) {
    let url = engine.queue().await;
    let receive = || engine.client.receive_message().queue_url(&url);
    for most in [0, 11] {
        assert_eq!(
            code(receive().max_number_of_messages(most).send().await),
            "InvalidParameterValue"
        );
    }
    for (request, what) in [
        (receive().wait_time_seconds(21), "wait"),
        (receive().wait_time_seconds(-1), "wait"),
        (receive().visibility_timeout(43_201), "visibility"),
    ] {
        if engine.kind == EngineKind::Ministack && what == "wait" {
            // It accepts 21 seconds and would wait.
            engine.send(&url, "so that it does not").await;
            assert!(request.send().await.is_ok());
        } else if engine.kind == EngineKind::Ministack {
            assert!(request.send().await.is_ok(), "ministack accepts any {what}");
        } else {
            assert_eq!(code(request.send().await), "InvalidParameterValue", "{what}");
        }
    }
}

async fn several_long_polls_share_what_comes(engine: &QueueEngine) {
    let url = engine.queue().await;
    let began = Instant::now();
    let one = || engine.receive_waiting(&url, 1, 20);
    let sends = async {
        for body in ["1", "2", "3"] {
            engine.send(&url, body).await;
        }
    };
    let (a, b, c, ()) = tokio::join!(one(), one(), one(), sends);
    let mut all = [bodies(&a), bodies(&b), bodies(&c)].concat();
    all.sort_unstable();
    assert_eq!(all, ["1", "2", "3"]);
    assert!(began.elapsed() < SOON);
}
