//! Limits, checked to the byte.

use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName, SendMessageBatchRequestEntry};

use super::{EngineKind, QueueEngine, code};

cases!(
    a_message_of_one_mebibyte_is_the_largest,
    attributes_count_towards_the_size,
    a_queue_may_set_a_smaller_limit,
    a_batch_holds_one_mebibyte_together,
    characters_outside_xml_are_refused,
    an_empty_body_is_refused,
    eleven_attributes_are_too_many,
    delays_out_of_range_are_refused,
);

const MEBIBYTE: usize = 1_048_576;

fn text(value: &str) -> MessageAttributeValue {
    MessageAttributeValue::builder().data_type("String").string_value(value).build().unwrap()
}

async fn a_message_of_one_mebibyte_is_the_largest(engine: &QueueEngine) {
    let url = engine.queue().await;
    engine.send(&url, &"x".repeat(MEBIBYTE)).await;
    let received = engine.receive(&url, 1).await;
    assert_eq!(received[0].body().map(str::len), Some(MEBIBYTE));
    let sent = engine
        .client
        .send_message()
        .queue_url(&url)
        .message_body("x".repeat(MEBIBYTE + 1))
        .send()
        .await;
    assert_eq!(code(sent), "InvalidParameterValue");
    let wide = engine
        .client
        .send_message()
        .queue_url(&url)
        .message_body("é".repeat(MEBIBYTE / 2 + 1))
        .send()
        .await;
    assert_eq!(code(wide), "InvalidParameterValue", "bytes count, not characters");
}

async fn attributes_count_towards_the_size(engine: &QueueEngine) {
    let url = engine.queue().await;
    let send = |body: usize| {
        let request = engine.client.send_message().queue_url(&url).message_body("x".repeat(body));
        request.message_attributes("name", text("value")).send()
    };
    let attribute = "name".len() + "String".len() + "value".len();
    send(MEBIBYTE - attribute).await.unwrap();
    let larger = send(MEBIBYTE - attribute + 1).await;
    match engine.kind {
        EngineKind::Ministack => assert!(larger.is_ok(), "ministack counts the body only"),
        EngineKind::Embedded | EngineKind::Other => {
            assert_eq!(code(larger), "InvalidParameterValue")
        }
    }
}

async fn a_queue_may_set_a_smaller_limit(engine: &QueueEngine) {
    let url = engine.queue_with(&[(QueueAttributeName::MaximumMessageSize, "1024")]).await;
    engine.send(&url, &"x".repeat(1_024)).await;
    let sent =
        engine.client.send_message().queue_url(&url).message_body("x".repeat(1_025)).send().await;
    assert_eq!(code(sent), "InvalidParameterValue");
}

async fn a_batch_holds_one_mebibyte_together(engine: &QueueEngine) {
    let url = engine.queue().await;
    let entry = |id: &str, size: usize| {
        SendMessageBatchRequestEntry::builder()
            .id(id)
            .message_body("x".repeat(size))
            .build()
            .unwrap()
    };
    let send = |more: usize| {
        let request =
            engine.client.send_message_batch().queue_url(&url).entries(entry("a", MEBIBYTE / 2));
        request.entries(entry("b", MEBIBYTE / 2 + more)).send()
    };
    assert_eq!(send(0).await.unwrap().successful().len(), 2);
    assert!(send(1).await.unwrap_err().into_service_error().is_batch_request_too_long());
}

async fn characters_outside_xml_are_refused(engine: &QueueEngine) {
    let url = engine.queue().await;
    let send =
        |body: String| engine.client.send_message().queue_url(&url).message_body(body).send();
    for c in ['\u{1}', '\u{8}', '\u{b}', '\u{1f}', '\u{fffe}', '\u{ffff}'] {
        let sent = send(format!("a{c}b")).await;
        assert!(sent.unwrap_err().into_service_error().is_invalid_message_contents(), "{c:?}");
    }
    for c in ['\t', '\n', '\r', '\u{7f}', '\u{d7ff}', '\u{e000}', '\u{fffd}', '\u{10ffff}'] {
        send(format!("a{c}b")).await.unwrap();
    }
}

async fn an_empty_body_is_refused(engine: &QueueEngine) {
    let url = engine.queue().await;
    let sent = engine.client.send_message().queue_url(&url).message_body("").send().await;
    assert_eq!(code(sent), "MissingParameter");
}

async fn eleven_attributes_are_too_many(engine: &QueueEngine) {
    let url = engine.queue().await;
    let send = |count: usize| {
        let request = engine.client.send_message().queue_url(&url).message_body("a");
        (0..count).fold(request, |r, n| r.message_attributes(format!("n{n}"), text("v"))).send()
    };
    send(10).await.unwrap();
    match engine.kind {
        EngineKind::Ministack => assert!(send(11).await.is_ok(), "ministack accepts any number"),
        EngineKind::Embedded | EngineKind::Other => {
            assert_eq!(code(send(11).await), "InvalidParameterValue")
        }
    }
}

async fn delays_out_of_range_are_refused(engine: &QueueEngine) {
    let url = engine.queue().await;
    for seconds in [-1, 901] {
        let request =
            engine.client.send_message().queue_url(&url).message_body("a").delay_seconds(seconds);
        match engine.kind {
            EngineKind::Ministack => {
                assert!(request.send().await.is_ok(), "ministack accepts any delay")
            }
            EngineKind::Embedded | EngineKind::Other => {
                assert_eq!(code(request.send().await), "InvalidParameterValue");
            }
        }
    }
}
