//! What Lambda sends for queue messages. It is built as JSON and read back into the handler's type,
//! so that a handler gets here exactly what it gets on AWS.

use std::collections::HashSet;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use aws_sdk_sqs::types::{Message, MessageAttributeValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

/// The event for these messages of the queue with that ARN.
///
/// # Errors
/// None for messages that the SDK has read.
pub fn event(messages: &[Message], queue_arn: &str) -> serde_json::Result<SqsEvent> {
    let records: Vec<Value> =
        messages.iter().map(|message| message_json(message, queue_arn)).collect();
    serde_json::from_value(json!({ "Records": records }))
}

/// Splits into done and failed messages. All have failed if the handler names one that was not in
/// the batch.
pub(crate) fn split(
    messages: Vec<Message>,
    response: &SqsBatchResponse,
) -> (Vec<Message>, Vec<Message>) {
    let failed: HashSet<&str> = response
        .batch_item_failures
        .iter()
        .map(|failure| failure.item_identifier.as_str())
        .collect();
    let known: HashSet<&str> = messages.iter().filter_map(Message::message_id).collect();
    if !failed.is_subset(&known) {
        return (Vec::new(), messages);
    }
    let failed: HashSet<String> = failed.into_iter().map(str::to_owned).collect();
    messages
        .into_iter()
        .partition(|message| message.message_id().is_none_or(|id| !failed.contains(id)))
}

fn message_json(message: &Message, queue_arn: &str) -> Value {
    let system = message.attributes().into_iter().flatten();
    let custom = message.message_attributes().into_iter().flatten();
    let mut json = json!({
        "messageId": message.message_id(),
        "receiptHandle": message.receipt_handle(),
        "body": message.body(),
        "md5OfBody": message.md5_of_body(),
        "attributes": system.map(|(name, value)| (name.as_str().to_owned(), json!(value))).collect::<Map<_, _>>(),
        "messageAttributes": custom.map(|(name, value)| (name.clone(), attribute_json(value))).collect::<Map<_, _>>(),
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": queue_arn.split(':').nth(3),
    });
    if let (Some(md5), Some(fields)) = (message.md5_of_message_attributes(), json.as_object_mut()) {
        fields.insert("md5OfMessageAttributes".to_owned(), json!(md5));
    }
    json
}

fn attribute_json(attribute: &MessageAttributeValue) -> Value {
    let mut json = json!({ "stringListValues": [], "binaryListValues": [], "dataType": attribute.data_type() });
    if let Some(fields) = json.as_object_mut() {
        if let Some(text) = attribute.string_value() {
            fields.insert("stringValue".to_owned(), json!(text));
        }
        if let Some(bytes) = attribute.binary_value() {
            fields.insert("binaryValue".to_owned(), json!(BASE64.encode(bytes)));
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::primitives::Blob;
    use aws_sdk_sqs::types::MessageSystemAttributeName;

    use super::*;

    const ARN: &str = "arn:aws:sqs:eu-west-1:000000000000:orders.fifo";

    fn message(id: &str) -> Message {
        let text =
            MessageAttributeValue::builder().data_type("String").string_value("v").build().unwrap();
        let bytes = MessageAttributeValue::builder()
            .data_type("Binary")
            .binary_value(Blob::new([0, 1, 42, 65]));
        Message::builder()
            .message_id(id)
            .receipt_handle("handle")
            .body("{}")
            .attributes(MessageSystemAttributeName::MessageGroupId, "order-1")
            .message_attributes("text", text)
            .message_attributes("bytes", bytes.build().unwrap())
            .build()
    }

    fn ids(messages: &[Message]) -> Vec<&str> {
        messages.iter().filter_map(Message::message_id).collect()
    }

    fn failed(identifiers: &[&str]) -> SqsBatchResponse {
        let mut response = SqsBatchResponse::default();
        identifiers.iter().for_each(|id| response.add_failure(*id));
        response
    }

    #[test]
    fn the_payload_is_the_json_of_lambda() {
        let json = message_json(&message("m1"), ARN);
        assert_eq!(json["messageId"], "m1");
        assert_eq!(json["awsRegion"], "eu-west-1");
        assert_eq!(json["eventSourceARN"], ARN);
        assert_eq!(json["attributes"], json!({ "MessageGroupId": "order-1" }));
        let lists = json!({ "stringListValues": [], "binaryListValues": [], "dataType": "Binary", "binaryValue": "AAEqQQ==" });
        assert_eq!(json["messageAttributes"]["bytes"], lists);
        let event = event(&[message("m1")], ARN).unwrap();
        assert_eq!(event.records[0].message_attributes["text"].string_value.as_deref(), Some("v"));
    }

    #[test]
    fn failed_messages_are_separated_and_an_unknown_one_fails_all() {
        let messages = || vec![message("a"), message("b"), message("c")];
        let (done, left) = split(messages(), &failed(&["b"]));
        assert_eq!((ids(&done), ids(&left)), (vec!["a", "c"], vec!["b"]));
        let (done, _) = split(messages(), &failed(&[]));
        assert_eq!(ids(&done), ["a", "b", "c"]);
        for unknown in ["", "z"] {
            let (done, left) = split(messages(), &failed(&["b", unknown]));
            assert_eq!((done.len(), left.len()), (0, 3), "{unknown:?}");
        }
    }
}
