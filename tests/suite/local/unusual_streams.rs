//! Streams as on AWS, not as the embedded engine: closed shards with children, expired iterators,
//! trimmed records.

use std::path::Path;

use ledgerfold::clients::{Clients, Endpoints};
use ledgerfold::local::engines::access_key::AccessKey;
use ledgerfold::local::event_source::mapping::StreamMapping;
use serde_json::{Value, json};

use super::event_table::{all_done, numbers};
use super::{Running, Seen};
use crate::harness::scripted_server;
use crate::harness::scripted_server::{Scripted, error};

fn record(number: usize) -> Value {
    json!({
        "eventID": format!("e{number}"), "eventName": "INSERT", "eventVersion": "1.1", "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1_700_000_000, "Keys": { "n": { "N": number.to_string() } },
            "NewImage": { "n": { "N": number.to_string() } }, "SequenceNumber": sequence_number(number),
            "SizeBytes": 10, "StreamViewType": "NEW_IMAGE"
        }
    })
}

fn sequence_number(number: usize) -> String {
    format!("{number:021}")
}

fn described(shards: &[(&str, Option<&str>)]) -> (u16, Value) {
    let shards =
        shards.iter().map(|(id, parent)| json!({ "ShardId": id, "ParentShardId": parent }));
    (
        200,
        json!({ "StreamDescription": { "StreamArn": "arn", "Shards": shards.collect::<Vec<_>>() } }),
    )
}

/// An iterator with its request as its text.
fn iterator(input: &Value) -> (u16, Value) {
    let place = input["SequenceNumber"].as_str().unwrap_or("start");
    (200, json!({ "ShardIterator": format!("{}/{place}", input["ShardId"].as_str().unwrap()) }))
}

fn page(numbers: &[usize], next: Option<&str>) -> (u16, Value) {
    let records: Vec<_> = numbers.iter().copied().map(record).collect();
    (200, json!({ "Records": records, "NextShardIterator": next }))
}

fn run(server: &Scripted, folder: &Path) -> (Running, Seen<usize>) {
    let seen = Seen::nothing();
    let endpoints = Endpoints::of_one(&server.endpoint, AccessKey::generate().unwrap());
    let mapping = StreamMapping::new("arn", folder.join("checkpoint.json"));
    let writer = seen.clone();
    let handler = move |event| {
        numbers(&event).into_iter().for_each(|number| {
            writer.add(number);
        });
        async { all_done() }
    };
    (Running::start(|stop| mapping.run(Clients::loopback(&endpoints).streams, handler, stop)), seen)
}

#[tokio::test]
async fn a_child_shard_begins_after_its_finished_parent() {
    let script = |operation: &str, input: &Value, _: usize| match operation {
        "DescribeStream" => described(&[("child", Some("parent")), ("parent", Some("dropped"))]),
        "GetShardIterator" => iterator(input),
        _ => match input["ShardIterator"].as_str().unwrap() {
            "parent/start" => page(&[1, 2], Some("parent/2")),
            "parent/2" => page(&[3], None),
            "child/start" => page(&[4], Some("child/4")),
            _ => page(&[], Some("child/4")),
        },
    };
    let folder = tempfile::tempdir().unwrap();
    let server = scripted_server::start(script).await;
    let (mapping, seen) = run(&server, folder.path());
    assert_eq!(seen.at_least(4).await, [1, 2, 3, 4]);
    mapping.stop().await;

    let server = scripted_server::start(script).await;
    let (mapping, _) = run(&server, folder.path());
    let calls = server.calls.at_least(3).await;
    assert_eq!(calls[1].1["ShardId"], "child");
    assert_eq!(calls[1].1["SequenceNumber"], sequence_number(4));
    mapping.stop().await;
}

#[tokio::test]
async fn an_expired_iterator_is_replaced_by_one_after_the_checkpoint() {
    let script = |operation: &str, input: &Value, _: usize| match operation {
        "DescribeStream" => described(&[("s", None)]),
        "GetShardIterator" => iterator(input),
        _ => match input["ShardIterator"].as_str().unwrap() {
            "s/start" => page(&[1, 2], Some("old")),
            "old" => error("ExpiredIteratorException"),
            place if place == format!("s/{}", sequence_number(2)) => page(&[3], Some("s/3")),
            _ => page(&[], Some("s/3")),
        },
    };
    let folder = tempfile::tempdir().unwrap();
    let server = scripted_server::start(script).await;
    let (mapping, seen) = run(&server, folder.path());
    assert_eq!(seen.at_least(3).await, [1, 2, 3]);
    mapping.stop().await;
}

#[tokio::test]
async fn after_trimming_the_oldest_records_that_are_left_come() {
    let folder = tempfile::tempdir().unwrap();
    let before = json!({ "stream_arn": "arn", "shards": { "s": { "after": sequence_number(1) } } });
    std::fs::write(folder.path().join("checkpoint.json"), before.to_string()).unwrap();
    let server = scripted_server::start(|operation, input, _| match operation {
        "DescribeStream" => described(&[("s", None)]),
        "GetShardIterator" if input["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER" => {
            error("TrimmedDataAccessException")
        }
        "GetShardIterator" => iterator(input),
        _ => match input["ShardIterator"].as_str().unwrap() {
            "s/start" => page(&[7, 8], Some("s/8")),
            _ => page(&[], Some("s/8")),
        },
    })
    .await;
    let (mapping, seen) = run(&server, folder.path());
    assert_eq!(seen.at_least(2).await, [7, 8]);
    mapping.stop().await;
}

#[tokio::test]
async fn an_outage_of_the_stream_is_waited_out() {
    let server = scripted_server::start(|operation, input, before| match operation {
        "DescribeStream" if before < 2 => error("ResourceNotFoundException"),
        "DescribeStream" => described(&[("s", None)]),
        "GetShardIterator" => iterator(input),
        _ if before < 2 => error("LimitExceededException"),
        _ => match input["ShardIterator"].as_str().unwrap() {
            "s/start" => page(&[1], Some("s/1")),
            _ => page(&[], Some("s/1")),
        },
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let (mapping, seen) = run(&server, folder.path());
    assert_eq!(seen.at_least(1).await, [1]);
    mapping.stop().await;
}
