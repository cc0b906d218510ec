//! The engines of a running program: SQS and DynamoDB over HTTP, without its key.

use super::{ISBN, Program};
use crate::harness::seed::clients;
use aws_sdk_sqs::error::ProvideErrorMetadata;
use ledgerfold::clients::{Clients, Endpoints};
use ledgerfold::local::engines::access_key::AccessKey;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

/// A message of another actor's command, for the worker of the command queue.
fn forged() -> Value {
    let fingerprint = "0".repeat(32);
    json!({
        "v": 1, "round": {"number": 1, "begun_by": ""}, "stream": format!("stock-{ISBN}"),
        "envelope": {"command_id": "forged", "fingerprint": fingerprint, "correlation_id": "forged", "actor": "anna"},
        "command": {"ReceiveStock": {"quantity": 500}},
    })
}

/// The headers of an SDK's request, without the signature.
fn unsigned(target: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/x-amz-json-1.0"));
    headers.insert("x-amz-target", HeaderValue::from_static(target));
    headers.insert("x-amz-date", HeaderValue::from_static("20261130T000000Z"));
    headers
}

#[tokio::test]
async fn a_message_without_the_key_records_nothing_as_another() {
    let system = Program::start().await;
    system.receive(ISBN, 5).await;
    let sqs = system.variable("AWS_ENDPOINT_URL_SQS");
    let queue = format!("{sqs}/000000000000/ledgerfold-commands.fifo");
    let message = json!({
        "QueueUrl": queue, "MessageBody": forged().to_string(),
        "MessageGroupId": format!("stock-{ISBN}"), "MessageDeduplicationId": "forged",
    });
    let request =
        system.http.post(sqs).headers(unsigned("AmazonSQS.SendMessage")).body(message.to_string());
    let answer = request.try_clone().unwrap().send().await.unwrap();
    assert_eq!(answer.status(), 400);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["__type"], "com.amazon.coral.service#MissingAuthenticationTokenException");
    assert!(
        body["message"].as_str().unwrap().contains("access key that `ledgerfold dev` prints"),
        "{body}"
    );
    // A signature that emulators accept.
    let test = "AWS4-HMAC-SHA256 Credential=test/20261130/us-east-1/sqs/aws4_request, \
        SignedHeaders=host;x-amz-date;x-amz-target, Signature=0";
    let answer = request.header("authorization", test).send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["__type"], "com.amazon.coral.service#UnrecognizedClientException");
    // The key of another start.
    let others = Endpoints::of_one(sqs, AccessKey::generate().unwrap());
    let sent = Clients::loopback(&others)
        .sqs
        .send_message()
        .queue_url(&queue)
        .message_body(forged().to_string());
    let error = sent.message_group_id("g").message_deduplication_id("d").send().await.unwrap_err();
    assert_eq!(error.code(), Some("UnrecognizedClientException"));

    let known = clients(&system.exports).sqs.get_queue_attributes().queue_url(&queue);
    let known =
        known.attribute_names(aws_sdk_sqs::types::QueueAttributeName::All).send().await.unwrap();
    let attributes = known.attributes.unwrap();
    let waiting = aws_sdk_sqs::types::QueueAttributeName::ApproximateNumberOfMessages;
    assert_eq!(attributes[&waiting], "0", "nothing was taken");
    assert_eq!(system.events(&format!("stock-{ISBN}")).await.len(), 1);
}

#[tokio::test]
async fn no_engine_answers_a_web_page() {
    let system = Program::start().await;
    for endpoint in
        ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SQS"].map(|name| system.variable(name))
    {
        let preflight = system
            .http
            .request(reqwest::Method::OPTIONS, endpoint)
            .header("origin", "http://evil.example");
        let preflight = preflight.header("access-control-request-method", "POST");
        let request =
            system.http.post(endpoint).headers(unsigned("DynamoDB_20120810.ListTables")).body("{}");
        let of_page = request.try_clone().unwrap().header("origin", "null");
        let rebound = request.header("host", "evil.example");
        for (what, request) in
            [("preflight", preflight), ("page", of_page), ("rebound name", rebound)]
        {
            let answer = request.send().await.unwrap();
            let told =
                answer.headers().keys().any(|name| name.as_str().starts_with("access-control-"));
            assert_eq!((answer.status().as_u16(), told), (403, false), "{what} to {endpoint}");
        }
        let looked = system.http.get(endpoint).send().await.unwrap();
        assert_eq!(looked.status(), 400);
    }
}

#[tokio::test]
async fn each_start_has_a_key_of_its_own() {
    let (one, other) = (Program::start().await, Program::start().await);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        assert_ne!(one.variable(name), other.variable(name));
    }
    assert!(one.variable("AWS_SECRET_ACCESS_KEY").len() >= 40);
}
