//! Failing queues: they reject deletes, or do not answer.

use handlers::delivery::QueueMapping;
use ledgerfold::clients::{Clients, Endpoints};
use ledgerfold::local::engines::access_key::AccessKey;
use serde_json::{Value, json};

use super::local_queues::{all_done, bodies};
use super::{Running, Seen, eventually};
use crate::harness::scripted_server;
use crate::harness::scripted_server::Scripted;

fn attributes() -> (u16, Value) {
    (200, json!({ "Attributes": { "QueueArn": "arn:aws:sqs:eu-west-1:000000000000:orders" } }))
}

fn messages(bodies: &[&str]) -> (u16, Value) {
    let message = |body: &&str| json!({ "MessageId": body, "ReceiptHandle": format!("handle-{body}"), "Body": body });
    (200, json!({ "Messages": bodies.iter().map(message).collect::<Vec<_>>() }))
}

fn refused(entries: &[(&str, bool)]) -> (u16, Value) {
    let entry = |&(id, sender_fault): &(&str, bool)| json!({ "Id": id, "SenderFault": sender_fault, "Code": "Refused" });
    (200, json!({ "Successful": [], "Failed": entries.iter().map(entry).collect::<Vec<_>>() }))
}

/// Runs a mapping against the server until `enough` calls. Returns the handler's batches.
async fn run_until(
    server: &Scripted,
    enough: impl Fn(&[scripted_server::Call]) -> bool,
) -> Vec<Vec<String>> {
    let endpoints = Endpoints::of_one(&server.endpoint, AccessKey::generate().unwrap());
    let seen = Seen::nothing();
    let writer = seen.clone();
    let handler = move |event| {
        writer.add(bodies(&event));
        async { all_done() }
    };
    let mapping = QueueMapping::new(format!("{}/000000000000/orders", server.endpoint));
    let mapping =
        Running::start(|stop| mapping.run(Clients::loopback(&endpoints).sqs, handler, stop));
    eventually("enough calls", || async { enough(&server.calls.list()).then_some(()) }).await;
    mapping.stop().await;
    seen.all()
}

/// The receipt handles of each `DeleteMessageBatch`.
fn deleted(server: &Scripted) -> Vec<Vec<String>> {
    let calls =
        server.calls.all().into_iter().filter(|(operation, _)| operation == "DeleteMessageBatch");
    let handle = |entry: &Value| entry["ReceiptHandle"].as_str().unwrap().to_owned();
    calls
        .map(|(_, input)| input["Entries"].as_array().unwrap().iter().map(handle).collect())
        .collect()
}

fn polls(calls: &[scripted_server::Call]) -> usize {
    calls.iter().filter(|(operation, _)| operation == "ReceiveMessage").count()
}

#[tokio::test]
async fn only_deletions_that_may_succeed_are_tried_again() {
    let server = scripted_server::start(|operation, _, before| match (operation, before) {
        ("GetQueueAttributes", _) => attributes(),
        ("ReceiveMessage", 0) => messages(&["a", "b", "c"]),
        ("ReceiveMessage", _) => messages(&[]),
        (_, 0) => refused(&[("0", true), ("2", false)]),
        _ => refused(&[]),
    })
    .await;
    let seen = run_until(&server, |calls| polls(calls) >= 3).await;
    assert_eq!(seen, [["a", "b", "c"]]);
    assert_eq!(deleted(&server), [vec!["handle-a", "handle-b", "handle-c"], vec!["handle-c"]]);
}

#[tokio::test]
async fn a_deletion_that_never_succeeds_is_given_up() {
    let server = scripted_server::start(|operation, _, before| match (operation, before) {
        ("GetQueueAttributes", _) => attributes(),
        ("ReceiveMessage", 0) => messages(&["a"]),
        ("ReceiveMessage", _) => messages(&[]),
        _ => refused(&[("0", false)]),
    })
    .await;
    run_until(&server, |calls| polls(calls) >= 3).await;
    assert_eq!(deleted(&server), [["handle-a"]; 3]);
}

#[tokio::test]
async fn an_outage_of_the_queue_is_waited_out() {
    let down = || (400, json!({ "__type": "com.amazonaws.sqs#QueueDoesNotExist" }));
    let server = scripted_server::start(move |operation, _, before| match (operation, before) {
        ("GetQueueAttributes", 0) | ("ReceiveMessage", 0 | 1) => down(),
        ("GetQueueAttributes", _) => attributes(),
        ("ReceiveMessage", 2) => messages(&["a"]),
        ("ReceiveMessage", _) => messages(&[]),
        _ => refused(&[]),
    })
    .await;
    let seen = run_until(&server, |calls| polls(calls) >= 4).await;
    assert_eq!(seen, [["a"]]);
}
