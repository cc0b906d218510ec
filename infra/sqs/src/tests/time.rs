//! What depends on time.

use super::*;

#[tokio::test]
async fn a_message_is_hidden_until_its_visibility_timeout_is_over() {
    let server = TestServer::new();
    let url = server.queue("q", json!({ "VisibilityTimeout": "10" })).await;
    server.send(&url, "a").await;
    assert_eq!(server.bodies(&url).await, ["a"]);
    server.pass_s(9);
    assert!(server.bodies(&url).await.is_empty());
    server.pass_s(1);
    let again = server.receive(&url).await;
    assert_eq!(again[0]["Attributes"]["ApproximateReceiveCount"], "2");
    assert_eq!(again[0]["Attributes"]["ApproximateFirstReceiveTimestamp"], START_MS.to_string());
}

#[tokio::test]
async fn timeouts_end_although_the_clock_was_set_back() {
    let server = TestServer::new();
    let url = server.queue("q", json!({ "VisibilityTimeout": "10" })).await;
    server.send(&url, "a").await;
    let handle = server.receive(&url).await[0]["ReceiptHandle"].clone();
    server.clock.store(START_MS - 3_600_000, Ordering::SeqCst);
    let longer = json!({ "QueueUrl": url, "ReceiptHandle": handle, "VisibilityTimeout": 5 });
    server.ok("ChangeMessageVisibility", longer).await;
    assert!(server.bodies(&url).await.is_empty());
    server.pass_s(5);
    assert_eq!(server.bodies(&url).await, ["a"]);
}

#[tokio::test]
async fn timeouts_end_although_the_clock_was_set_back_while_the_file_was_closed() {
    let server = TestServer::new();
    let url = server.queue("q", json!({ "VisibilityTimeout": "10" })).await;
    server.pass_s(60);
    server.send(&url, "a").await;
    assert_eq!(server.bodies(&url).await, ["a"]);
    let server = server.reopened_at(START_MS - 3_600_000);
    assert!(server.bodies(&url).await.is_empty());
    server.pass_s(10);
    assert_eq!(server.bodies(&url).await, ["a"]);
}

#[tokio::test]
async fn a_delayed_message_comes_when_its_delay_is_over() {
    let server = TestServer::new();
    let url = server.queue("q", json!({ "DelaySeconds": "5" })).await;
    server.send(&url, "queue's delay").await;
    server
        .ok(
            "SendMessage",
            json!({ "QueueUrl": url, "MessageBody": "own delay", "DelaySeconds": 900 }),
        )
        .await;
    assert!(server.bodies(&url).await.is_empty());
    server.pass_s(5);
    assert_eq!(server.bodies(&url).await, ["queue's delay"]);
    let names = json!({ "QueueUrl": url, "AttributeNames": ["All"] });
    let counts = server.ok("GetQueueAttributes", names).await["Attributes"].clone();
    assert_eq!(counts["ApproximateNumberOfMessagesNotVisible"], "1");
    assert_eq!(counts["ApproximateNumberOfMessagesDelayed"], "1");
    server.pass_s(895);
    assert_eq!(server.bodies(&url).await, ["queue's delay", "own delay"]);
}

#[tokio::test]
async fn a_fifo_queues_new_delay_holds_for_waiting_messages_too() {
    let server = TestServer::new();
    let url = server.fifo("q.fifo").await;
    server.send_to_group(&url, "g", "a").await;
    server
        .ok(
            "SetQueueAttributes",
            json!({ "QueueUrl": url, "Attributes": { "DelaySeconds": "60" } }),
        )
        .await;
    server.pass_s(59);
    assert!(server.bodies(&url).await.is_empty());
    server.pass_s(1);
    assert_eq!(server.bodies(&url).await, ["a"]);
}

#[tokio::test]
async fn messages_older_than_the_retention_period_vanish() {
    let server = TestServer::new();
    for url in [
        server.queue("q", json!({ "MessageRetentionPeriod": "60" })).await,
        server.fifo("q.fifo").await,
    ] {
        server
            .ok(
                "SetQueueAttributes",
                json!({ "QueueUrl": url, "Attributes": { "MessageRetentionPeriod": "60" } }),
            )
            .await;
        server.send_to_group(&url, "g", "old").await;
        server.pass_s(30);
        server.send_to_group(&url, "g", "young").await;
        server.pass_s(30);
        assert_eq!(server.bodies(&url).await, ["young"]);
    }
}

#[tokio::test]
async fn a_duplicate_is_one_for_five_minutes_even_after_a_restart() {
    let server = TestServer::new();
    let url = server.fifo("q.fifo").await;
    let first = server.send_to_group(&url, "g", "a").await;
    let server = server.reopened_at(START_MS + 299_000);
    assert_eq!(server.send_to_group(&url, "g", "a").await, first);
    server.pass_s(1);
    let second = server.send_to_group(&url, "g", "a").await;
    assert_ne!(second["MessageId"], first["MessageId"]);
    assert!(second["SequenceNumber"].as_str() > first["SequenceNumber"].as_str());
    assert_eq!(server.bodies(&url).await, ["a", "a"]);
}

#[tokio::test]
async fn a_queue_is_purged_at_most_once_a_minute() {
    let server = TestServer::new();
    let url = server.queue("q", json!({})).await;
    server.ok("PurgeQueue", json!({ "QueueUrl": url })).await;
    server.pass_s(59);
    assert_eq!(
        server.error("PurgeQueue", json!({ "QueueUrl": url })).await,
        "PurgeQueueInProgress"
    );
    server.pass_s(1);
    server.ok("PurgeQueue", json!({ "QueueUrl": url })).await;
}

#[tokio::test]
async fn the_name_of_a_deleted_queue_is_taken_for_a_minute() {
    let server = TestServer::new();
    let url = server.queue("q", json!({})).await;
    server.ok("DeleteQueue", json!({ "QueueUrl": url })).await;
    assert_eq!(
        server.error("CreateQueue", json!({ "QueueName": "q" })).await,
        "QueueDeletedRecently"
    );
    server.pass_s(60);
    server.queue("q", json!({})).await;
}

#[tokio::test]
async fn a_message_stays_in_flight_for_twelve_hours_at_most() {
    let server = TestServer::new();
    let url = server.queue("q", json!({ "VisibilityTimeout": "43200" })).await;
    server.send(&url, "a").await;
    let handle = server.receive(&url).await[0]["ReceiptHandle"].clone();
    server.pass_s(1);
    let change = |seconds: u64| json!({ "QueueUrl": url, "ReceiptHandle": handle, "VisibilityTimeout": seconds });
    assert_eq!(
        server.error("ChangeMessageVisibility", change(43_200)).await,
        "InvalidParameterValueException"
    );
    server.ok("ChangeMessageVisibility", change(43_199)).await;
    server.pass_s(43_199);
    assert_eq!(server.error("ChangeMessageVisibility", change(1)).await, "MessageNotInflight");
}

#[tokio::test]
async fn a_receive_repeated_with_its_attempt_id_gets_the_same_messages_and_a_new_timeout() {
    let server = TestServer::new();
    let url = server.fifo("q.fifo").await;
    server.send_to_group(&url, "g", "a").await;
    let request =
        json!({ "QueueUrl": url, "ReceiveRequestAttemptId": "try", "VisibilityTimeout": 10 });
    let first = server.ok("ReceiveMessage", request.clone()).await;
    server.pass_s(9);
    assert_eq!(server.ok("ReceiveMessage", request.clone()).await, first);
    server.pass_s(9);
    assert!(server.bodies(&url).await.is_empty());
    server.pass_s(1);
    assert_ne!(server.ok("ReceiveMessage", request).await, first);
}

#[tokio::test]
async fn an_expired_receipt_handle_deletes_nothing() {
    let server = TestServer::new();
    let (standard, fifo) = (server.queue("q", json!({})).await, server.fifo("q.fifo").await);
    for url in [&standard, &fifo] {
        server.send_to_group(url, "g", "a").await;
        let old = json!({ "QueueUrl": url, "ReceiptHandle": server.receive(url).await[0]["ReceiptHandle"] });
        server.pass_s(30);
        assert_eq!(server.receive(url).await.len(), 1);
        if url == &standard {
            server.ok("DeleteMessage", old).await;
        } else {
            assert_eq!(server.error("DeleteMessage", old).await, "ReceiptHandleIsInvalid");
        }
        server.pass_s(30);
        assert_eq!(server.bodies(url).await, ["a"]);
    }
}

#[tokio::test]
async fn messages_in_flight_come_back_when_the_file_is_opened_if_so_configured() {
    for (release_on_open, expected) in [(false, vec![]), (true, vec!["a", "b"])] {
        let server = TestServer::new();
        let url =
            server.queue("q.fifo", json!({ "FifoQueue": "true", "VisibilityTimeout": "60" })).await;
        for body in ["a", "b"] {
            let group = json!({ "QueueUrl": url, "MessageBody": body, "MessageGroupId": "g", "MessageDeduplicationId": body });
            server.ok("SendMessage", group).await;
        }
        assert_eq!(server.bodies(&url).await, ["a", "b"]);
        let server = server.reopened_with(|config| config.release_on_open = release_on_open);
        assert_eq!(server.bodies(&url).await, expected);
    }
}
