//! When a round begins, and which answers belong to it.

use super::answers::{overtaken, refused};
use super::{STREAM, TABLE, TestStack, api_of, is_done_with, later, passes, receive, reserve};
use crate::harness::wire::{Act, Seen, Wire};
use axum::Router;
use eventstore::EventStore;
use handlers::{CommandQueue, CommandStatuses, CommandWorker, QueueLimits};
use std::sync::Arc;
use std::time::Duration;

const LAST: u32 = CommandWorker::MAX_RECEIVES;

/// An API with a wire to the table of commands.
async fn api_over(stack: &TestStack) -> (Router, Wire) {
    let (client, wire) = Wire::under(&stack.clients().dynamodb);
    let (sqs, name) = (stack.clients().sqs.clone(), super::QUEUE);
    let url = sqs.get_queue_url().queue_name(name).send().await.unwrap().queue_url.unwrap();
    let queue = CommandQueue::new(CommandStatuses::new(client, TABLE), sqs, url);
    (api_of(&stack.system(), Some(queue)), wire)
}

/// Another send of the reservation is refused and gets the answer; then copies come in.
async fn others_are_refused(stack: &TestStack) {
    refused(stack).await;
    let (path, body) = receive(2);
    stack.at_once(&path, "s", &body).await;
}

/// The reservation has no effect, whatever messages still wait.
async fn stays_refused(stack: &TestStack) {
    assert_eq!(stack.command_status("r").await, "refused");
    for message in stack.queued_messages().await {
        assert!(is_done_with(&stack.worker(), &message, 1).await);
    }
    assert_eq!(
        (stack.command_status("r").await.as_str(), stack.types(STREAM).await.len()),
        ("refused", 1)
    );
}

/// Sends the reservation again after the refusal was returned: it is evaluated again.
async fn sent_again_it_is_done(stack: &TestStack) {
    let (path, body) = reserve(2);
    stack.later(&path, "r", &body).await;
    assert!(is_done_with(&stack.worker(), &stack.message().await, 1).await);
    assert_eq!(stack.command_status("r").await, "done");
}

/// A fault at the n-th put of a send: the action of others before it, and its result.
fn at_put<F: Future<Output = ()> + Send + 'static>(
    wire: &Wire,
    lost: usize,
    act: fn() -> Act,
    before: usize,
    others: impl Fn() -> F + Send + Sync + 'static,
) {
    let others = Arc::new(others);
    wire.rule(move |seen: Seen| {
        let others = others.clone();
        async move {
            if (seen.operation.as_str(), seen.nth) == ("PutItem", before) {
                others().await;
            }
            if (seen.operation.as_str(), seen.nth) == ("PutItem", lost) { act() } else { Act::Pass }
        }
    });
}

/// A sender whose first request was slow; it does not send again after an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_within_a_send_begins_no_round_after_its_own() {
    let stack = Arc::new(TestStack::start().await);
    let ((api, wire), others) = (api_over(&stack).await, stack.clone());
    // The row is written and the answer lost. Before the second try, another send of the command is
    // refused.
    at_put(
        &wire,
        0,
        || Act::LoseAnswer,
        1,
        move || {
            let stack = others.clone();
            async move { others_are_refused(&stack).await }
        },
    );
    let (path, body) = reserve(2);
    assert_eq!(later(&api, &path, "r", &body).await.status, 202, "its round is answered");
    stays_refused(&stack).await;
    sent_again_it_is_done(&stack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_within_a_send_follows_no_refusal() {
    let stack = Arc::new(TestStack::start().await);
    let ((api, wire), others) = (api_over(&stack).await, stack.clone());
    // The first request never arrives. Before the second, another send of the command is refused.
    at_put(
        &wire,
        0,
        || Act::Answer(500, r#"{"__type":"InternalServerError"}"#.to_owned()),
        1,
        move || {
            let stack = others.clone();
            async move { others_are_refused(&stack).await }
        },
    );
    let (path, body) = reserve(2);
    passes(&later(&api, &path, "r", &body).await, 503, "unavailable");
    stays_refused(&stack).await;
    sent_again_it_is_done(&stack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_within_a_send_begins_no_round_after_its_second() {
    let stack = Arc::new(TestStack::start().await);
    refused(&stack).await;
    let ((api, wire), others) = (api_over(&stack).await, stack.clone());
    // It finds the refusal and begins the second round, whose answer is lost. Another sender gets a
    // refusal of that round.
    at_put(
        &wire,
        1,
        || Act::LoseAnswer,
        2,
        move || {
            let stack = others.clone();
            async move { others_are_refused(&stack).await }
        },
    );
    let (path, body) = reserve(2);
    assert_eq!(later(&api, &path, "r", &body).await.status, 202, "its round is answered");
    stays_refused(&stack).await;
    sent_again_it_is_done(&stack).await;
}

#[tokio::test]
async fn a_send_that_looks_too_late_follows_no_refusal() {
    let stack = TestStack::start().await;
    others_are_refused(&stack).await;
    let slow = QueueLimits { proof_time: Duration::ZERO, ..QueueLimits::default() };
    let api = stack.api(Some(stack.queue().await.with_limits(slow)));
    let (path, body) = reserve(2);
    let answer = later(&api, &path, "r", &body).await;
    passes(&answer, 503, "unavailable");
    assert!(answer.body["detail"].as_str().unwrap().contains("send it again"), "{answer:?}");
    stays_refused(&stack).await;
    sent_again_it_is_done(&stack).await;
}

#[tokio::test]
async fn a_slow_send_follows_a_failure_all_the_same() {
    let stack = TestStack::start().await;
    let slow = QueueLimits { proof_time: Duration::ZERO, ..QueueLimits::default() };
    let api = stack.api(Some(stack.queue().await.with_limits(slow)));
    let (path, body) = receive(2);
    assert_eq!(later(&api, &path, "k", &body).await.status, 202);
    assert!(!is_done_with(&stack.lost_worker(), &stack.message().await, LAST).await);
    assert_eq!(stack.command_status("k").await, "failed");
    assert_eq!(later(&api, &path, "k", &body).await.status, 202);
    assert!(is_done_with(&stack.worker(), &stack.message().await, 1).await);
    assert_eq!(stack.command_status("k").await, "done");
}

/// A worker is slow with its answer of the first round; meanwhile the second one has begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_that_of_its_own_round_only() {
    for (found, table, receives) in
        [("refused", "ledgerfold-events", 1), ("failed", "no-such-table", LAST)]
    {
        let stack = Arc::new(TestStack::start().await);
        let (path, body) = reserve(2);
        stack.later(&path, "r", &body).await;
        let message = stack.message().await;
        let (others, again) = (stack.clone(), message.clone());
        let statuses = overtaken(&stack, found, move || {
            let (stack, message) = (others.clone(), again.clone());
            async move {
                // The row waits in the second round for as long as the slow worker tries to write.
                if stack.command_row("r").await.unwrap()["round"].as_n().unwrap() == "1" {
                    assert!(is_done_with(&stack.worker(), &message, 2).await);
                    let (path, body) = reserve(2);
                    stack.later(&path, "r", &body).await;
                }
            }
        });
        let store = EventStore::new(stack.clients().dynamodb.clone(), table);
        assert!(
            is_done_with(
                &CommandWorker::new(bookshop::app(), &store, statuses),
                &message,
                receives
            )
            .await,
            "{found}"
        );
        let row = stack.command_row("r").await.unwrap();
        assert_eq!(
            (row["status"].as_s().unwrap().as_str(), row["round"].as_n().unwrap().as_str()),
            ("pending", "2")
        );
        let (path, body) = receive(2);
        stack.at_once(&path, "s", &body).await;
        assert!(is_done_with(&stack.worker(), &stack.message().await, 1).await);
        assert_eq!(stack.command_status("r").await, "done", "{found}");
    }
}

#[tokio::test]
async fn a_row_of_an_older_program_is_continued() {
    let stack = TestStack::start().await;
    others_are_refused(&stack).await;
    let mut row = stack.command_row("r").await.unwrap();
    assert!(row.remove("begun_by").is_some_and(|send| send.as_s().unwrap().len() == 32));
    stack.clients().dynamodb.put_item().table_name(TABLE).set_item(Some(row)).send().await.unwrap();
    assert_eq!(stack.command_status("r").await, "refused");
    sent_again_it_is_done(&stack).await;
}
