//! What depends on time.

use super::*;

#[tokio::test]
async fn a_message_is_hidden_until_its_visibility_timeout_is_over() {
    let bench = Bench::new();
    let url = bench.queue("q", json!({ "VisibilityTimeout": "10" })).await;
    bench.send(&url, "a").await;
    assert_eq!(bench.bodies(&url).await, ["a"]);
    bench.pass_s(9);
    assert!(bench.bodies(&url).await.is_empty());
    bench.pass_s(1);
    let again = bench.receive(&url).await;
    assert_eq!(again[0]["Attributes"]["ApproximateReceiveCount"], "2");
    assert_eq!(again[0]["Attributes"]["ApproximateFirstReceiveTimestamp"], START_MS.to_string());
}

#[tokio::test]
async fn timeouts_end_although_the_clock_was_set_back() {
    let bench = Bench::new();
    let url = bench.queue("q", json!({ "VisibilityTimeout": "10" })).await;
    bench.send(&url, "a").await;
    let handle = bench.receive(&url).await[0]["ReceiptHandle"].clone();
    bench.clock.store(START_MS - 3_600_000, Ordering::SeqCst);
    let longer = json!({ "QueueUrl": url, "ReceiptHandle": handle, "VisibilityTimeout": 5 });
    bench.ok("ChangeMessageVisibility", longer).await;
    assert!(bench.bodies(&url).await.is_empty());
    bench.pass_s(5);
    assert_eq!(bench.bodies(&url).await, ["a"]);
}

#[tokio::test]
async fn timeouts_end_although_the_clock_was_set_back_while_the_file_was_closed() {
    let bench = Bench::new();
    let url = bench.queue("q", json!({ "VisibilityTimeout": "10" })).await;
    bench.pass_s(60);
    bench.send(&url, "a").await;
    assert_eq!(bench.bodies(&url).await, ["a"]);
    let bench = bench.reopened_at(START_MS - 3_600_000);
    assert!(bench.bodies(&url).await.is_empty());
    bench.pass_s(10);
    assert_eq!(bench.bodies(&url).await, ["a"]);
}

#[tokio::test]
async fn a_delayed_message_comes_when_its_delay_is_over() {
    let bench = Bench::new();
    let url = bench.queue("q", json!({ "DelaySeconds": "5" })).await;
    bench.send(&url, "queue's delay").await;
    bench.ok("SendMessage", json!({ "QueueUrl": url, "MessageBody": "own delay", "DelaySeconds": 900 })).await;
    assert!(bench.bodies(&url).await.is_empty());
    bench.pass_s(5);
    assert_eq!(bench.bodies(&url).await, ["queue's delay"]);
    let names = json!({ "QueueUrl": url, "AttributeNames": ["All"] });
    let counts = bench.ok("GetQueueAttributes", names).await["Attributes"].clone();
    assert_eq!(counts["ApproximateNumberOfMessagesNotVisible"], "1");
    assert_eq!(counts["ApproximateNumberOfMessagesDelayed"], "1");
    bench.pass_s(895);
    assert_eq!(bench.bodies(&url).await, ["queue's delay", "own delay"]);
}

#[tokio::test]
async fn a_fifo_queues_new_delay_holds_for_waiting_messages_too() {
    let bench = Bench::new();
    let url = bench.fifo("q.fifo").await;
    bench.send_to_group(&url, "g", "a").await;
    bench.ok("SetQueueAttributes", json!({ "QueueUrl": url, "Attributes": { "DelaySeconds": "60" } })).await;
    bench.pass_s(59);
    assert!(bench.bodies(&url).await.is_empty());
    bench.pass_s(1);
    assert_eq!(bench.bodies(&url).await, ["a"]);
}

#[tokio::test]
async fn messages_older_than_the_retention_period_vanish() {
    let bench = Bench::new();
    for url in [bench.queue("q", json!({ "MessageRetentionPeriod": "60" })).await, bench.fifo("q.fifo").await] {
        bench
            .ok("SetQueueAttributes", json!({ "QueueUrl": url, "Attributes": { "MessageRetentionPeriod": "60" } }))
            .await;
        bench.send_to_group(&url, "g", "old").await;
        bench.pass_s(30);
        bench.send_to_group(&url, "g", "young").await;
        bench.pass_s(30);
        assert_eq!(bench.bodies(&url).await, ["young"]);
    }
}

#[tokio::test]
async fn a_duplicate_is_one_for_five_minutes_even_after_a_restart() {
    let bench = Bench::new();
    let url = bench.fifo("q.fifo").await;
    let first = bench.send_to_group(&url, "g", "a").await;
    let bench = bench.reopened_at(START_MS + 299_000);
    assert_eq!(bench.send_to_group(&url, "g", "a").await, first);
    bench.pass_s(1);
    let second = bench.send_to_group(&url, "g", "a").await;
    assert_ne!(second["MessageId"], first["MessageId"]);
    assert!(second["SequenceNumber"].as_str() > first["SequenceNumber"].as_str());
    assert_eq!(bench.bodies(&url).await, ["a", "a"]);
}

#[tokio::test]
async fn a_queue_is_purged_at_most_once_a_minute() {
    let bench = Bench::new();
    let url = bench.queue("q", json!({})).await;
    bench.ok("PurgeQueue", json!({ "QueueUrl": url })).await;
    bench.pass_s(59);
    assert_eq!(bench.error("PurgeQueue", json!({ "QueueUrl": url })).await, "PurgeQueueInProgress");
    bench.pass_s(1);
    bench.ok("PurgeQueue", json!({ "QueueUrl": url })).await;
}

#[tokio::test]
async fn the_name_of_a_deleted_queue_is_taken_for_a_minute() {
    let bench = Bench::new();
    let url = bench.queue("q", json!({})).await;
    bench.ok("DeleteQueue", json!({ "QueueUrl": url })).await;
    assert_eq!(bench.error("CreateQueue", json!({ "QueueName": "q" })).await, "QueueDeletedRecently");
    bench.pass_s(60);
    bench.queue("q", json!({})).await;
}

#[tokio::test]
async fn a_message_stays_in_flight_for_twelve_hours_at_most() {
    let bench = Bench::new();
    let url = bench.queue("q", json!({ "VisibilityTimeout": "43200" })).await;
    bench.send(&url, "a").await;
    let handle = bench.receive(&url).await[0]["ReceiptHandle"].clone();
    bench.pass_s(1);
    let change = |seconds: u64| json!({ "QueueUrl": url, "ReceiptHandle": handle, "VisibilityTimeout": seconds });
    assert_eq!(bench.error("ChangeMessageVisibility", change(43_200)).await, "InvalidParameterValueException");
    bench.ok("ChangeMessageVisibility", change(43_199)).await;
    bench.pass_s(43_199);
    assert_eq!(bench.error("ChangeMessageVisibility", change(1)).await, "MessageNotInflight");
}

#[tokio::test]
async fn a_receive_repeated_with_its_attempt_id_gets_the_same_messages_and_a_new_timeout() {
    let bench = Bench::new();
    let url = bench.fifo("q.fifo").await;
    bench.send_to_group(&url, "g", "a").await;
    let request = json!({ "QueueUrl": url, "ReceiveRequestAttemptId": "try", "VisibilityTimeout": 10 });
    let first = bench.ok("ReceiveMessage", request.clone()).await;
    bench.pass_s(9);
    assert_eq!(bench.ok("ReceiveMessage", request.clone()).await, first);
    bench.pass_s(9);
    assert!(bench.bodies(&url).await.is_empty());
    bench.pass_s(1);
    assert_ne!(bench.ok("ReceiveMessage", request).await, first);
}

#[tokio::test]
async fn an_expired_receipt_handle_deletes_nothing() {
    let bench = Bench::new();
    let (standard, fifo) = (bench.queue("q", json!({})).await, bench.fifo("q.fifo").await);
    for url in [&standard, &fifo] {
        bench.send_to_group(url, "g", "a").await;
        let old = json!({ "QueueUrl": url, "ReceiptHandle": bench.receive(url).await[0]["ReceiptHandle"] });
        bench.pass_s(30);
        assert_eq!(bench.receive(url).await.len(), 1);
        if url == &standard {
            bench.ok("DeleteMessage", old).await;
        } else {
            assert_eq!(bench.error("DeleteMessage", old).await, "ReceiptHandleIsInvalid");
        }
        bench.pass_s(30);
        assert_eq!(bench.bodies(url).await, ["a"]);
    }
}

#[tokio::test]
async fn messages_in_flight_come_back_when_the_file_is_opened_if_so_configured() {
    for (release_on_open, expected) in [(false, vec![]), (true, vec!["a", "b"])] {
        let bench = Bench::new();
        let url = bench.queue("q.fifo", json!({ "FifoQueue": "true", "VisibilityTimeout": "60" })).await;
        for body in ["a", "b"] {
            let group =
                json!({ "QueueUrl": url, "MessageBody": body, "MessageGroupId": "g", "MessageDeduplicationId": body });
            bench.ok("SendMessage", group).await;
        }
        assert_eq!(bench.bodies(&url).await, ["a", "b"]);
        let bench = bench.reopened_with(|config| config.release_on_open = release_on_open);
        assert_eq!(bench.bodies(&url).await, expected);
    }
}
