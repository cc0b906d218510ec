//! Batches: refused as a whole, or entry by entry.

use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, QueueAttributeName,
    SendMessageBatchRequestEntry,
};

use super::{QueueEngine, bodies, handle, sorted_bodies};

cases!(
    ten_messages_are_sent_hidden_and_deleted_in_batches,
    an_empty_batch_is_refused,
    eleven_entries_are_too_many,
    ids_within_a_batch_are_distinct_and_well_formed,
    a_wrong_entry_fails_alone,
    a_wrong_receipt_handle_fails_alone,
    a_batch_keeps_the_order_of_a_group,
);

fn entry(id: &str, body: &str) -> SendMessageBatchRequestEntry {
    SendMessageBatchRequestEntry::builder().id(id).message_body(body).build().unwrap()
}

fn numbered(count: usize) -> Vec<SendMessageBatchRequestEntry> {
    (0..count).map(|n| entry(&n.to_string(), &n.to_string())).collect()
}

async fn ten_messages_are_sent_hidden_and_deleted_in_batches(engine: &QueueEngine) {
    let url = engine.queue().await;
    let sent = engine
        .client
        .send_message_batch()
        .queue_url(&url)
        .set_entries(Some(numbered(10)))
        .send()
        .await
        .unwrap();
    assert_eq!((sent.successful().len(), sent.failed().len()), (10, 0));
    assert!(sent.successful().iter().all(|sent| sent.md5_of_message_body().len() == 32));
    let held = engine.await_messages(&url, 10).await;
    assert_eq!(sorted_bodies(&held), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);

    let mut hide = engine.client.change_message_visibility_batch().queue_url(&url);
    for (n, message) in held.iter().enumerate() {
        let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
            .id(n.to_string())
            .visibility_timeout(0);
        hide = hide.entries(entry.receipt_handle(handle(message)).build().unwrap());
    }
    assert_eq!(hide.send().await.unwrap().successful().len(), 10);

    let held = engine.await_messages(&url, 10).await;
    let mut delete = engine.client.delete_message_batch().queue_url(&url);
    for (n, message) in held.iter().enumerate() {
        let entry = DeleteMessageBatchRequestEntry::builder().id(n.to_string());
        delete = delete.entries(entry.receipt_handle(handle(message)).build().unwrap());
    }
    let deleted = delete.send().await.unwrap();
    assert_eq!((deleted.successful().len(), deleted.failed().len()), (10, 0));
    for name in [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    ] {
        assert_eq!(engine.attribute(&url, name).await.as_deref(), Some("0"));
    }
}

async fn an_empty_batch_is_refused(engine: &QueueEngine) {
    let url = engine.queue().await;
    let sent =
        engine.client.send_message_batch().queue_url(&url).set_entries(Some(vec![])).send().await;
    assert!(sent.unwrap_err().into_service_error().is_empty_batch_request());
    let deleted =
        engine.client.delete_message_batch().queue_url(&url).set_entries(Some(vec![])).send().await;
    assert!(deleted.unwrap_err().into_service_error().is_empty_batch_request());
    let request =
        engine.client.change_message_visibility_batch().queue_url(&url).set_entries(Some(vec![]));
    assert!(request.send().await.unwrap_err().into_service_error().is_empty_batch_request());
}

async fn eleven_entries_are_too_many(engine: &QueueEngine) {
    let url = engine.queue().await;
    let sent = engine
        .client
        .send_message_batch()
        .queue_url(&url)
        .set_entries(Some(numbered(11)))
        .send()
        .await;
    assert!(sent.unwrap_err().into_service_error().is_too_many_entries_in_batch_request());
    assert!(engine.receive(&url, 10).await.is_empty());
}

async fn ids_within_a_batch_are_distinct_and_well_formed(engine: &QueueEngine) {
    let url = engine.queue().await;
    let send = |entries: Vec<_>| {
        engine.client.send_message_batch().queue_url(&url).set_entries(Some(entries)).send()
    };
    let repeated = send(vec![entry("a", "1"), entry("a", "2")]).await;
    assert!(repeated.unwrap_err().into_service_error().is_batch_entry_ids_not_distinct());
    for id in ["with space", "dot.", &"i".repeat(81)] {
        let sent = send(vec![entry(id, "1")]).await;
        assert!(sent.unwrap_err().into_service_error().is_invalid_batch_entry_id(), "{id}");
    }
    send(vec![entry(&"i".repeat(80), "1")]).await.unwrap();
}

async fn a_wrong_entry_fails_alone(engine: &QueueEngine) {
    let url = engine.queue().await;
    let request = engine.client.send_message_batch().queue_url(&url).entries(entry("good", "good"));
    let sent =
        request.entries(entry("bad", "\u{1}")).entries(entry("fine", "fine")).send().await.unwrap();
    assert_eq!(
        sent.successful().iter().map(|sent| sent.id()).collect::<Vec<_>>(),
        ["good", "fine"]
    );
    let failed = &sent.failed()[0];
    assert_eq!((failed.id(), failed.sender_fault()), ("bad", true));
    assert_eq!(failed.code(), "InvalidMessageContents");
    assert_eq!(sorted_bodies(&engine.await_messages(&url, 2).await), ["fine", "good"]);
}

async fn a_wrong_receipt_handle_fails_alone(engine: &QueueEngine) {
    let url = engine.queue().await;
    engine.send(&url, "a").await;
    let message = engine.receive(&url, 1).await.remove(0);
    let entry = |id: &str, handle: &str| {
        DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(handle).build().unwrap()
    };
    let request = engine
        .client
        .delete_message_batch()
        .queue_url(&url)
        .entries(entry("good", handle(&message)));
    let deleted = request.entries(entry("bad", "garbage")).send().await.unwrap();
    assert_eq!(deleted.successful()[0].id(), "good");
    assert_eq!(
        (deleted.failed()[0].id(), deleted.failed()[0].code()),
        ("bad", "ReceiptHandleIsInvalid")
    );

    let entry =
        ChangeMessageVisibilityBatchRequestEntry::builder().id("bad").receipt_handle("garbage");
    let entry = entry.visibility_timeout(1).build().unwrap();
    let hidden = engine
        .client
        .change_message_visibility_batch()
        .queue_url(&url)
        .entries(entry)
        .send()
        .await
        .unwrap();
    assert_eq!((hidden.successful().len(), hidden.failed().len()), (0, 1));
}

async fn a_batch_keeps_the_order_of_a_group(engine: &QueueEngine) {
    let url = engine.fifo().await;
    let in_group = |n: usize| {
        let entry = SendMessageBatchRequestEntry::builder().id(n.to_string()).message_group_id("g");
        entry.message_body(n.to_string()).build().unwrap()
    };
    let request = engine.client.send_message_batch().queue_url(&url);
    let sent = request.set_entries(Some((0..10).map(in_group).collect())).send().await.unwrap();
    assert!(sent.successful().iter().map(|sent| sent.sequence_number()).is_sorted());
    assert_eq!(
        bodies(&engine.receive(&url, 10).await),
        ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
    );
}
