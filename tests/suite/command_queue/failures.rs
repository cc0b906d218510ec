//! Commands with failures that may pass, and unreadable messages.

use super::{QUEUE, STREAM, TestStack, deliver, is_done_with, receive, reserve};
use crate::harness::faults::{Fault, FaultInjector};
use crate::harness::messages::{Message, ids};
use crate::harness::waiting::eventually;
use crate::harness::wire::{Act, Wire};
use aws_sdk_sqs::types::QueueAttributeName;
use eventstore::EventStore;
use handlers::CommandWorker;
use handlers::delivery::QueueMapping;
use serde_json::Value;
use std::convert::Infallible;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const LAST: u32 = CommandWorker::MAX_RECEIVES;
const DEAD: &str = "ledgerfold-commands-dead.fifo";

/// Sends a command, and receives its message.
async fn taken(stack: &TestStack, key: &str, quantity: u32) -> Message {
    let (path, body) = receive(quantity);
    stack.later(&path, key, &body).await;
    stack.message().await
}

#[tokio::test]
async fn a_failing_store_fails_a_command_at_its_fifth_try() {
    let stack = TestStack::start().await;
    let message = taken(&stack, "k", 5).await;
    for receives in 1..LAST {
        assert!(!is_done_with(&stack.lost_worker(), &message, receives).await);
        assert_eq!(stack.command_status("k").await, "pending");
    }
    assert!(
        !is_done_with(&stack.lost_worker(), &message, LAST).await,
        "it goes to the dead-letter queue"
    );
    let failed = stack.outcome("k").await;
    assert_eq!((&failed["status"], &failed["result"]), (&Value::from("failed"), &Value::Null));
    let problem = &failed["problem"];
    assert_eq!(problem["type"], "https://ledgerfold.dev/problems/internal-error");
    assert!(
        problem["error_id"].is_string() && !problem.to_string().contains("no-such-table"),
        "{problem}"
    );
    // The table exists again, and operators redrive.
    assert!(is_done_with(&stack.worker(), &message, 1).await);
    assert_eq!(
        (stack.command_status("k").await.as_str(), stack.types(STREAM).await.len()),
        ("done", 1)
    );
}

#[tokio::test]
async fn a_worker_killed_in_the_last_try_has_stored_the_failure() {
    let stack = TestStack::start().await;
    let (message, wire) = (taken(&stack, "k", 5).await, FaultInjector::default());
    let worker = stack.system_over(&wire).command_worker();
    // It reads the row and stores the failure; it is killed during the command.
    wire.arm(Some(Fault::DiesBefore(3)));
    assert!(!is_done_with(&worker, &message, LAST).await);
    let failed = stack.outcome("k").await;
    assert_eq!(
        (&failed["status"], &failed["problem"]["title"]),
        (&"failed".into(), &"The command was given up".into())
    );
    assert!(failed["problem"]["error_id"].is_string(), "{failed}");
    assert!(
        is_done_with(&stack.worker(), &message, LAST).await,
        "a last try that succeeds is done"
    );
    assert_eq!(
        (stack.command_status("k").await.as_str(), stack.types(STREAM).await.len()),
        ("done", 1)
    );
}

#[tokio::test]
async fn a_worker_killed_in_a_batch_has_stored_all_failures() {
    let stack = TestStack::start().await;
    let first = Message { receives: LAST, ..taken(&stack, "a", 1).await };
    let second = Message { receives: LAST, ..taken(&stack, "b", 2).await };
    let wire = FaultInjector::default();
    let worker = stack.system_over(&wire).command_worker();
    // Two rows are read and written; it is killed during the first command, and the second is never
    // tried.
    wire.arm(Some(Fault::DiesBefore(5)));
    let both = [first.id.clone(), second.id.clone()];
    assert_eq!(deliver(&worker, &[first, second]).await, both);
    assert_eq!(
        (stack.command_status("a").await.as_str(), stack.command_status("b").await.as_str()),
        ("failed", "failed")
    );
    assert_eq!(stack.types(STREAM).await.len(), 0);
}

#[tokio::test]
async fn a_throttled_store_is_reported_as_that() {
    let stack = TestStack::start().await;
    let message = taken(&stack, "k", 5).await;
    let (client, wire) = Wire::under(&stack.clients().dynamodb);
    wire.rule(async |_| {
        Act::Answer(400, r#"{"__type":"ThrottlingException","message":"slowly"}"#.to_owned())
    });
    let store = EventStore::new(client, stack.names.events());
    let worker = CommandWorker::new(bookshop::app(), &store, stack.system().command_statuses());
    assert!(!is_done_with(&worker, &message, LAST).await);
    let failed = stack.outcome("k").await;
    assert_eq!(failed["problem"]["type"], "https://ledgerfold.dev/problems/throttled");
    assert!(failed["problem"]["error_id"].is_string(), "{failed}");
}

#[tokio::test]
async fn a_command_sent_again_leaves_its_dead_letter_without_effect() {
    let stack = TestStack::start().await;
    let (path, body) = reserve(2);
    stack.later(&path, "r", &body).await;
    let dead = stack.message().await;
    assert!(!is_done_with(&stack.lost_worker(), &dead, LAST).await);
    stack.later(&path, "r", &body).await;
    assert_eq!(stack.command_status("r").await, "pending");
    let again = stack.message().await;
    assert!(is_done_with(&stack.worker(), &again, 1).await);
    assert_eq!(stack.command_status("r").await, "refused");
    let (path, body) = receive(2);
    stack.at_once(&path, "s", &body).await;
    assert!(is_done_with(&stack.worker(), &dead, 1).await, "redriven too late");
    assert_eq!(
        (stack.command_status("r").await.as_str(), stack.types(STREAM).await.len()),
        ("refused", 1)
    );
}

#[tokio::test]
async fn commands_after_a_failed_one_wait_in_its_stream_only() {
    let stack = TestStack::start().await;
    let other = |message: Message| Message { group: "stock-9780306406158".to_owned(), ..message };
    let (first, second) = (taken(&stack, "a", 1).await, taken(&stack, "b", 2).await);
    let broken = Message { body: Some("{".to_owned()), ..first.clone() };
    let third = other(taken(&stack, "c", 3).await);
    let batch = [broken, second, third];
    assert_eq!(deliver(&stack.worker(), &batch).await, ids(&batch[..2]));
    assert_eq!(
        (stack.command_status("b").await.as_str(), stack.command_status("c").await.as_str()),
        ("pending", "done")
    );
}

#[tokio::test]
async fn commands_after_a_failed_last_try_are_tried_at_once() {
    let stack = TestStack::start().await;
    let first = taken(&stack, "a", 1).await;
    let broken = Message { body: Some("{".to_owned()), receives: LAST, ..first };
    let second = Message { receives: LAST, ..taken(&stack, "b", 2).await };
    assert_eq!(deliver(&stack.worker(), &[broken.clone(), second]).await, [broken.id]);
    assert_eq!(
        (stack.command_status("a").await.as_str(), stack.command_status("b").await.as_str()),
        ("pending", "done")
    );
}

#[tokio::test]
async fn what_is_no_command_is_never_done_with() {
    let stack = TestStack::start().await;
    let good = taken(&stack, "k", 5).await;
    let body = good.body.clone().unwrap();
    let foreign = body.replace("\"stock\":{", "\"order\":{");
    let misplaced = body.replace("stock-9780306406157", "order-9780306406157");
    let newer = body.replace("\"v\":2", "\"v\":3");
    let older = body.replace("\"v\":2", "\"v\":1");
    let nobodys = body.replace("\"actor\":\"dev\"", "\"actor\":\"two words\"");
    for (which, wrong) in
        ["", "{", "[]", "{\"v\":1}", "{\"v\":2}", &foreign, &misplaced, &newer, &older, &nobodys]
            .iter()
            .enumerate()
    {
        assert_ne!(**wrong, body, "{which}");
        for receives in [1, LAST] {
            let message = Message { body: Some((*wrong).to_owned()), ..good.clone() };
            assert!(!is_done_with(&stack.worker(), &message, receives).await, "{which}: {wrong}");
        }
    }
    assert!(!is_done_with(&stack.worker(), &Message { body: None, ..good.clone() }, 1).await);
    assert_eq!(
        (stack.command_status("k").await.as_str(), stack.types(STREAM).await.len()),
        ("pending", 0)
    );
    assert!(is_done_with(&stack.worker(), &good, 1).await, "and this is a command");
}

#[tokio::test]
async fn the_form_of_a_queued_message_never_changes() {
    let stack = TestStack::start().await;
    let good = taken(&stack, "k", 5).await;
    // As the second version wrote it.
    let first = r#"{"v":2,"round":1,"stream":"stock-9780306406157","envelope":{"command_id":"k","fingerprint":"FINGERPRINT","correlation_id":"k","actor":"dev"},"command":{"stock":{"type":"ReceiveStock","data":{"quantity":5}}}}"#;
    let mut sent: Value = serde_json::from_str(good.body.as_ref().unwrap()).unwrap();
    // The API begins a trace for every request; a message may have none.
    assert!(sent["envelope"].as_object_mut().unwrap().remove("trace_parent").is_some());
    // Nor which send began its round.
    assert!(sent.as_object_mut().unwrap().remove("begun_by").is_some());
    let first = first.replace("FINGERPRINT", sent["envelope"]["fingerprint"].as_str().unwrap());
    assert_eq!(serde_json::from_str::<Value>(&first).unwrap(), sent);
    let future = first.replace("\"v\":2", "\"v\":2,\"a_new_field\":true");
    assert!(is_done_with(&stack.worker(), &Message { body: Some(future), ..good }, 1).await);
    assert_eq!(stack.command_status("k").await, "done");
}

/// A worker at the queue, until it is stopped.
struct AtWork {
    stop: CancellationToken,
    running: JoinHandle<()>,
}

fn work(stack: &TestStack, queue_url: &str, worker: CommandWorker) -> AtWork {
    let (stop, mut mapping) = (CancellationToken::new(), QueueMapping::new(queue_url));
    (mapping.retry_after, mapping.poll) = (Some(Duration::ZERO), Duration::ZERO);
    let handler = move |event| {
        let worker = worker.clone();
        async move { Ok::<_, Infallible>(worker.handle(event).await) }
    };
    let running = tokio::spawn(mapping.run(stack.clients().sqs.clone(), handler, stop.clone()));
    AtWork { stop, running }
}

impl AtWork {
    async fn end(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_command_becomes_a_dead_letter_with_a_status() {
    let stack = TestStack::start().await;
    let sqs = stack.clients().sqs.clone();
    let url = sqs.get_queue_url().queue_name(QUEUE).send().await.unwrap().queue_url.unwrap();
    let policy = sqs
        .get_queue_attributes()
        .queue_url(&url)
        .attribute_names(QueueAttributeName::RedrivePolicy);
    let policy = policy
        .send()
        .await
        .unwrap()
        .attributes
        .unwrap()
        .remove(&QueueAttributeName::RedrivePolicy)
        .unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&policy).unwrap()["maxReceiveCount"],
        CommandWorker::QUEUE_RECEIVES
    );
    for (key, quantity) in [("a", 1), ("b", 2)] {
        let (path, body) = receive(quantity);
        stack.later(&path, key, &body).await;
    }
    let all_are = |status: &'static str| {
        let stack = &stack;
        async move {
            (stack.command_status("a").await == status && stack.command_status("b").await == status)
                .then_some(())
        }
    };
    let running = work(&stack, &url, stack.lost_worker());
    eventually("both are dead letters", || async {
        (stack.waiting(DEAD).await == 2).then_some(())
    })
    .await;
    running.end().await;
    assert!(all_are("failed").await.is_some(), "each was tried and has a status");
    // An operator's step: the redrive of SQS.
    let dead = sqs.get_queue_url().queue_name(DEAD).send().await.unwrap().queue_url.unwrap();
    let arn =
        sqs.get_queue_attributes().queue_url(&dead).attribute_names(QueueAttributeName::QueueArn);
    let arn = arn
        .send()
        .await
        .unwrap()
        .attributes
        .unwrap()
        .remove(&QueueAttributeName::QueueArn)
        .unwrap();
    sqs.start_message_move_task().source_arn(arn).send().await.unwrap();
    let running = work(&stack, &url, stack.worker());
    eventually("both are done", || all_are("done")).await;
    running.end().await;
    assert_eq!((stack.types(STREAM).await.len(), stack.waiting(DEAD).await), (2, 0));
}
