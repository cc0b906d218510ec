//! Requests that no SDK would send, and limits that are far away.

use super::*;

#[tokio::test]
async fn every_answer_has_a_request_id_and_the_json_content_type() {
    let server = TestServer::new();
    for operation in ["ListQueues", "GetQueueUrl"] {
        let (_, headers, _) = server.raw(operation, "{}").await;
        assert_eq!(headers["x-amzn-requestid"].len(), 36);
        assert_eq!(headers["content-type"], "application/x-amz-json-1.0");
    }
}

#[tokio::test]
async fn an_error_names_its_shape_and_its_query_code() {
    let server = TestServer::new();
    let (status, headers, answer) = server.raw("GetQueueUrl", r#"{"QueueName":"none"}"#).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(headers["x-amzn-query-error"], "AWS.SimpleQueueService.NonExistentQueue;Sender");
    assert_eq!(answer["__type"], "com.amazonaws.sqs#QueueDoesNotExist");
    assert!(answer["message"].is_string());
}

#[tokio::test]
async fn malformed_requests_are_refused_precisely() {
    let server = TestServer::new();
    let url = server.queue("q", json!({})).await;
    let nested = "[".repeat(100_000);
    let wrong_type = json!({ "QueueUrl": url, "MessageBody": 7 }).to_string();
    let attribute_type =
        json!({ "QueueName": "r", "Attributes": { "DelaySeconds": 1 } }).to_string();
    for (operation, body, expected) in [
        ("SendMessage", "", "SerializationException"),
        ("SendMessage", "{", "SerializationException"),
        ("SendMessage", "null", "SerializationException"),
        ("SendMessage", "[]", "SerializationException"),
        ("SendMessage", &nested, "SerializationException"),
        ("SendMessage", &wrong_type, "SerializationException"),
        ("CreateQueue", &attribute_type, "SerializationException"),
        ("SendMessage", "{}", "MissingRequiredParameterException"),
        ("CreateQueue", "{}", "MissingRequiredParameterException"),
        ("SendMessage", r#"{"QueueUrl":"nowhere","MessageBody":"a"}"#, "InvalidAddress"),
        (
            "SendMessage",
            r#"{"QueueUrl":"http://h/000000000000/none","MessageBody":"a"}"#,
            "QueueDoesNotExist",
        ),
        ("Shout", "{}", "UnknownOperationException"),
        ("AddPermission", "{}", "UnsupportedOperation"),
    ] {
        let (status, _, answer) = server.raw(operation, body.to_owned()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{operation} {answer}");
        let shape = answer["__type"].as_str().unwrap();
        assert!(shape.ends_with(&format!("#{expected}")), "{operation}: {shape}");
    }
}

#[tokio::test]
async fn requests_without_a_target_are_refused() {
    let server = TestServer::new();
    let form = Request::post("/").body(Body::from("Action=ListQueues")).unwrap();
    let other = Request::post("/")
        .header("x-amz-target", "DynamoDB_20120810.ListTables")
        .body(Body::empty())
        .unwrap();
    for request in [Request::get("/").body(Body::empty()).unwrap(), form, other] {
        let (status, headers, _) = send(&server.router, request).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(headers["x-amzn-query-error"], "InvalidAction;Sender");
    }
}

#[tokio::test]
async fn an_oversized_request_is_refused_unread() {
    let server = TestServer::new();
    let (status, _, answer) = server.raw("SendMessage", vec![b' '; 8 * 1024 * 1024 + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer["__type"], "com.amazon.coral.service#RequestEntityTooLargeException");
}

#[tokio::test]
async fn any_host_in_a_queue_url_is_accepted() {
    let server = TestServer::new();
    server.queue("q", json!({})).await;
    server.send("http://127.0.0.1:1/000000000000/q", "a").await;
    assert_eq!(server.bodies("https://sqs.us-east-1.amazonaws.com/000000000000/q").await, ["a"]);
}

#[tokio::test]
async fn at_the_limit_in_flight_a_short_poll_is_told_and_a_deletion_makes_room() {
    let server = TestServer::with(|config| config.in_flight_limit = 12);
    let url = server.queue("q", json!({})).await;
    for _ in 0..20 {
        server.send(&url, "a").await;
    }
    let first = server.receive(&url).await;
    assert_eq!(first.len(), 10);
    assert_eq!(server.receive(&url).await.len(), 2);
    assert_eq!(server.error("ReceiveMessage", json!({ "QueueUrl": url })).await, "OverLimit");
    server
        .ok("DeleteMessage", json!({ "QueueUrl": url, "ReceiptHandle": first[0]["ReceiptHandle"] }))
        .await;
    assert_eq!(server.receive(&url).await.len(), 1);
    server.pass_s(30);
    assert_eq!(server.receive(&url).await.len(), 10);
}

#[tokio::test]
async fn at_the_limit_in_flight_a_fifo_queue_answers_nothing() {
    let server = TestServer::with(|config| config.in_flight_limit = 1);
    let url = server.fifo("q.fifo").await;
    server.send_to_group(&url, "a", "1").await;
    server.send_to_group(&url, "b", "2").await;
    assert_eq!(server.bodies(&url).await, ["1"]);
    assert!(server.bodies(&url).await.is_empty());
}

#[tokio::test]
async fn a_fifo_batch_that_lacks_an_id_stores_nothing() {
    let server = TestServer::new();
    let strict = server.queue("strict.fifo", json!({ "FifoQueue": "true" })).await;
    let by_content = server.fifo("content.fifo").await;
    let whole = json!({ "Id": "a", "MessageBody": "a", "MessageGroupId": "g", "MessageDeduplicationId": "a" });
    let without_group = json!({ "Id": "b", "MessageBody": "b", "MessageDeduplicationId": "b" });
    let without_deduplication = json!({ "Id": "b", "MessageBody": "b", "MessageGroupId": "g" });
    for (url, entry, message) in [
        (&strict, &without_group, "The request must contain the parameter MessageGroupId."),
        (&by_content, &without_group, "The request must contain the parameter MessageGroupId."),
        (
            &strict,
            &without_deduplication,
            "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
        ),
    ] {
        let batch = json!({ "QueueUrl": url, "Entries": [whole, entry] });
        let (status, _, answer) = server.raw("SendMessageBatch", batch.to_string()).await;
        assert_eq!((status, answer["message"].as_str()), (StatusCode::BAD_REQUEST, Some(message)));
        assert!(server.bodies(url).await.is_empty(), "{answer}");
    }
    let batch = json!({ "QueueUrl": by_content, "Entries": [whole, without_deduplication] });
    assert_eq!(
        server.ok("SendMessageBatch", batch).await["Successful"].as_array().unwrap().len(),
        2
    );
}
