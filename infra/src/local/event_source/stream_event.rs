//! The event that Lambda sends for stream records. It is built as JSON and then parsed into the
//! handler's type, so that a handler receives exactly what it receives on AWS.

use std::collections::HashMap;

use aws_lambda_events::event::dynamodb::Event;
use aws_lambda_events::event::streams::DynamoDbEventResponse;
use aws_sdk_dynamodbstreams::types::{AttributeValue, Record, StreamRecord};
use serde_json::{Map, Value, json};

/// The largest payload of one invocation, in bytes.
const MAX_PAYLOAD_BYTES: i64 = 6 * 1024 * 1024;

/// The event for these records.
///
/// # Errors
/// None for records from the SDK.
pub fn event(records: &[Record], stream_arn: &str) -> serde_json::Result<Event> {
    let records = records
        .iter()
        .map(|record| record_json(record, stream_arn))
        .collect::<Result<Vec<_>, _>>()?;
    serde_json::from_value(json!({ "Records": records }))
}

/// How many of the first records fit into one invocation: at least one, even if it is too large.
pub(crate) fn fitting(records: &[Record]) -> usize {
    let mut bytes = 0_i64;
    let fitting = records.iter().take_while(|record| {
        bytes = bytes.saturating_add(
            record.dynamodb().and_then(StreamRecord::size_bytes).unwrap_or_default(),
        );
        bytes <= MAX_PAYLOAD_BYTES
    });
    fitting.count().max(1).min(records.len())
}

/// How many of the first records are handled: all before the first failed one. None, if the
/// response names a record that is not in the batch.
pub(crate) fn done(records: &[Record], response: &DynamoDbEventResponse) -> usize {
    let position =
        |failed: &str| records.iter().position(|record| sequence_number(record) == Some(failed));
    let failures = response.batch_item_failures.iter();
    let positions =
        failures.map(|failure| failure.item_identifier.as_deref().and_then(position).unwrap_or(0));
    positions.min().unwrap_or(records.len())
}

/// The record's sequence number in its shard.
pub(crate) fn sequence_number(record: &Record) -> Option<&str> {
    record.dynamodb().and_then(StreamRecord::sequence_number)
}

fn record_json(record: &Record, stream_arn: &str) -> serde_json::Result<Value> {
    let mut json = json!({
        "eventID": record.event_id(),
        "eventName": record.event_name().map(|name| name.as_str()),
        "eventVersion": record.event_version(),
        "eventSource": "aws:dynamodb",
        "awsRegion": record.aws_region(),
        "eventSourceARN": stream_arn,
        "dynamodb": record.dynamodb().map(change_json).transpose()?,
    });
    if let (Some(identity), Some(fields)) = (record.user_identity(), json.as_object_mut()) {
        let identity = json!({ "type": identity.r#type(), "principalId": identity.principal_id() });
        fields.insert("userIdentity".to_owned(), identity);
    }
    Ok(json)
}

fn change_json(change: &StreamRecord) -> serde_json::Result<Value> {
    let mut json = Map::new();
    let mut set = |name: &str, value: Value| json.insert(name.to_owned(), value);
    if let Some(time) = change.approximate_creation_date_time() {
        set("ApproximateCreationDateTime", json!(time.secs()));
    }
    for (name, image) in [
        ("Keys", change.keys()),
        ("NewImage", change.new_image()),
        ("OldImage", change.old_image()),
    ] {
        if let Some(image) = image {
            set(name, image_json(image)?);
        }
    }
    set("SequenceNumber", json!(change.sequence_number()));
    set("SizeBytes", json!(change.size_bytes().unwrap_or_default()));
    set("StreamViewType", json!(change.stream_view_type().map(|view| view.as_str())));
    Ok(Value::Object(json))
}

fn image_json(image: &HashMap<String, AttributeValue>) -> serde_json::Result<Value> {
    serde_json::to_value(serde_dynamo::Item::from(image.clone()))
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodbstreams::primitives::Blob;
    use aws_sdk_dynamodbstreams::types::OperationType;

    use super::*;

    fn record(sequence_number: &str, size_bytes: i64) -> Record {
        let image = [
            ("pk".to_owned(), AttributeValue::S("a".to_owned())),
            ("bytes".to_owned(), AttributeValue::B(Blob::new([0, 1, 42, 65]))),
            (
                "list".to_owned(),
                AttributeValue::L(vec![
                    AttributeValue::N("7".to_owned()),
                    AttributeValue::Null(true),
                ]),
            ),
        ];
        let change = StreamRecord::builder()
            .set_keys(Some(HashMap::from([("pk".to_owned(), AttributeValue::S("a".to_owned()))])))
            .set_new_image(Some(HashMap::from(image)))
            .sequence_number(sequence_number)
            .size_bytes(size_bytes)
            .build();
        Record::builder()
            .event_id("e1")
            .event_name(OperationType::Insert)
            .event_version("1.1")
            .aws_region("eu-west-1")
            .dynamodb(change)
            .build()
    }

    fn failed(identifiers: &[Option<&str>]) -> DynamoDbEventResponse {
        let failures: Vec<_> =
            identifiers.iter().map(|identifier| json!({ "itemIdentifier": identifier })).collect();
        serde_json::from_value(json!({ "batchItemFailures": failures })).unwrap()
    }

    #[test]
    fn the_payload_is_the_json_of_lambda() {
        let json = record_json(&record("111", 54), "arn:stream").unwrap();
        assert_eq!(json["eventName"], "INSERT");
        assert_eq!(json["eventSource"], "aws:dynamodb");
        assert_eq!(json["eventSourceARN"], "arn:stream");
        assert_eq!(json["dynamodb"]["Keys"], json!({ "pk": { "S": "a" } }));
        assert_eq!(json["dynamodb"]["NewImage"]["bytes"], json!({ "B": "AAEqQQ==" }));
        assert_eq!(
            json["dynamodb"]["NewImage"]["list"],
            json!({ "L": [{ "N": "7" }, { "NULL": true }] })
        );
        assert_eq!(json["dynamodb"]["SequenceNumber"], "111");
        assert!(json["dynamodb"].get("OldImage").is_none());
        assert!(json.get("userIdentity").is_none());
        let event = event(&[record("111", 54)], "arn:stream").unwrap();
        assert_eq!(event.records[0].change.sequence_number.as_deref(), Some("111"));
    }

    #[test]
    fn the_lowest_failure_decides_and_an_unknown_one_fails_all() {
        let records = [record("1", 1), record("2", 1), record("3", 1)];
        assert_eq!(done(&records, &failed(&[])), 3);
        assert_eq!(done(&records, &failed(&[Some("3"), Some("2")])), 1);
        for bad in [None, Some(""), Some("4")] {
            assert_eq!(done(&records, &failed(&[Some("3"), bad])), 0, "{bad:?}");
        }
    }

    #[test]
    fn a_batch_ends_before_six_megabytes_but_is_never_empty() {
        let large = MAX_PAYLOAD_BYTES / 2;
        assert_eq!(fitting(&[record("1", large), record("2", large), record("3", 1)]), 2);
        assert_eq!(fitting(&[record("1", large * 3), record("2", 1)]), 1);
        assert_eq!(fitting(&[]), 0);
    }
}
