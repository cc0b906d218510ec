//! Fan-out: from the records of the table's stream to the consumers' queues.

use crate::harness::events::{
    Stored, Writer, cancelled, commit, confirmed, new_order, placed, raw, received, reserved,
    shipped, stock_of, write,
};
use crate::harness::messages::body_of;
use crate::harness::stack::{Received, TestStack};
use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use eventstore::{Batch, Item, MAX_ITEM_BYTES, NewEvent};
use handlers::FanOut;
use serde_json::Value;

/// Gives the records to fan-out in one event. Returns the sequence number to repeat from, if any.
pub(super) async fn hand_over(stack: &TestStack, records: &[EventRecord]) -> Option<String> {
    let fan_out = FanOut::new(stack.clients().sqs.clone(), stack.resources.routes.clone());
    let mut event = Event::default();
    event.records = records.to_vec();
    let mut failures = fan_out.handle(event).await.batch_item_failures.into_iter();
    let first =
        failures.next().map(|failure| failure.item_identifier.expect("a failure has a number"));
    assert!(failures.next().is_none(), "only the first failure counts");
    first
}

pub(super) fn number(record: &EventRecord) -> Option<String> {
    record.change.sequence_number.clone()
}

/// The expected notification of the batch.
pub(super) fn told(batch: &Batch) -> Received {
    Received {
        group: batch.stream.to_string(),
        deduplication_id: format!("{}:{}", batch.stream, batch.version()),
        body: serde_json::from_str(&body_of(batch)).unwrap(),
    }
}

/// The messages of one group.
fn of_group(received: &[Received], group: &str) -> Vec<Received> {
    received.iter().filter(|message| message.group == group).cloned().collect()
}

#[tokio::test]
async fn every_commit_goes_to_its_consumers_in_stream_order() {
    let stack = TestStack::start().await;
    let (book, streams) = (stock_of(1), [new_order(), new_order()]);
    // More than fit into one send (ten), with mixed streams.
    let mut writers: Vec<Writer> =
        streams.iter().map(|stream| Writer::new(&stack.store, stream)).collect();
    let mut batches = Vec::new();
    for writer in &mut writers {
        batches.push(writer.append(vec![placed("c", [(1, 1)]).stored()]).await);
    }
    for _ in 0..6 {
        for writer in &mut writers {
            batches.push(writer.append(vec![confirmed().stored()]).await);
        }
    }
    let stock = write(&stack.store, &book, &[&received(5), &reserved(1, 2)]).await;
    let records = stack.records(batches.len() + stock.len()).await;
    assert_eq!(hand_over(&stack, &records).await, None);
    for consumer in ["orders", "bestsellers"] {
        let received = stack.receive_all(consumer).await;
        assert_eq!(received.len(), batches.len(), "{consumer} is notified of orders only");
        for stream in &streams {
            let expected: Vec<Received> =
                batches.iter().filter(|batch| batch.stream == *stream).map(told).collect();
            assert_eq!(of_group(&received, stream.as_str()), expected, "{consumer}");
        }
    }
    assert_eq!(stack.receive_all("stock").await, stock.iter().map(told).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_same_records_again_are_the_same_messages() {
    let stack = TestStack::start().await;
    let batches =
        write(&stack.store, &new_order(), &[&placed("c", [(1, 1)]), &confirmed(), &shipped()])
            .await;
    let records = stack.records(3).await;
    for part in [&records[..2], &records[..], &records[1..]] {
        assert_eq!(hand_over(&stack, part).await, None);
    }
    let expected: Vec<Received> = batches.iter().map(told).collect();
    assert_eq!(stack.receive_all("orders").await, expected);
    assert_eq!(stack.receive_all("bestsellers").await, expected);
}

#[tokio::test]
async fn several_commits_of_one_batch_are_one_message() {
    let stack = TestStack::start().await;
    let mut writer = Writer::new(&stack.store, &new_order());
    let commits =
        [placed("c", [(1, 1)]).stored(), confirmed().stored(), cancelled("late").stored()];
    let batch = writer.batch(commits.map(|event| commit(vec![event])).to_vec()).await;
    assert_eq!(hand_over(&stack, &stack.records(1).await).await, None);
    let received = stack.receive_all("orders").await;
    assert_eq!(received, [told(&batch)]);
    let body = &received[0].body;
    assert_eq!((&body["version"], &body["last_version"]), (&Value::from(1), &Value::from(3)));
    assert_eq!(body["commits"].as_array().unwrap().len(), 3);
}

/// An order with an incompressible note.
fn order_with_note(chars: usize) -> NewEvent {
    let event = placed("c", [(1, 1)]).stored();
    let note: String = std::iter::repeat_with(fastrand::alphanumeric).take(chars).collect();
    let data = event.data.get().strip_suffix('}').unwrap();
    raw("OrderPlaced", 1, &format!(r#"{data},"note":"{note}"}}"#))
}

#[tokio::test]
async fn a_commit_of_390_kilobytes_is_projected_from_the_store() {
    let stack = TestStack::start().await;
    let order = new_order();
    // Alphanumeric noise shrinks to about three quarters: the item is just below DynamoDB's limit.
    let batch = Writer::new(&stack.store, &order).append(vec![order_with_note(526_000)]).await;
    let records = stack.records(1).await;
    let item: Item = records[0].change.new_image.clone().into();
    let bytes = item["commits_zstd"].as_b().unwrap().as_ref().len();
    assert!((380 * 1024..=MAX_ITEM_BYTES).contains(&bytes), "the commit has {bytes} bytes");
    assert_eq!(hand_over(&stack, &records).await, None);
    for consumer in ["orders", "bestsellers"] {
        let received = stack.receive_all(consumer).await;
        assert_eq!(received, [told(&batch)]);
        assert_eq!(received[0].body.get("commits"), None);
        let message =
            crate::harness::messages::Message::new(order.as_str(), &received[0].body.to_string());
        let handler = stack.handler(stack.projection(consumer));
        assert!(crate::harness::messages::deliver(&handler, &[message]).await.is_empty());
    }
    stack.assert_exact([&order]).await;
}

#[tokio::test]
async fn ten_of_the_largest_carried_commits_fit_into_one_send() {
    let stack = TestStack::start().await;
    let mut batches = Vec::new();
    for _ in 0..10 {
        batches.push(
            Writer::new(&stack.store, &new_order()).append(vec![order_with_note(97_300)]).await,
        );
    }
    let lengths: Vec<usize> =
        batches.iter().map(|batch| batch.commits_json().unwrap().len()).collect();
    assert!(lengths.iter().all(|length| (97_500..=98_304).contains(length)), "{lengths:?}");
    assert_eq!(hand_over(&stack, &stack.records(10).await).await, None);
    let received = stack.receive_all("orders").await;
    assert!(
        received.len() == 10
            && received.iter().all(|message| message.body.get("commits").is_some())
    );
}

#[tokio::test]
async fn characters_that_sqs_rejects_are_notified_by_version() {
    let stack = TestStack::start().await;
    let order = new_order();
    let events: [&dyn Stored; 2] =
        [&placed("c", [(1, 1)]), &cancelled("not a character: \u{ffff}")];
    let batches = write(&stack.store, &order, &events).await;
    assert_eq!(hand_over(&stack, &stack.records(2).await).await, None);
    let received = stack.receive_all("orders").await;
    assert_eq!(received, batches.iter().map(told).collect::<Vec<_>>());
    assert_eq!(received[1].body.get("commits"), None);
    for consumer in ["orders", "bestsellers"] {
        let bodies = received.iter().map(|message| message.body.to_string());
        let messages: Vec<_> = bodies
            .map(|body| crate::harness::messages::Message::new(order.as_str(), &body))
            .collect();
        let handler = stack.handler(stack.projection(consumer));
        assert!(crate::harness::messages::deliver(&handler, &messages).await.is_empty());
    }
    stack.assert_exact([&order]).await;
}
