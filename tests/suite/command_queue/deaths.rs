//! Senders and workers that die between any two requests, or lose an answer.

use super::{TestStack, api_of, deliver, is_done_with, later};
use crate::harness::faults::{Fault, FaultInjector};
use crate::harness::http::{Client, isbn, sent};
use crate::harness::program::Dev;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tempfile::TempDir;

/// More requests than any scenario makes.
const MAX_REQUESTS: usize = 50;

/// Every fault of the n-th request.
fn faults(n: usize) -> [Fault; 3] {
    [Fault::DiesBefore(n), Fault::DiesAfter(n), Fault::LosesAnswer(n)]
}

/// A new book for each case.
fn book(case: usize) -> String {
    isbn(u32::try_from(case).unwrap())
}

/// Runs a scenario with every fault of every request, until none happens. Returns the number of
/// faults.
async fn struck<F: Future<Output = bool>>(mut scenario: impl FnMut(usize, Fault) -> F) -> usize {
    let mut struck = 0;
    for n in 1..MAX_REQUESTS {
        let before = struck;
        for (which, fault) in faults(n).into_iter().enumerate() {
            struck += usize::from(scenario(3 * n + which, fault).await);
        }
        if struck == before {
            return struck;
        }
    }
    panic!("it makes more requests than anybody thought");
}

/// A worker dies during a command to a new book; another one gets the message. Returns whether the
/// fault happened.
async fn die_over(
    stack: &TestStack,
    case: usize,
    fault: Fault,
    command: &str,
    body: &Value,
    expected: &str,
) -> bool {
    let (book, key) = (book(case), format!("{command}-{case}"));
    stack.later(&format!("/stock/{book}/{command}"), &key, body).await;
    let (message, wire) = (stack.message().await, FaultInjector::default());
    let worker = stack.system_over(&wire).command_worker();
    wire.arm(Some(fault));
    if !is_done_with(&worker, &message, 1).await {
        assert!(!wire.is_armed(), "it came back without a crash");
        assert!(is_done_with(&stack.worker(), &message, 2).await, "{fault:?}");
    }
    let struck = !wire.is_armed();
    // The queue redelivers it, as after a lost acknowledgement.
    assert!(is_done_with(&stack.worker(), &message, 3).await, "{fault:?}");
    let events = stack.types(&format!("stock-{book}")).await;
    assert_eq!(stack.command_status(&key).await, expected, "{fault:?}");
    let recorded = if expected == "done" { vec!["StockReceived"] } else { Vec::new() };
    assert_eq!(events, recorded, "{fault:?}");
    struck
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_at_any_request_leaves_a_command_done_once() {
    let stack = TestStack::start().await;
    let body = json!({"quantity": 5});
    let struck =
        struck(|case, fault| die_over(&stack, case, fault, "receive", &body, "done")).await;
    // A read of the row, the commit, the status; a fresh worker reads the stream before.
    assert!(struck >= 9, "only {struck} faults came to pass");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_at_any_request_leaves_a_command_refused() {
    let stack = TestStack::start().await;
    let body = json!({"order_id": "6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e", "quantity": 5});
    let struck =
        struck(|case, fault| die_over(&stack, case, fault, "reserve", &body, "refused")).await;
    assert!(struck >= 9, "only {struck} faults came to pass");
}

/// An API dies during a command; its sender tries another one. Returns whether the fault happened.
async fn die_sending(stack: &TestStack, case: usize, fault: Fault) -> bool {
    let (book, key, wire) = (book(case), format!("k-{case}"), FaultInjector::default());
    let (path, body) = (format!("/stock/{book}/receive"), json!({"quantity": 5}));
    let system = stack.system_over(&wire);
    let api = api_of(&system, Some(system.command_queue().await.unwrap()));
    wire.arm(Some(fault));
    let taken = later(&api, &path, &key, &body).await;
    let struck = !wire.is_armed();
    if taken.status != 202 {
        assert!(
            struck && taken.status == 503 && taken.headers.contains_key("retry-after"),
            "{taken:?}"
        );
        stack.later(&path, &key, &body).await;
    }
    let messages = stack.queued_messages().await;
    assert!(!messages.is_empty(), "{fault:?}: it was taken, and nothing waits");
    for message in messages {
        assert!(is_done_with(&stack.worker(), &message, 1).await, "{fault:?}");
    }
    assert_eq!(stack.types(&format!("stock-{book}")).await, ["StockReceived"], "{fault:?}");
    assert_eq!(stack.command_status(&key).await, "done", "{fault:?}");
    struck
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_dies_at_any_request_leaves_a_command_done_once() {
    let stack = TestStack::start().await;
    let struck = struck(|case, fault| die_sending(&stack, case, fault)).await;
    // The length of the queue, the row, the message.
    assert!(struck >= 9, "only {struck} faults came to pass");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_do_the_same_at_once_do_it_once() {
    let stack = TestStack::start().await;
    let body = json!({"quantity": 5});
    for number in 0..10 {
        stack
            .later(&format!("/stock/{}/receive", book(number)), &format!("k-{number}"), &body)
            .await;
    }
    let messages = stack.queued_messages().await;
    let workers: Vec<_> = (0..4).map(|_| stack.worker()).collect();
    let ended =
        futures::future::join_all(workers.iter().map(|worker| deliver(worker, &messages))).await;
    assert!(ended.iter().all(Vec::is_empty), "{ended:?}");
    for number in 0..10 {
        assert_eq!(stack.types(&format!("stock-{}", book(number))).await, ["StockReceived"]);
        assert_eq!(stack.command_status(&format!("k-{number}")).await, "done");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_program_answers_every_accepted_command() {
    let (data, mut keys) = (TempDir::new().unwrap(), BTreeSet::new());
    for life in 0..3 {
        let dev = Dev::start(data.path()).await;
        let client = Client::of(&dev.url);
        for number in 0..20 {
            let key = format!("k-{life}-{number}");
            let request = client.keyed(
                &format!("/stock/{}/receive", book(number % 3)),
                &key,
                &json!({"quantity": 1}),
            );
            let taken = sent(request.header("Prefer", "respond-async")).await;
            assert_eq!(taken.status, 202);
            keys.insert(key);
        }
        dev.kill().await;
    }
    let dev = Dev::start(data.path()).await;
    let client = Client::of(&dev.url);
    for key in &keys {
        client.until(&format!("/commands/{key}"), |answer| answer.body["status"] == "done").await;
    }
    let mut recorded = 0;
    for number in 0..3 {
        recorded += client.events(&format!("stock-{}", book(number))).await.len();
    }
    assert_eq!(recorded, keys.len());
}
