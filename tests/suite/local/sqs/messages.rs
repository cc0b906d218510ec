//! Sending, receiving and deleting one message; its attributes and digests.

use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    Message, MessageAttributeValue, MessageSystemAttributeName, MessageSystemAttributeNameForSends,
    MessageSystemAttributeValue,
};

use super::{EngineKind, QueueEngine, code, handle};

cases!(
    a_message_comes_as_it_was_sent,
    attributes_of_every_type_come_back,
    a_receiver_gets_only_the_attributes_it_names,
    system_attributes_tell_of_sending_and_receiving,
    the_older_parameter_for_system_attributes_still_works,
    a_trace_header_comes_back,
    deleting_twice_succeeds,
    an_invented_receipt_handle_is_invalid,
    a_handle_of_another_queue_is_invalid,
    a_group_id_is_allowed_on_a_standard_queue,
);

fn text(value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder().data_type("String").string_value(value).build().unwrap()
}

fn binary(bytes: &[u8]) -> MessageAttributeValue {
    MessageAttributeValue::builder()
        .data_type("Binary.raw")
        .binary_value(Blob::new(bytes))
        .build()
        .unwrap()
}

fn number(value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder()
        .data_type("Number.java.lang.Long")
        .string_value(value)
        .build()
        .unwrap()
}

fn system(message: &Message, name: MessageSystemAttributeName) -> Option<&str> {
    message.attributes()?.get(&name).map(String::as_str)
}

async fn a_message_comes_as_it_was_sent(engine: &QueueEngine) {
    let url = engine.queue().await;
    let body = "öl, 🦀, \"quotes\", \\ and\nlines\tand <tags>";
    let sent =
        engine.client.send_message().queue_url(&url).message_body(body).send().await.unwrap();
    let received = engine.receive(&url, 10).await;
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].body(), Some(body));
    assert_eq!(received[0].message_id(), sent.message_id());
    assert_eq!(received[0].md5_of_body(), sent.md5_of_message_body());
    assert_eq!(sent.md5_of_message_body().map(str::len), Some(32));
    assert_eq!(sent.sequence_number(), None);
}

async fn attributes_of_every_type_come_back(engine: &QueueEngine) {
    let url = engine.queue().await;
    let request = engine.client.send_message().queue_url(&url).message_body("a");
    let request = request.message_attributes("timestamp", number("1493147359900"));
    let sent = request.send().await.unwrap();
    assert_eq!(sent.md5_of_message_attributes(), Some("2e2e4876d8e0bd6b8c2c8f556831c349"));
    engine.delete(&url, &engine.receive(&url, 1).await[0]).await;

    let request = engine.client.send_message().queue_url(&url).message_body("a");
    let request = request
        .message_attributes("text", text("é"))
        .message_attributes("bin", binary(&[0, 255, 7]));
    let sent = request.message_attributes("num", number("-12")).send().await.unwrap();
    let received = engine.receive(&url, 1).await.remove(0);
    assert_eq!(received.md5_of_message_attributes(), sent.md5_of_message_attributes());
    let attributes = received.message_attributes().unwrap();
    assert_eq!(attributes["text"], text("é"));
    assert_eq!(attributes["bin"], binary(&[0, 255, 7]));
    assert_eq!(attributes["num"], number("-12"));
}

async fn a_receiver_gets_only_the_attributes_it_names(engine: &QueueEngine) {
    let url = engine.queue().await;
    for (pattern, expected) in [("trace.*", 2), ("other", 1), (".*", 3), ("All", 3), ("absent", 0)]
    {
        let request = engine.client.send_message().queue_url(&url).message_body("a");
        let request = request
            .message_attributes("trace.id", text("1"))
            .message_attributes("trace.span", text("2"));
        request.message_attributes("other", text("3")).send().await.unwrap();
        let request =
            engine.client.receive_message().queue_url(&url).message_attribute_names(pattern);
        let received = request.send().await.unwrap().messages.unwrap().remove(0);
        assert_eq!(
            received.message_attributes().map_or(0, |found| found.len()),
            expected,
            "{pattern}"
        );
        assert_eq!(received.md5_of_message_attributes().is_some(), expected > 0, "{pattern}");
        engine.delete(&url, &received).await;
    }
}

async fn system_attributes_tell_of_sending_and_receiving(engine: &QueueEngine) {
    let url = engine.queue().await;
    engine.send(&url, "a").await;
    let first = engine.receive(&url, 1).await.remove(0);
    engine.hide(&url, &first, 0).await;
    let second = engine.await_messages(&url, 1).await.remove(0);
    let millis =
        |name: MessageSystemAttributeName| system(&second, name).unwrap().parse::<u64>().unwrap();
    let (sent_ms, first_ms) = (
        millis(MessageSystemAttributeName::SentTimestamp),
        millis(MessageSystemAttributeName::ApproximateFirstReceiveTimestamp),
    );
    assert!(sent_ms > 1_600_000_000_000 && first_ms >= sent_ms);
    assert_eq!(
        system(&first, MessageSystemAttributeName::ApproximateFirstReceiveTimestamp),
        system(&second, MessageSystemAttributeName::ApproximateFirstReceiveTimestamp)
    );
    assert_eq!(system(&first, MessageSystemAttributeName::ApproximateReceiveCount), Some("1"));
    assert_eq!(system(&second, MessageSystemAttributeName::ApproximateReceiveCount), Some("2"));
    assert!(system(&second, MessageSystemAttributeName::SenderId).is_some());
    assert_ne!(handle(&first), handle(&second));
}

#[allow(deprecated, reason = "consumers of the older parameter exist")]
async fn the_older_parameter_for_system_attributes_still_works(engine: &QueueEngine) {
    let url = engine.queue().await;
    engine.send(&url, "a").await;
    let request = engine.client.receive_message().queue_url(&url);
    let request = request.attribute_names(aws_sdk_sqs::types::QueueAttributeName::All);
    let received = request.send().await.unwrap().messages.unwrap().remove(0);
    assert_eq!(system(&received, MessageSystemAttributeName::ApproximateReceiveCount), Some("1"));
    engine.hide(&url, &received, 0).await;
    let plain = engine
        .client
        .receive_message()
        .queue_url(&url)
        .send()
        .await
        .unwrap()
        .messages
        .unwrap()
        .remove(0);
    assert!(plain.attributes().is_none_or(|attributes| attributes.is_empty()));
}

async fn a_trace_header_comes_back(engine: &QueueEngine) {
    let url = engine.queue().await;
    let header = MessageSystemAttributeValue::builder()
        .data_type("String")
        .string_value("Root=1-5759e988")
        .build();
    let request = engine.client.send_message().queue_url(&url).message_body("a");
    let request = request.message_system_attributes(
        MessageSystemAttributeNameForSends::AwsTraceHeader,
        header.unwrap(),
    );
    let sent = request.send().await.unwrap();
    let digest_length = sent.md5_of_message_system_attributes().map(str::len);
    match engine.kind {
        EngineKind::Ministack => assert_eq!(digest_length, None, "ministack leaves the digest out"),
        EngineKind::Embedded | EngineKind::Other => assert_eq!(digest_length, Some(32)),
    }
    let received = engine.receive(&url, 1).await.remove(0);
    assert_eq!(
        system(&received, MessageSystemAttributeName::AwsTraceHeader),
        Some("Root=1-5759e988")
    );
}

async fn deleting_twice_succeeds(engine: &QueueEngine) {
    for url in [engine.queue().await, engine.fifo().await] {
        engine.send_to_group(&url, "g", "a").await;
        let message = engine.receive(&url, 1).await.remove(0);
        engine.delete(&url, &message).await;
        let again = engine
            .client
            .delete_message()
            .queue_url(&url)
            .receipt_handle(handle(&message))
            .send()
            .await;
        match engine.kind {
            EngineKind::Ministack => {
                assert!(again.unwrap_err().into_service_error().is_receipt_handle_is_invalid());
            }
            EngineKind::Embedded | EngineKind::Other => assert!(again.is_ok()),
        }
    }
}

async fn an_invented_receipt_handle_is_invalid(engine: &QueueEngine) {
    let url = engine.queue().await;
    for invented in ["garbage", "bm90IGEgaGFuZGxl"] {
        let deleted =
            engine.client.delete_message().queue_url(&url).receipt_handle(invented).send().await;
        assert!(deleted.unwrap_err().into_service_error().is_receipt_handle_is_invalid());
        let request =
            engine.client.change_message_visibility().queue_url(&url).receipt_handle(invented);
        let hidden = request.visibility_timeout(5).send().await;
        assert!(hidden.unwrap_err().into_service_error().is_receipt_handle_is_invalid());
    }
}

async fn a_handle_of_another_queue_is_invalid(engine: &QueueEngine) {
    let (url, other) = (engine.queue().await, engine.queue().await);
    engine.send(&url, "a").await;
    let message = engine.receive(&url, 1).await.remove(0);
    let deleted = engine
        .client
        .delete_message()
        .queue_url(&other)
        .receipt_handle(handle(&message))
        .send()
        .await;
    assert_eq!(code(deleted), "ReceiptHandleIsInvalid");
    engine.hide(&url, &message, 0).await;
    assert_eq!(engine.await_messages(&url, 1).await.len(), 1);
}

async fn a_group_id_is_allowed_on_a_standard_queue(engine: &QueueEngine) {
    let url = engine.queue().await;
    engine.send_to_group(&url, "tenant-1", "a").await;
    engine.send_to_group(&url, "tenant-1", "a").await;
    let received = engine.await_messages(&url, 2).await;
    assert_eq!(system(&received[0], MessageSystemAttributeName::MessageGroupId), Some("tenant-1"));
}
