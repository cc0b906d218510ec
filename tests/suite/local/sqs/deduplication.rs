//! Deduplication within five minutes.

use aws_sdk_sqs::operation::send_message::SendMessageOutput;
use aws_sdk_sqs::types::QueueAttributeName;

use super::{QueueEngine, bodies, sorted_bodies};

cases!(
    a_message_sent_twice_is_one,
    a_duplicate_is_recognised_after_the_first_was_deleted,
    content_is_compared_where_the_queue_says_so,
    a_given_id_goes_before_the_content,
    duplicates_are_looked_for_in_the_whole_queue,
    or_in_the_group_only_where_the_queue_says_so,
    a_duplicate_within_a_batch_is_one,
);

async fn send(
    engine: &QueueEngine,
    url: &str,
    group: &str,
    id: Option<&str>,
    body: &str,
) -> SendMessageOutput {
    let request =
        engine.client.send_message().queue_url(url).message_group_id(group).message_body(body);
    request.set_message_deduplication_id(id.map(str::to_owned)).send().await.unwrap()
}

async fn a_message_sent_twice_is_one(engine: &QueueEngine) {
    let url = engine.fifo_with(&[]).await;
    let first = send(engine, &url, "g", Some("d"), "first").await;
    let second = send(engine, &url, "g", Some("d"), "second").await;
    assert_eq!(second.message_id(), first.message_id());
    assert_eq!(second.sequence_number(), first.sequence_number());
    assert_eq!(bodies(&engine.receive(&url, 10).await), ["first"]);
}

async fn a_duplicate_is_recognised_after_the_first_was_deleted(engine: &QueueEngine) {
    let url = engine.fifo_with(&[]).await;
    let first = send(engine, &url, "g", Some("d"), "a").await;
    let received = engine.receive(&url, 10).await;
    engine.delete(&url, &received[0]).await;
    assert_eq!(send(engine, &url, "g", Some("d"), "a").await.message_id(), first.message_id());
    assert!(engine.receive(&url, 10).await.is_empty());
}

async fn content_is_compared_where_the_queue_says_so(engine: &QueueEngine) {
    let url = engine.fifo().await;
    let first = send(engine, &url, "g", None, "same").await;
    assert_eq!(send(engine, &url, "g", None, "same").await.message_id(), first.message_id());
    assert_ne!(send(engine, &url, "g", None, "other").await.message_id(), first.message_id());
    assert_eq!(bodies(&engine.receive(&url, 10).await), ["same", "other"]);
}

async fn a_given_id_goes_before_the_content(engine: &QueueEngine) {
    let url = engine.fifo().await;
    send(engine, &url, "g", Some("1"), "same").await;
    send(engine, &url, "g", Some("2"), "same").await;
    assert_eq!(engine.receive(&url, 10).await.len(), 2);
}

async fn duplicates_are_looked_for_in_the_whole_queue(engine: &QueueEngine) {
    let url = engine.fifo_with(&[]).await;
    send(engine, &url, "g", Some("d"), "a").await;
    send(engine, &url, "h", Some("d"), "b").await;
    assert_eq!(bodies(&engine.receive(&url, 10).await), ["a"]);
}

async fn or_in_the_group_only_where_the_queue_says_so(engine: &QueueEngine) {
    let url = engine
        .fifo_with(&[
            (QueueAttributeName::DeduplicationScope, "messageGroup"),
            (QueueAttributeName::FifoThroughputLimit, "perMessageGroupId"),
        ])
        .await;
    for (group, body) in [("g", "a"), ("h", "b"), ("g", "again")] {
        send(engine, &url, group, Some("d"), body).await;
    }
    assert_eq!(sorted_bodies(&engine.await_messages(&url, 2).await), ["a", "b"]);
}

async fn a_duplicate_within_a_batch_is_one(engine: &QueueEngine) {
    let url = engine.fifo().await;
    let entry = |id: &str| {
        let entry = aws_sdk_sqs::types::SendMessageBatchRequestEntry::builder()
            .id(id)
            .message_group_id("g");
        entry.message_body("same").build().unwrap()
    };
    let sent =
        engine.client.send_message_batch().queue_url(&url).entries(entry("1")).entries(entry("2"));
    let sent = sent.send().await.unwrap();
    assert_eq!(sent.successful()[0].message_id(), sent.successful()[1].message_id());
    assert_eq!(engine.receive(&url, 10).await.len(), 1);
}
