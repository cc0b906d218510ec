//! FIFO queues: order within a group, and groups blocked while one of their messages is in flight.

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};

use super::{EngineKind, QueueEngine, bodies, code, handle};

cases!(
    messages_of_a_group_come_in_the_order_sent,
    a_group_is_blocked_while_one_of_its_messages_is_in_flight,
    a_group_is_blocked_until_no_message_is_in_flight,
    a_group_goes_on_with_the_first_undeleted_message,
    after_a_timeout_the_order_is_as_before,
    sequence_numbers_have_20_digits_and_grow,
    a_fifo_message_needs_a_group_and_a_deduplication_id,
    a_fifo_message_has_no_delay_of_its_own,
    an_expired_handle_deletes_nothing,
    a_repeated_receive_attempt_gets_the_same_messages,
);

async fn send_all(engine: &QueueEngine, url: &str, messages: &[(&str, &str)]) {
    for (group, body) in messages {
        engine.send_to_group(url, group, body).await;
    }
}

fn sequence(message: &Message) -> &str {
    &message.attributes().unwrap()[&MessageSystemAttributeName::SequenceNumber]
}

async fn messages_of_a_group_come_in_the_order_sent(engine: &QueueEngine) {
    let url = engine.fifo().await;
    send_all(engine, &url, &[("A", "a1"), ("B", "b1"), ("A", "a2"), ("B", "b2"), ("A", "a3")])
        .await;
    let received = engine.receive(&url, 10).await;
    let of = |group: char| {
        bodies(&received)
            .into_iter()
            .filter(|body| body.starts_with(group.to_ascii_lowercase()))
            .collect::<Vec<_>>()
    };
    assert_eq!(of('A'), ["a1", "a2", "a3"]);
    assert_eq!(of('B'), ["b1", "b2"]);
    assert!(engine.receive(&url, 10).await.is_empty());
}

async fn a_group_is_blocked_while_one_of_its_messages_is_in_flight(engine: &QueueEngine) {
    let url = engine.fifo().await;
    send_all(engine, &url, &[("A", "a1"), ("A", "a2"), ("A", "a3"), ("B", "b1"), ("B", "b2")])
        .await;
    let first = engine.receive(&url, 1).await;
    assert_eq!(bodies(&first), ["a1"]);
    assert_eq!(bodies(&engine.receive(&url, 10).await), ["b1", "b2"]);
    engine.delete(&url, &first[0]).await;
    assert_eq!(bodies(&engine.await_messages(&url, 2).await), ["a2", "a3"]);
}

async fn a_group_is_blocked_until_no_message_is_in_flight(engine: &QueueEngine) {
    let url = engine.fifo().await;
    send_all(engine, &url, &[("A", "a1"), ("A", "a2"), ("A", "a3"), ("A", "a4")]).await;
    let held = engine.receive(&url, 3).await;
    assert_eq!(bodies(&held), ["a1", "a2", "a3"]);
    engine.delete(&url, &held[0]).await;
    assert!(engine.receive(&url, 10).await.is_empty());
    engine.hide(&url, &held[1], 0).await;
    assert!(engine.receive(&url, 10).await.is_empty(), "a3 is still in flight");
    engine.delete(&url, &held[2]).await;
    assert_eq!(bodies(&engine.await_messages(&url, 2).await), ["a2", "a4"]);
}

async fn a_group_goes_on_with_the_first_undeleted_message(engine: &QueueEngine) {
    let url = engine.fifo().await;
    send_all(engine, &url, &[("A", "a1"), ("A", "a2"), ("A", "a3")]).await;
    let held = engine.receive(&url, 2).await;
    engine.delete(&url, &held[1]).await;
    engine.hide(&url, &held[0], 0).await;
    assert_eq!(bodies(&engine.await_messages(&url, 2).await), ["a1", "a3"]);
}

async fn after_a_timeout_the_order_is_as_before(engine: &QueueEngine) {
    let url = engine
        .fifo_with(&[
            (QueueAttributeName::ContentBasedDeduplication, "true"),
            (QueueAttributeName::VisibilityTimeout, "1"),
        ])
        .await;
    send_all(engine, &url, &[("A", "a1"), ("A", "a2"), ("A", "a3")]).await;
    assert_eq!(bodies(&engine.receive(&url, 10).await), ["a1", "a2", "a3"]);
    assert_eq!(bodies(&engine.await_messages(&url, 3).await), ["a1", "a2", "a3"]);
}

async fn sequence_numbers_have_20_digits_and_grow(engine: &QueueEngine) {
    let url = engine.fifo().await;
    let mut sent = Vec::new();
    for body in ["1", "2", "3"] {
        let request =
            engine.client.send_message().queue_url(&url).message_body(body).message_group_id("g");
        sent.push(request.send().await.unwrap().sequence_number.unwrap());
    }
    assert!(
        sent.iter().all(|number| number.len() == 20 && number.bytes().all(|b| b.is_ascii_digit()))
    );
    assert!(sent.is_sorted());
    let received = engine.receive(&url, 10).await;
    assert_eq!(received.iter().map(sequence).collect::<Vec<_>>(), sent);
}

async fn a_fifo_message_needs_a_group_and_a_deduplication_id(engine: &QueueEngine) {
    let url = engine.fifo_with(&[]).await;
    let send = || engine.client.send_message().queue_url(&url).message_body("a");
    assert_eq!(code(send().message_deduplication_id("d").send().await), "MissingParameter");
    assert_eq!(code(send().message_group_id("g").send().await), "InvalidParameterValue");
    for bad in ["with space".to_owned(), "x".repeat(129)] {
        let sent = send().message_group_id(bad).message_deduplication_id("d").send().await;
        match engine.kind {
            EngineKind::Ministack => assert!(sent.is_ok(), "ministack accepts any group id"),
            EngineKind::Embedded | EngineKind::Other => {
                assert_eq!(code(sent), "InvalidParameterValue")
            }
        }
    }
    send().message_group_id("x".repeat(128)).message_deduplication_id("d2").send().await.unwrap();
    let standard = engine.queue().await;
    let sent = engine
        .client
        .send_message()
        .queue_url(&standard)
        .message_body("a")
        .message_deduplication_id("d");
    match engine.kind {
        EngineKind::Ministack => assert!(sent.send().await.is_ok(), "ministack ignores it"),
        EngineKind::Embedded | EngineKind::Other => {
            assert_eq!(code(sent.send().await), "InvalidParameterValue")
        }
    }
}

async fn a_fifo_message_has_no_delay_of_its_own(engine: &QueueEngine) {
    let url = engine.fifo().await;
    let request =
        engine.client.send_message().queue_url(&url).message_body("a").message_group_id("g");
    assert_eq!(code(request.delay_seconds(5).send().await), "InvalidParameterValue");
}

async fn an_expired_handle_deletes_nothing(engine: &QueueEngine) {
    let url = engine.fifo().await;
    engine.send_to_group(&url, "g", "a").await;
    let old = engine.receive(&url, 1).await.remove(0);
    engine.hide(&url, &old, 0).await;
    let new = engine.await_messages(&url, 1).await.remove(0);
    let deleted =
        engine.client.delete_message().queue_url(&url).receipt_handle(handle(&old)).send().await;
    assert!(deleted.is_err());
    engine.hide(&url, &new, 0).await;
    assert_eq!(bodies(&engine.await_messages(&url, 1).await), ["a"]);
}

async fn a_repeated_receive_attempt_gets_the_same_messages(engine: &QueueEngine) {
    let url = engine.fifo().await;
    send_all(engine, &url, &[("A", "a1"), ("A", "a2")]).await;
    let receive =
        || engine.client.receive_message().queue_url(&url).receive_request_attempt_id("attempt-1");
    let first = receive().send().await.unwrap();
    let again = receive().send().await.unwrap();
    match engine.kind {
        EngineKind::Ministack => {
            assert!(again.messages().is_empty(), "ministack does not know attempts")
        }
        EngineKind::Embedded | EngineKind::Other => assert_eq!(again.messages(), first.messages()),
    }
}
