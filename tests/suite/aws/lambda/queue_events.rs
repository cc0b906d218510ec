//! What queues and streams send, and what they never would.

use super::{ALL, FAN_OUT, answers_http, function};
use crate::harness::stack::TestStack;
use serde_json::{Value, json};

/// An error, so that nothing of it is acknowledged: whatever sent it keeps it.
#[tokio::test]
async fn an_event_that_no_trigger_sends_is_an_error_and_the_function_goes_on() {
    let system = TestStack::start().await;
    for (program, own) in ALL {
        let function = function(&system, program, own).await;
        for event in
            [json!({}), json!([]), json!({"Records": 7}), json!({"Records": [{"dynamodb": 1, "body": 2}]}), Value::Null]
        {
            let error = function.invoke(&event).await.unwrap_err();
            let told = error["errorMessage"].as_str().unwrap();
            assert!(told.starts_with("the event is none of "), "{program}: {event}: {told}");
        }
        if !answers_http(program) {
            let nothing = function.invoke(&json!({"Records": []})).await.unwrap();
            assert_eq!(nothing, json!({"batchItemFailures": []}), "{program}");
        }
    }
}

/// A message that cannot be read is the only one of its batch that comes again.
#[tokio::test]
async fn a_message_that_cannot_be_read_is_named_and_no_other() {
    let system = TestStack::start().await;
    for (program, own) in ALL.into_iter().filter(|(program, _)| !answers_http(program) && *program != FAN_OUT) {
        let function = function(&system, program, own).await;
        let message = |id: &str, group: &str, body: &str| {
            json!({"messageId": id, "body": body, "attributes": {"MessageGroupId": group, "ApproximateReceiveCount": "1"},
                "eventSource": "aws:sqs", "awsRegion": "us-east-1"})
        };
        let event = json!({"Records": [message("bad", "a", "no JSON"), message("worse", "b", "{}")]});
        let answer = function.invoke(&event).await.unwrap();
        let mut named: Vec<_> = answer["batchItemFailures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["itemIdentifier"].as_str().unwrap())
            .collect();
        named.sort_unstable();
        assert_eq!(named, ["bad", "worse"], "{program}");
    }
}
