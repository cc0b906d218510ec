//! What is left after a kill.

use aws_sdk_sqs::types::QueueAttributeName;

use super::{Engine, EngineKind, bodies};

cases!(nothing_acknowledged_is_lost_when_the_process_is_killed);

async fn nothing_acknowledged_is_lost_when_the_process_is_killed(engine: &Engine) {
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
        assert_ne!(engine.kind, EngineKind::Embedded, "only an engine in this process can be killed by its files");
        return;
    };
    engine_goes_on(&restarted, &url).await;
    restarted.stop().await;
}

/// The restarted engine listens elsewhere; the old URL still names the queue.
async fn engine_goes_on(restarted: &Engine, url: &str) {
    assert!(restarted.receive(url, 10).await.is_empty(), "the group is still blocked");
    assert_eq!(bodies(&restarted.await_messages(url, 2).await), ["in flight", "waiting"]);
    restarted.send_to_group(url, "g", "waiting").await;
    let count = restarted.attribute(url, QueueAttributeName::ApproximateNumberOfMessagesNotVisible).await;
    assert_eq!(count.as_deref(), Some("2"));
    let count = restarted.attribute(url, QueueAttributeName::ApproximateNumberOfMessages).await;
    assert_eq!(count.as_deref(), Some("0"), "the duplicate is still known");
}
