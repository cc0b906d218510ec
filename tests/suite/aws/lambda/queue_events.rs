//! Events of queues and streams, and events that they never send.

use super::{ALL, FAN_OUT, answers_http, function};
use crate::harness::stack::TestStack;
use serde_json::{Value, json};

/// An error, so that nothing is acknowledged: the sender repeats or stores the event.
#[tokio::test]
async fn an_event_of_no_trigger_is_an_error_of_that_call_only() {
    let system = TestStack::start().await;
    for (program, own) in ALL {
        let function = function(&system, program, own).await;
        for event in [
            json!({}),
            json!([]),
            json!({"Records": 7}),
            json!({"Records": [{"dynamodb": 1, "body": 2}]}),
            Value::Null,
        ] {
            let error = function.invoke(&event).await.unwrap_err();
            let text = error["errorMessage"].as_str().unwrap();
            assert!(text.starts_with("the event is none of "), "{program}: {event}: {text}");
        }
        if !answers_http(program) {
            let nothing = function.invoke(&json!({"Records": []})).await.unwrap();
            assert_eq!(nothing, json!({"batchItemFailures": []}), "{program}");
        }
    }
}

/// Only the unreadable message of a batch is redelivered.
#[tokio::test]
async fn a_message_that_cannot_be_read_is_named_and_no_other() {
    let system = TestStack::start().await;
    for (program, own) in
        ALL.into_iter().filter(|(program, _)| !answers_http(program) && *program != FAN_OUT)
    {
        let function = function(&system, program, own).await;
        let message = |id: &str, group: &str, body: &str| {
            json!({"messageId": id, "body": body, "attributes": {"MessageGroupId": group, "ApproximateReceiveCount": "1"},
                "eventSource": "aws:sqs", "awsRegion": "us-east-1"})
        };
        let event =
            json!({"Records": [message("bad", "a", "no JSON"), message("worse", "b", "{}")]});
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
