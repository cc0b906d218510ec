//! Messages in flight: hidden, hidden longer, made visible.

use aws_sdk_sqs::types::QueueAttributeName;

use super::{EngineKind, QueueEngine, bodies, code, handle};

cases!(
    a_message_in_flight_is_hidden_and_comes_back,
    a_receive_may_choose_its_own_timeout,
    a_timeout_of_zero_shows_the_message_at_once,
    a_message_hidden_longer_comes_later,
    a_message_no_longer_in_flight_cannot_be_hidden,
    messages_come_back_in_the_order_in_which_their_timeouts_end,
    a_delayed_message_comes_after_its_delay,
    timeouts_out_of_range_are_refused,
);

async fn a_message_in_flight_is_hidden_and_comes_back(engine: &QueueEngine) {
    let url = engine.queue_with(&[(QueueAttributeName::VisibilityTimeout, "3")]).await;
    engine.send(&url, "a").await;
    assert_eq!(engine.receive(&url, 10).await.len(), 1);
    assert!(engine.receive(&url, 10).await.is_empty());
    assert_eq!(bodies(&engine.await_messages(&url, 1).await), ["a"]);
}

async fn a_receive_may_choose_its_own_timeout(engine: &QueueEngine) {
    let url = engine.queue().await;
    engine.send(&url, "a").await;
    let request = engine.client.receive_message().queue_url(&url).visibility_timeout(1);
    assert_eq!(request.send().await.unwrap().messages().len(), 1);
    assert_eq!(engine.await_messages(&url, 1).await.len(), 1);
    assert!(engine.receive(&url, 1).await.is_empty());
}

async fn a_timeout_of_zero_shows_the_message_at_once(engine: &QueueEngine) {
    let url = engine.queue().await;
    engine.send(&url, "a").await;
    let message = engine.receive(&url, 1).await.remove(0);
    engine.hide(&url, &message, 0).await;
    assert_eq!(engine.await_messages(&url, 1).await.len(), 1);
}

async fn a_message_hidden_longer_comes_later(engine: &QueueEngine) {
    let url = engine.queue_with(&[(QueueAttributeName::VisibilityTimeout, "1")]).await;
    engine.send(&url, "longer").await;
    let longer = engine.receive(&url, 1).await.remove(0);
    engine.hide(&url, &longer, 5).await;
    engine.send(&url, "shorter").await;
    assert_eq!(bodies(&engine.receive(&url, 10).await), ["shorter"]);
    let back = engine.await_messages(&url, 1).await;
    assert_eq!(bodies(&back), ["shorter"]);
    engine.delete(&url, &back[0]).await;
    assert_eq!(bodies(&engine.await_messages(&url, 1).await), ["longer"]);
}

async fn a_message_no_longer_in_flight_cannot_be_hidden(engine: &QueueEngine) {
    let url = engine.queue().await;
    engine.send(&url, "a").await;
    let message = engine.receive(&url, 1).await.remove(0);
    engine.hide(&url, &message, 0).await;
    let request =
        engine.client.change_message_visibility().queue_url(&url).receipt_handle(handle(&message));
    let hidden = request.visibility_timeout(10).send().await;
    match engine.kind {
        EngineKind::Ministack => assert!(hidden.is_ok(), "ministack hides any message"),
        EngineKind::Embedded | EngineKind::Other => {
            assert!(hidden.unwrap_err().into_service_error().is_message_not_inflight());
        }
    }
}

async fn messages_come_back_in_the_order_in_which_their_timeouts_end(engine: &QueueEngine) {
    let url = engine.queue().await;
    for body in ["third", "first", "second"] {
        engine.send(&url, body).await;
    }
    for message in engine.await_messages(&url, 3).await {
        let seconds = match message.body() {
            Some("first") => 1,
            Some("second") => 2,
            _ => 3,
        };
        engine.hide(&url, &message, seconds).await;
    }
    let mut order = Vec::new();
    while order.len() < 3 {
        for message in engine.await_messages(&url, 1).await {
            engine.delete(&url, &message).await;
            order.push(message.body.unwrap());
        }
    }
    assert_eq!(order, ["first", "second", "third"]);
}

async fn a_delayed_message_comes_after_its_delay(engine: &QueueEngine) {
    let url = engine.queue_with(&[(QueueAttributeName::DelaySeconds, "1")]).await;
    engine.send(&url, "delayed").await;
    let request =
        engine.client.send_message().queue_url(&url).message_body("not delayed").delay_seconds(0);
    request.send().await.unwrap();
    assert_eq!(bodies(&engine.receive(&url, 10).await), ["not delayed"]);
    assert_eq!(bodies(&engine.await_messages(&url, 1).await), ["delayed"]);
}

async fn timeouts_out_of_range_are_refused(engine: &QueueEngine) {
    let url = engine.queue().await;
    engine.send(&url, "a").await;
    let message = engine.receive(&url, 1).await.remove(0);
    for seconds in [-1, 43_201] {
        let request = engine
            .client
            .change_message_visibility()
            .queue_url(&url)
            .receipt_handle(handle(&message));
        let hidden = request.visibility_timeout(seconds).send().await;
        match engine.kind {
            EngineKind::Ministack => assert!(hidden.is_ok(), "ministack accepts any timeout"),
            EngineKind::Embedded | EngineKind::Other => {
                assert_eq!(code(hidden), "InvalidParameterValue")
            }
        }
    }
}
