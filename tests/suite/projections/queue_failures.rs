//! Queues that reject messages of fan-out: no commit is skipped, and none is applied twice.

use super::fan_out::{hand_over, number, told};
use crate::harness::events::{
    Stored, Writer, confirmed, new_order, placed, received, stock_of, write,
};
use crate::harness::faults::FaultInjector;
use crate::harness::stack::{Received, TestStack};
use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_sdk_sqs::types::QueueAttributeName;
use eventstore::Batch;
use handlers::FanOut;
use std::time::Duration;

/// The largest message that a queue accepts, in bytes: one accepts every message, the other only a
/// small order.
const ANY_SIZE: &str = "1048576";
const SMALL_ONLY: &str = "2048";

async fn limit_messages(stack: &TestStack, consumer: &str, bytes: &str) {
    let request =
        stack.clients().sqs.set_queue_attributes().queue_url(&stack.route(consumer).queue_url);
    request.attributes(QueueAttributeName::MaximumMessageSize, bytes).send().await.unwrap();
}

/// Changes a consumer's route to a queue that does not exist yet. SQS refuses to create a deleted
/// queue again for a minute, so none is deleted.
fn lead_nowhere(stack: &mut TestStack, consumer: &str) {
    let mut routes = stack.resources.routes.iter_mut();
    let route = routes.find(|route| route.consumer.name == consumer).unwrap();
    route.queue_url = route.queue_url.replace(".fifo", "-of-tomorrow.fifo");
}

/// Creates the queue of the consumer's route.
async fn create(stack: &TestStack, consumer: &str) {
    let url = &stack.route(consumer).queue_url;
    let request = stack.clients().sqs.create_queue().queue_name(url.rsplit('/').next().unwrap());
    let made = request.attributes(QueueAttributeName::FifoQueue, "true").send().await.unwrap();
    assert_eq!(made.queue_url(), Some(url.as_str()));
}

/// The order of a stream's batches, without those of other streams.
fn by_group(mut received: Vec<Received>) -> Vec<Received> {
    received.sort_by(|a, b| a.group.cmp(&b.group));
    received
}

fn all_told(batches: &[Batch]) -> Vec<Received> {
    by_group(batches.iter().map(told).collect())
}

#[tokio::test]
async fn a_missing_queue_fails_the_first_record_for_it() {
    let mut stack = TestStack::start().await;
    let stock = write(&stack.store, &stock_of(1), &[&received(5)]).await;
    let orders = write(&stack.store, &new_order(), &[&placed("c", [(1, 1)]), &confirmed()]).await;
    let records = stack.records(3).await;
    lead_nowhere(&mut stack, "bestsellers");
    assert_eq!(hand_over(&stack, &records).await, number(&records[1]));
    create(&stack, "bestsellers").await;
    assert_eq!(hand_over(&stack, &records[1..]).await, None);
    assert_eq!(stack.receive_all("bestsellers").await, all_told(&orders));
    assert_eq!(stack.receive_all("orders").await, all_told(&orders));
    assert_eq!(stack.receive_all("stock").await, all_told(&stock));
}

#[tokio::test]
async fn a_rejected_entry_fails_and_its_repeat_delivers_all_once() {
    let stack = TestStack::start().await;
    let mut batches = Vec::new();
    for number in 0..25 {
        // Of three sends, the second holds two orders that are too large.
        let books = if [14, 16].contains(&number) { 1..=60 } else { 1..=1 };
        let placed = placed("c", books.map(|book| (book, 1)));
        batches.extend(write(&stack.store, &new_order(), &[&placed]).await);
    }
    let records = stack.records(25).await;
    limit_messages(&stack, "orders", SMALL_ONLY).await;
    let failed = hand_over(&stack, &records).await;
    assert_eq!(failed, number(&records[14]));
    assert_eq!(
        hand_over(&stack, &records[14..]).await,
        number(&records[14]),
        "it stays so until it is repaired"
    );
    limit_messages(&stack, "orders", ANY_SIZE).await;
    assert_eq!(hand_over(&stack, &records[14..]).await, None);
    for consumer in ["orders", "bestsellers"] {
        assert_eq!(by_group(stack.receive_all(consumer).await), all_told(&batches), "{consumer}");
    }
}

#[tokio::test]
async fn of_two_failing_queues_the_earlier_record_counts() {
    let mut stack = TestStack::start().await;
    let order = new_order();
    let mut writer = Writer::new(&stack.store, &order);
    let large = writer.append(vec![placed("c", (1..=60).map(|book| (book, 1))).stored()]).await;
    let stock = write(&stack.store, &stock_of(1), &[&received(5)]).await;
    let small = writer.append(vec![confirmed().stored()]).await;
    let records = stack.records(3).await;
    limit_messages(&stack, "bestsellers", SMALL_ONLY).await;
    lead_nowhere(&mut stack, "stock");
    assert_eq!(hand_over(&stack, &records).await, number(&records[0]));
    limit_messages(&stack, "bestsellers", ANY_SIZE).await;
    assert_eq!(hand_over(&stack, &records).await, number(&records[1]));
    create(&stack, "stock").await;
    assert_eq!(hand_over(&stack, &records[1..]).await, None);
    assert_eq!(stack.receive_all("stock").await, all_told(&stock));
    assert_eq!(stack.receive_all("orders").await, [told(&large), told(&small)]);
    // A later event may come before the rejected one. The position detects that.
    let mut received = stack.receive_all("bestsellers").await;
    received.sort_by_key(|message| message.body["version"].as_u64());
    assert_eq!(received, [told(&large), told(&small)]);
}

/// Passes records to fan-out. Returns the number of the first record to repeat.
async fn handed(fan_out: &FanOut, records: &[EventRecord]) -> Option<String> {
    let mut event = Event::default();
    event.records = records.to_vec();
    let failures = fan_out.handle(event).await.batch_item_failures;
    failures.into_iter().next().and_then(|failure| failure.item_identifier)
}

#[tokio::test]
async fn a_queue_that_keeps_failing_delays_no_other() {
    let mut stack = TestStack::start().await;
    let orders =
        write(&stack.store, &new_order(), &[&placed("c", [(1, 1)]), &confirmed(), &confirmed()])
            .await;
    let records = stack.records(3).await;
    lead_nowhere(&mut stack, "bestsellers");
    let fan_out = FanOut::new(stack.clients().sqs.clone(), stack.resources.routes.clone())
        .patient_for(Duration::ZERO);
    for record in 0..2 {
        assert_eq!(handed(&fan_out, &records[record..=record]).await, None, "the shard continues");
    }
    assert_eq!(stack.receive_all("orders").await, all_told(&orders[..2]));
    create(&stack, "bestsellers").await;
    assert_eq!(handed(&fan_out, &records[2..]).await, None);
    assert_eq!(
        stack.receive_all("bestsellers").await,
        all_told(&orders[2..]),
        "it is notified of later commits"
    );
}

#[tokio::test]
async fn a_rejected_message_does_not_delay_later_ones_for_long() {
    let stack = TestStack::start().await;
    let mut batches = Vec::new();
    for number in 0..25 {
        let books = if number == 3 { 1..=60 } else { 1..=1 };
        batches.extend(
            write(&stack.store, &new_order(), &[&placed("c", books.map(|book| (book, 1)))]).await,
        );
    }
    limit_messages(&stack, "orders", SMALL_ONLY).await;
    let fan_out = FanOut::new(stack.clients().sqs.clone(), stack.resources.routes.clone())
        .patient_for(Duration::ZERO);
    assert_eq!(handed(&fan_out, &stack.records(25).await).await, None);
    batches.remove(3);
    assert_eq!(by_group(stack.receive_all("orders").await), all_told(&batches));
}

#[tokio::test]
async fn where_no_queue_takes_messages_the_record_comes_again() {
    let mut stack = TestStack::start().await;
    write(&stack.store, &new_order(), &[&placed("c", [(1, 1)])]).await;
    for consumer in ["orders", "stock", "bestsellers", "audit", "journal", "fulfilment"] {
        lead_nowhere(&mut stack, consumer);
    }
    let fan_out = FanOut::new(stack.clients().sqs.clone(), stack.resources.routes.clone())
        .patient_for(Duration::ZERO);
    let records = stack.records(1).await;
    assert_eq!(handed(&fan_out, &records).await, number(&records[0]));
}

#[tokio::test]
async fn a_repeat_sends_only_what_a_queue_lacks() {
    let mut stack = TestStack::start().await;
    let orders = write(&stack.store, &new_order(), &[&placed("c", [(1, 1)]), &confirmed()]).await;
    lead_nowhere(&mut stack, "bestsellers");
    let wire = FaultInjector::default();
    let fan_out = FanOut::new(wire.sqs(&stack.clients().sqs), stack.resources.routes.clone());
    let records = stack.records(2).await;
    assert_eq!(handed(&fan_out, &records).await, number(&records[0]));
    create(&stack, "bestsellers").await;
    wire.take();
    assert_eq!(handed(&fan_out, &records).await, None);
    assert_eq!(wire.operations(), ["SendMessageBatch"]);
    assert_eq!(stack.receive_all("bestsellers").await, all_told(&orders));
}
