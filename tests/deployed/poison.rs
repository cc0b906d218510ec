//! Events that cannot be applied, and messages that cannot be read.

use crate::stack::{PREFIX, Stack, eventually};
use aws_sdk_sqs::types::QueueAttributeName;
use eventstore::{
    CommandMetadata, Consistency, EventStore, Fingerprint, Id, NewCommit, NewEvent, StreamId,
};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Failed messages are retried at once instead of after a minute.
async fn hurry(stack: &Stack, queue: &str) -> String {
    let url = stack.queue(queue).await;
    let request = stack.clients.sqs.set_queue_attributes().queue_url(&url);
    request.attributes(QueueAttributeName::VisibilityTimeout, "1").send().await.unwrap();
    url
}

/// Ten receives make a dead letter; a thousand would take hours.
async fn fewer_receives(stack: &Stack, url: &str) {
    let policy = stack.clients.sqs.get_queue_attributes().queue_url(url);
    let policy = policy
        .attribute_names(QueueAttributeName::RedrivePolicy)
        .send()
        .await
        .unwrap()
        .attributes
        .unwrap();
    let mut policy: Value =
        serde_json::from_str(&policy[&QueueAttributeName::RedrivePolicy]).unwrap();
    policy["maxReceiveCount"] = json!(10);
    let request = stack.clients.sqs.set_queue_attributes().queue_url(url);
    request.attributes(QueueAttributeName::RedrivePolicy, policy.to_string()).send().await.unwrap();
}

/// Appends an event with a shape that no program knows yet.
async fn write_unknown(stack: &Stack, stream: &str) {
    let store = EventStore::new(stack.clients.dynamodb.clone(), format!("{PREFIX}-events"));
    let (head, _) = store.head(&StreamId::new(stream).unwrap(), Consistency::Strong).await.unwrap();
    let id = |text: &str| Id::new(text).unwrap();
    let metadata = CommandMetadata {
        command_id: id(&format!("poison-{stream}")),
        fingerprint: Fingerprint::of(&[b"poison"]),
        correlation_id: id("poison"),
        causation_id: None,
        actor: id("poisoner"),
        trace_parent: None,
    };
    let data = RawValue::from_string("{}".to_owned()).unwrap();
    let events = vec![NewEvent { event_type: "OrderShipped".to_owned(), schema: 9, data }];
    store.append(&head, vec![NewCommit { metadata, events }]).await.unwrap();
}

#[tokio::test]
async fn a_poisoned_stream_is_parked_and_blocks_no_other() {
    let stack = Stack::of("poison-paul").await;
    let isbn = stack.book(5).await;
    let path = stack.place("poisoned", &isbn).await;
    stack.until(&path, "confirmed").await;
    hurry(&stack, "orders").await;
    let stream = format!("order-{}", path.rsplit('/').next().unwrap());
    write_unknown(&stack, &stream).await;
    let parked = eventually("it is parked", || async {
        let parked = stack.get("/projections/orders/parked").await.body;
        parked["streams"]
            .as_array()?
            .iter()
            .find(|parked| parked["stream"] == json!(stream))
            .cloned()
    })
    .await;
    assert_eq!(parked["version"], json!(3), "{parked}");
    assert!(parked["error"].as_str().unwrap().contains("OrderShipped"), "{parked}");
    let other = stack.place("healthy", &isbn).await;
    stack.until(&other, "confirmed").await;
    let read: Value = stack.get(&path).await.body;
    assert_eq!(
        (&read["status"], &read["version"]),
        (&json!("confirmed"), &json!(2)),
        "applied events can be read"
    );
}

#[tokio::test]
async fn a_message_that_cannot_be_read_ends_as_a_dead_letter() {
    let stack = Stack::of("poison-petra").await;
    let url = hurry(&stack, "bestsellers").await;
    fewer_receives(&stack, &url).await;
    let send =
        stack.clients.sqs.send_message().queue_url(&url).message_body("{ this is no announcement");
    send.message_group_id("poison").message_deduplication_id("poison").send().await.unwrap();
    eventually("it is a dead letter", || async {
        let status = stack.get("/projections/bestsellers").await.body;
        (status["lag"]["dead_letters"] == 1).then_some(())
    })
    .await;
    let seen = eventually("it is shown", || async {
        let sample = stack.get("/projections/bestsellers/dead").await.body;
        sample["messages"].as_array()?.first().cloned()
    })
    .await;
    assert_eq!(
        (&seen["group"], &seen["body"], &seen["stream"]),
        (&json!("poison"), &json!("{ this is no announcement"), &Value::Null)
    );
    // Until the looks have given it back, the redrive does not receive it.
    let stays = eventually("the redrive says why it stays", || async {
        let redriven = stack.post("/projections/bestsellers/redrive", &json!({})).await;
        assert_eq!(
            (redriven.status, &redriven.body["sent"], &redriven.body["left"]),
            (200, &json!(0), &json!(1)),
            "{redriven:?}"
        );
        redriven.body["stays"].as_array()?.first().cloned()
    })
    .await;
    assert!(stays["reason"].as_str().unwrap().contains("cannot be read"), "{stays}");
}
