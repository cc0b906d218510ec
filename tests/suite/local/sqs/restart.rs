//! The state after a kill.

use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use loopback_sqs::Config;

use super::{EngineKind, QueueEngine, bodies, sorted_bodies};

cases!(
    nothing_acknowledged_is_lost_when_the_process_is_killed,
    after_a_kill_messages_in_flight_are_visible_if_configured,
);

async fn nothing_acknowledged_is_lost_when_the_process_is_killed(engine: &QueueEngine) {
    let url = engine
        .fifo_with(&[
            (QueueAttributeName::ContentBasedDeduplication, "true"),
            (QueueAttributeName::VisibilityTimeout, "4"),
        ])
        .await;
    for body in ["deleted", "in flight", "waiting"] {
        engine.send_to_group(&url, "g", body).await;
    }
    let held = engine.receive(&url, 2).await;
    assert_eq!(bodies(&held), ["deleted", "in flight"]);
    engine.delete(&url, &held[0]).await;
    let Some(restarted) = engine.as_if_killed().await else {
        assert_ne!(
            engine.kind,
            EngineKind::Embedded,
            "only the embedded engine can be restarted on copied files"
        );
        return;
    };
    engine_goes_on(&restarted, &url).await;
    restarted.stop().await;
}

/// The restarted engine has another port; the old URL still names the queue.
async fn engine_goes_on(restarted: &QueueEngine, url: &str) {
    assert!(restarted.receive(url, 10).await.is_empty(), "the group is still blocked");
    assert_eq!(bodies(&restarted.await_messages(url, 2).await), ["in flight", "waiting"]);
    restarted.send_to_group(url, "g", "waiting").await;
    let count =
        restarted.attribute(url, QueueAttributeName::ApproximateNumberOfMessagesNotVisible).await;
    assert_eq!(count.as_deref(), Some("2"));
    let count = restarted.attribute(url, QueueAttributeName::ApproximateNumberOfMessages).await;
    assert_eq!(count.as_deref(), Some("0"), "the duplicate is still known");
}

/// AWS has no such setting, so only the embedded engine is tested.
async fn after_a_kill_messages_in_flight_are_visible_if_configured(engine: &QueueEngine) {
    let minutes = (QueueAttributeName::VisibilityTimeout, "600");
    let (standard, fifo) = (
        engine.queue_with(std::slice::from_ref(&minutes)).await,
        engine
            .fifo_with(&[(QueueAttributeName::ContentBasedDeduplication, "true"), minutes.clone()])
            .await,
    );
    for body in ["a", "b"] {
        engine.send(&standard, body).await;
        engine.send_to_group(&fifo, "g", body).await;
    }
    for url in [&standard, &fifo] {
        assert_eq!(sorted_bodies(&engine.receive(url, 10).await), ["a", "b"]);
    }
    let Some(patient) = engine.as_if_killed().await else {
        assert_ne!(
            engine.kind,
            EngineKind::Embedded,
            "only the embedded engine can be restarted on copied files"
        );
        return;
    };
    for url in [&standard, &fifo] {
        assert!(
            patient.receive(url, 10).await.is_empty(),
            "by default they stay hidden, as on AWS"
        );
    }
    patient.stop().await;
    let released = engine
        .as_if_killed_with(Config { release_on_open: true, ..Config::default() })
        .await
        .unwrap();
    for url in [&standard, &fifo] {
        let messages = released.receive(url, 10).await;
        assert_eq!(sorted_bodies(&messages), ["a", "b"]);
        for message in &messages {
            let receives = &message.attributes().unwrap()
                [&MessageSystemAttributeName::ApproximateReceiveCount];
            assert_eq!(receives, "2", "a receive counts although the receiver died");
        }
    }
    released.stop().await;
}
