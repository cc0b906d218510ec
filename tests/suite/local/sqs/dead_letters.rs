//! Dead letters: messages that were received too often.

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};

use super::{EngineKind, QueueEngine, bodies, code};

cases!(
    the_third_receive_moves_a_message_that_may_be_received_twice,
    the_count_may_be_given_as_text,
    a_deleted_message_is_not_moved,
    a_fifo_queue_moves_to_a_fifo_queue_and_continues_the_group,
    the_dead_letter_queue_must_exist_and_be_of_the_same_kind,
    a_dead_letter_queue_may_refuse_sources,
    the_sources_of_a_dead_letter_queue_are_listed,
);

async fn receive_and_show_again(engine: &QueueEngine, url: &str) -> Vec<Message> {
    let received = engine.receive(url, 10).await;
    for message in received.iter().rev() {
        engine.hide(url, message, 0).await;
    }
    received
}

fn system(message: &Message, name: MessageSystemAttributeName) -> &str {
    &message.attributes().unwrap()[&name]
}

async fn the_third_receive_moves_a_message_that_may_be_received_twice(engine: &QueueEngine) {
    let dead = engine.queue().await;
    let policy = engine.redrive_to(&dead, 2).await;
    let url = engine.queue_with(&[(QueueAttributeName::RedrivePolicy, &policy)]).await;
    let id = engine.send(&url, "poison").await;
    for count in ["1", "2"] {
        let received = receive_and_show_again(engine, &url).await;
        assert_eq!(
            system(&received[0], MessageSystemAttributeName::ApproximateReceiveCount),
            count
        );
        assert!(engine.receive(&dead, 10).await.is_empty());
    }
    assert!(engine.receive(&url, 10).await.is_empty());
    let moved = engine.await_messages(&dead, 1).await.remove(0);
    assert_eq!((moved.body(), moved.message_id()), (Some("poison"), Some(id.as_str())));
    let source = engine.arn(&url).await;
    assert_eq!(system(&moved, MessageSystemAttributeName::DeadLetterQueueSourceArn), source);
    let count = system(&moved, MessageSystemAttributeName::ApproximateReceiveCount);
    assert_eq!(count, "3", "receives count across queues");
    engine.delete(&dead, &moved).await;
}

async fn the_count_may_be_given_as_text(engine: &QueueEngine) {
    let dead = engine.queue().await;
    let policy =
        format!(r#"{{"deadLetterTargetArn":"{}","maxReceiveCount":"1"}}"#, engine.arn(&dead).await);
    let url = engine.queue_with(&[(QueueAttributeName::RedrivePolicy, &policy)]).await;
    engine.send(&url, "poison").await;
    assert_eq!(receive_and_show_again(engine, &url).await.len(), 1);
    assert!(engine.receive(&url, 10).await.is_empty());
    assert_eq!(engine.await_messages(&dead, 1).await.len(), 1);
}

async fn a_deleted_message_is_not_moved(engine: &QueueEngine) {
    let dead = engine.queue().await;
    let policy = engine.redrive_to(&dead, 1).await;
    let url = engine.queue_with(&[(QueueAttributeName::RedrivePolicy, &policy)]).await;
    engine.send(&url, "fine").await;
    let received = engine.receive(&url, 10).await;
    engine.delete(&url, &received[0]).await;
    assert!(engine.receive(&url, 10).await.is_empty());
    assert!(engine.receive(&dead, 10).await.is_empty());
}

async fn a_fifo_queue_moves_to_a_fifo_queue_and_continues_the_group(engine: &QueueEngine) {
    let dead = engine.fifo().await;
    let policy = engine.redrive_to(&dead, 1).await;
    let url = engine
        .fifo_with(&[
            (QueueAttributeName::ContentBasedDeduplication, "true"),
            (QueueAttributeName::RedrivePolicy, &policy),
        ])
        .await;
    for body in ["1", "2", "3"] {
        engine.send_to_group(&url, "g", body).await;
    }
    let received = engine.receive(&url, 2).await;
    assert_eq!(bodies(&received), ["1", "2"]);
    for message in received.iter().rev() {
        engine.hide(&url, message, 0).await;
    }
    assert_eq!(bodies(&engine.await_messages(&url, 1).await), ["3"]);
    let moved = engine.await_messages(&dead, 2).await;
    assert_eq!(bodies(&moved), ["1", "2"]);
    assert!(
        moved
            .iter()
            .all(|message| system(message, MessageSystemAttributeName::MessageGroupId) == "g")
    );
}

async fn the_dead_letter_queue_must_exist_and_be_of_the_same_kind(engine: &QueueEngine) {
    let url = engine.queue().await;
    let fifo = engine.redrive_to(&engine.fifo().await, 2).await;
    let absent = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:absent","maxReceiveCount":2}"#;
    let never = engine.redrive_to(&engine.queue().await, 0).await;
    for policy in [fifo.as_str(), absent, never.as_str(), "{}", "not json"] {
        let request = engine.client.set_queue_attributes().queue_url(&url);
        let set = request.attributes(QueueAttributeName::RedrivePolicy, policy).send().await;
        if engine.kind == EngineKind::Ministack && policy == fifo {
            assert!(set.is_ok(), "ministack does not compare the kinds");
        } else {
            assert!(code(set).starts_with("Invalid"), "{policy}");
        }
    }
}

async fn a_dead_letter_queue_may_refuse_sources(engine: &QueueEngine) {
    let (dead, friend, other) = (engine.queue().await, engine.queue().await, engine.queue().await);
    let arns = format!(
        r#"{{"redrivePermission":"byQueue","sourceQueueArns":["{}"]}}"#,
        engine.arn(&friend).await
    );
    engine.set(&dead, QueueAttributeName::RedriveAllowPolicy, &arns).await;
    let policy = engine.redrive_to(&dead, 2).await;
    engine.set(&friend, QueueAttributeName::RedrivePolicy, &policy).await;
    let request = engine.client.set_queue_attributes().queue_url(&other);
    let set = request.attributes(QueueAttributeName::RedrivePolicy, &policy).send().await;
    match engine.kind {
        EngineKind::Ministack => assert!(set.is_ok(), "ministack allows every source"),
        EngineKind::Embedded | EngineKind::Other => assert!(set.is_err()),
    }
}

async fn the_sources_of_a_dead_letter_queue_are_listed(engine: &QueueEngine) {
    let dead = engine.queue().await;
    let policy = engine.redrive_to(&dead, 2).await;
    let url = engine.queue_with(&[(QueueAttributeName::RedrivePolicy, &policy)]).await;
    let sources = engine.client.list_dead_letter_source_queues().queue_url(&dead).send().await;
    match engine.kind {
        EngineKind::Ministack => {
            assert_eq!(code(sources), "InvalidAction", "ministack lacks the operation")
        }
        EngineKind::Embedded | EngineKind::Other => {
            assert_eq!(sources.unwrap().queue_urls(), [url])
        }
    }
}
