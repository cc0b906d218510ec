//! The job queue: lost, repeated, unreadable and failing calls, and the steps of operators on a
//! process.
#![cfg(test)]

use crate::harness::seed::append_each;
use crate::harness::stack::TestStack;
use aws_lambda_events::event::sqs::SqsEvent;
use bookshop::fulfilment;
use bookshop::stock;
use eventstore::StreamId;
use handlers::{Operations, RebuildHandler, ResumedState};
use ledgerfold::clients::{Clients, Endpoints};
use ledgerfold::local::engines::access_key::AccessKey;
use projections::Projection;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const CALLS: &str = "ledgerfold-rebuild.fifo";
/// Short enough that a slice is one page.
const A_PAGE: Duration = Duration::ZERO;
const RECEIVED: (&str, u32, &str) = ("StockReceived", 1, r#"{"quantity":5}"#);

/// The calls as an event of a function, in this order.
fn event(bodies: &[String]) -> SqsEvent {
    let record = |(index, body): (usize, &String)| json!({"messageId": index.to_string(), "body": body, "attributes": {}, "messageAttributes": {}});
    let records: Vec<Value> = bodies.iter().enumerate().map(record).collect();
    serde_json::from_value(json!({ "Records": records })).unwrap()
}

/// The indexes of the failed calls of the batch.
async fn failed(handler: &RebuildHandler, bodies: &[String]) -> Vec<String> {
    let answer = handler.handle(event(bodies)).await;
    answer.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
}

/// All waiting calls.
async fn calls(system: &TestStack) -> Vec<String> {
    let messages = system.take_all(CALLS).await;
    messages.into_iter().map(|message| message.body.unwrap()).collect()
}

/// Handles calls until none is left.
async fn work_off(system: &TestStack, handler: &RebuildHandler) {
    for _ in 0..1_000 {
        let calls = calls(system).await;
        if calls.is_empty() {
            return;
        }
        assert_eq!(failed(handler, &calls).await, [""; 0]);
    }
    panic!("the job does not end");
}

async fn with_books(books: usize) -> TestStack {
    let system = TestStack::start().await;
    for book in 0..books {
        append_each(&system.store, &format!("stock-{book}"), &[RECEIVED, RECEIVED]).await;
    }
    system
}

/// An operator whose queues do not answer.
fn cut_off(system: &TestStack) -> Operations {
    let nowhere = Endpoints::of_one("http://127.0.0.1:1", AccessKey::generate().unwrap());
    Operations::new(
        bookshop::app(),
        system.store.clone(),
        system.projector(),
        Clients::loopback(&nowhere).sqs,
        system.names.clone(),
    )
}

async fn is_complete(operations: &Operations, projection: &Projection) -> bool {
    let status = operations.view(projection).await.unwrap().status;
    status.job.is_none() && status.report.unwrap().complete
}

#[tokio::test]
async fn an_unreadable_call_fails_alone() {
    let system = with_books(3).await;
    let handler = RebuildHandler::new(system.operations()).with_slice(A_PAGE);
    system.operations().rebuild(&stock(), 1).await.unwrap();
    let good = calls(&system).await.remove(0);
    let unknown = good.replace("\"stock\"", "\"stick\"");
    assert_ne!(unknown, good);
    let batch = ["{".to_owned(), good, unknown, String::new()];
    assert_eq!(failed(&handler, &batch).await, ["0", "2", "3"]);
    work_off(&system, &handler).await;
    assert!(is_complete(&system.operations(), &stock()).await);
}

#[tokio::test]
async fn a_slice_with_lost_successors_is_done_once_and_calls_again() {
    let system = with_books(3).await;
    let handler = RebuildHandler::new(system.operations()).with_slice(A_PAGE);
    let deaf = RebuildHandler::new(cut_off(&system)).with_slice(A_PAGE);
    let operations = system.operations();
    operations.rebuild(&stock(), 2).await.unwrap();
    let calls = calls(&system).await;
    assert_eq!(failed(&deaf, &calls).await, ["0", "1"], "nobody could be called");
    let met = operations.view(&stock()).await.unwrap().status.job.unwrap();
    assert_eq!((met.pass, met.segments_done), (1, 0), "the backfill is done all the same");
    // Both calls are delivered again, one of them twice.
    assert_eq!(failed(&handler, &[calls.clone(), calls[..1].to_vec()].concat()).await, [""; 0]);
    assert_eq!(
        system.waiting(CALLS).await,
        2,
        "a call for each segment of the next pass, and no more"
    );
    work_off(&system, &handler).await;
    let report = operations.view(&stock()).await.unwrap().status.report.unwrap();
    assert_eq!(
        (report.complete, report.first_pass.commits, report.last_pass.present),
        (true, 6, 3)
    );
}

#[tokio::test]
async fn a_step_whose_notification_failed_is_notified_by_resume() {
    let system = with_books(1).await;
    let (deaf, operations) = (cut_off(&system), system.operations());
    let error = deaf.rebuild(&stock(), 2).await.unwrap_err();
    assert!(
        !error.is_refusal() && error.to_string() == "the queue did not take the messages",
        "{error}"
    );
    assert_eq!(system.waiting(CALLS).await, 0);
    let resumption = operations.resume(&stock(), None, None).await.unwrap();
    assert_eq!(
        (resumption.job, resumption.streams.len(), system.waiting(CALLS).await),
        (Some(1), 0, 2)
    );
    work_off(&system, &RebuildHandler::new(operations.clone())).await;
    assert!(is_complete(&operations, &stock()).await);
}

/// The notifications in fulfilment's queue: stream and version.
async fn announced(system: &TestStack) -> BTreeSet<(String, u64)> {
    let messages = system.take_all("ledgerfold-fulfilment.fifo").await;
    let read = messages.iter().map(|message| {
        let body: Value = serde_json::from_str(message.body().unwrap()).unwrap();
        assert!(body["commits"].is_null(), "{body}");
        (body["stream"].as_str().unwrap().to_owned(), body["last_version"].as_u64().unwrap())
    });
    read.collect()
}

#[tokio::test]
async fn a_process_is_notified_of_its_parked_stream() {
    let system = with_books(3).await;
    let operations = system.operations();
    for book in [1, 2] {
        let stream = StreamId::new(format!("stock-{book}")).unwrap();
        let error = std::io::Error::other("no such book");
        system.projector().park(&fulfilment(), 1, &stream, Some(2), &error).await.unwrap();
    }
    let resumption = operations
        .resume(&fulfilment(), Some(&StreamId::new("stock-1").unwrap()), None)
        .await
        .unwrap();
    assert_eq!(resumption.streams.len(), 1);
    assert_eq!(announced(&system).await, BTreeSet::from([("stock-1".to_owned(), 2)]));
    let resumption = operations.resume(&fulfilment(), None, None).await.unwrap();
    let states: Vec<_> =
        resumption.streams.iter().map(|stream| (stream.stream.as_str(), stream.state)).collect();
    assert_eq!(
        (states, resumption.is_stuck()),
        (vec![("stock-2", ResumedState::Announced)], false)
    );
    assert_eq!(announced(&system).await, BTreeSet::from([("stock-2".to_owned(), 2)]));
    assert_eq!(operations.view(&fulfilment()).await.unwrap().status.parked, 0);
    assert_eq!(operations.resume(&fulfilment(), None, None).await.unwrap().streams.len(), 0);
}

#[tokio::test]
async fn no_process_is_notified_of_a_missing_stream() {
    let system = with_books(1).await;
    let (operations, error) = (system.operations(), std::io::Error::other("the stream is gone"));
    let gone = StreamId::new("stock-gone").unwrap();
    system.projector().park(&fulfilment(), 1, &gone, None, &error).await.unwrap();
    let resumption = operations.resume(&fulfilment(), None, None).await.unwrap();
    assert_eq!(resumption.streams[0].state, ResumedState::CaughtUp);
    assert_eq!(announced(&system).await, BTreeSet::new());
    assert_eq!(operations.view(&fulfilment()).await.unwrap().status.parked, 0);
}

#[tokio::test]
async fn reconciling_notifies_a_process_of_every_stream_behind() {
    let system = with_books(2).await;
    let operations = system.operations();
    operations.reconcile(&fulfilment(), 1).await.unwrap();
    let first = calls(&system).await;
    assert_eq!(failed(&RebuildHandler::new(operations).with_slice(A_PAGE), &first).await, [""; 0]);
    let expected = ["stock-0", "stock-1"].map(|stream| (stream.to_owned(), 2));
    assert_eq!(announced(&system).await, BTreeSet::from(expected));
}

#[tokio::test]
async fn a_missing_queue_is_named_with_the_remedy() {
    let system = TestStack::start().await;
    let elsewhere = handlers::Names::new("elsewhere");
    let operations =
        system.clients().system(&bookshop::app(), &elsewhere).operations(system.projector());
    let error = operations.view(&stock()).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "there is no queue \"elsewhere-stock.fifo\": `ledgerfold tables create` makes it"
    );
}
