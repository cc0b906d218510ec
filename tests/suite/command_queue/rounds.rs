//! When a round begins, and which answers belong to it.

use super::answers::{overtaken, refused};
use super::{STREAM, TABLE, World, api_of, is_done_with, later, passes, receive, reserve};
use crate::harness::wire::{Act, Seen, Wire};
use aws_sdk_dynamodb::Client;
use axum::Router;
use eventstore::EventStore;
use handlers::{CommandQueue, CommandStatuses, CommandWorker, QueueLimits};
use std::sync::Arc;
use std::time::Duration;

const LAST: u32 = CommandWorker::MAX_RECEIVES;

/// An API whose requests to the table of commands pass a wire.
async fn api_over(world: &World) -> (Router, Wire) {
    let config = world.0.clients().dynamodb.config();
    let wire = Wire::over(config.http_client().unwrap());
    let client = Client::from_conf(config.to_builder().http_client(wire.clone()).build());
    let (sqs, name) = (world.0.clients().sqs.clone(), super::QUEUE);
    let url = sqs.get_queue_url().queue_name(name).send().await.unwrap().queue_url.unwrap();
    let queue = CommandQueue::new(CommandStatuses::new(client, TABLE), sqs, url);
    (api_of(&world.system(), Some(queue)), wire)
}

/// Another send of the reservation, which is refused and told so; then there would be enough.
async fn others_are_refused(world: &World) {
    refused(world).await;
    let (path, body) = receive(2);
    world.at_once(&path, "s", &body).await;
}

/// Nothing has come of the reservation, whatever still waits.
async fn stays_refused(world: &World) {
    assert_eq!(world.status("r").await, "refused");
    for message in world.messages().await {
        assert!(is_done_with(&world.worker(), &message, 1).await);
    }
    assert_eq!((world.status("r").await.as_str(), world.types(STREAM).await.len()), ("refused", 1));
}

/// Sends the reservation again, as somebody who was told of the refusal: it is decided again.
async fn sent_again_it_is_done(world: &World) {
    let (path, body) = reserve(2);
    world.later(&path, "r", &body).await;
    assert!(is_done_with(&world.worker(), &world.message().await, 1).await);
    assert_eq!(world.status("r").await, "done");
}

/// The n-th put of a send meets something: what others do before it, and what becomes of it.
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

/// A sender whose first request was slow, not one that sends again after it was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_within_a_send_begins_no_round_behind_its_own() {
    let world = Arc::new(World::start().await);
    let ((api, wire), others) = (api_over(&world).await, world.clone());
    // The row is written and the answer lost. Before the second try, another send of the command is refused.
    at_put(
        &wire,
        0,
        || Act::LoseAnswer,
        1,
        move || {
            let world = others.clone();
            async move { others_are_refused(&world).await }
        },
    );
    let (path, body) = reserve(2);
    assert_eq!(later(&api, &path, "r", &body).await.status, 202, "its round is answered");
    stays_refused(&world).await;
    sent_again_it_is_done(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_within_a_send_follows_no_refusal() {
    let world = Arc::new(World::start().await);
    let ((api, wire), others) = (api_over(&world).await, world.clone());
    // The first request never arrives. Before the second, another send of the command is refused.
    at_put(
        &wire,
        0,
        || Act::Answer(500, r#"{"__type":"InternalServerError"}"#.to_owned()),
        1,
        move || {
            let world = others.clone();
            async move { others_are_refused(&world).await }
        },
    );
    let (path, body) = reserve(2);
    passes(&later(&api, &path, "r", &body).await, 503, "unavailable");
    stays_refused(&world).await;
    sent_again_it_is_done(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_within_a_send_begins_no_round_behind_its_second() {
    let world = Arc::new(World::start().await);
    refused(&world).await;
    let ((api, wire), others) = (api_over(&world).await, world.clone());
    // It meets the refusal and begins the second round, whose answer is lost. That round is refused to another sender.
    at_put(
        &wire,
        1,
        || Act::LoseAnswer,
        2,
        move || {
            let world = others.clone();
            async move { others_are_refused(&world).await }
        },
    );
    let (path, body) = reserve(2);
    assert_eq!(later(&api, &path, "r", &body).await.status, 202, "its round is answered");
    stays_refused(&world).await;
    sent_again_it_is_done(&world).await;
}

#[tokio::test]
async fn a_send_that_looks_too_late_follows_no_refusal() {
    let world = World::start().await;
    others_are_refused(&world).await;
    let slow = QueueLimits { looks_within: Duration::ZERO, ..QueueLimits::default() };
    let api = world.api(Some(world.queue().await.with_limits(slow)));
    let (path, body) = reserve(2);
    let answer = later(&api, &path, "r", &body).await;
    passes(&answer, 503, "unavailable");
    assert!(answer.body["detail"].as_str().unwrap().contains("send it again"), "{answer:?}");
    stays_refused(&world).await;
    sent_again_it_is_done(&world).await;
}

#[tokio::test]
async fn a_slow_send_follows_a_failure_all_the_same() {
    let world = World::start().await;
    let slow = QueueLimits { looks_within: Duration::ZERO, ..QueueLimits::default() };
    let api = world.api(Some(world.queue().await.with_limits(slow)));
    let (path, body) = receive(2);
    assert_eq!(later(&api, &path, "k", &body).await.status, 202);
    assert!(!is_done_with(&world.lost_worker(), &world.message().await, LAST).await);
    assert_eq!(world.status("k").await, "failed");
    assert_eq!(later(&api, &path, "k", &body).await.status, 202);
    assert!(is_done_with(&world.worker(), &world.message().await, 1).await);
    assert_eq!(world.status("k").await, "done");
}

/// A worker is slow with its answer of the first round; meanwhile the second one has begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_that_of_its_own_round_only() {
    for (found, table, receives) in [("refused", "ledgerfold-events", 1), ("failed", "no-such-table", LAST)] {
        let world = Arc::new(World::start().await);
        let (path, body) = reserve(2);
        world.later(&path, "r", &body).await;
        let message = world.message().await;
        let (others, again) = (world.clone(), message.clone());
        let statuses = overtaken(&world, found, move || {
            let (world, message) = (others.clone(), again.clone());
            async move {
                // The row waits in the second round for as long as the slow worker tries to write.
                if world.row("r").await.unwrap()["round"].as_n().unwrap() == "1" {
                    assert!(is_done_with(&world.worker(), &message, 2).await);
                    let (path, body) = reserve(2);
                    world.later(&path, "r", &body).await;
                }
            }
        });
        let store = EventStore::new(world.0.clients().dynamodb.clone(), table);
        assert!(
            is_done_with(&CommandWorker::new(bookshop::app(), &store, statuses), &message, receives).await,
            "{found}"
        );
        let row = world.row("r").await.unwrap();
        assert_eq!((row["status"].as_s().unwrap().as_str(), row["round"].as_n().unwrap().as_str()), ("pending", "2"));
        let (path, body) = receive(2);
        world.at_once(&path, "s", &body).await;
        assert!(is_done_with(&world.worker(), &world.message().await, 1).await);
        assert_eq!(world.status("r").await, "done", "{found}");
    }
}

#[tokio::test]
async fn a_row_of_an_older_program_is_gone_on_with() {
    let world = World::start().await;
    others_are_refused(&world).await;
    let mut row = world.row("r").await.unwrap();
    assert!(row.remove("begun_by").is_some_and(|send| send.as_s().unwrap().len() == 32));
    world.0.clients().dynamodb.put_item().table_name(TABLE).set_item(Some(row)).send().await.unwrap();
    assert_eq!(world.status("r").await, "refused");
    sent_again_it_is_done(&world).await;
}
