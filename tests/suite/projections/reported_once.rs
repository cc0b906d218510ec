//! A failure is retried and reported once: the report is an error, each try a warning.

use super::fan_out::number;
use crate::harness::events::{confirmed, new_order, placed, write};
use crate::harness::log::Log;
use crate::harness::messages::{Message, deliver, ids};
use crate::harness::stack::TestStack;
use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_sdk_sqs::types::QueueAttributeName;
use bookshop::orders;
use eventstore::Batch;
use handlers::{FanOut, Names, ProjectorHandler};

/// Delivers the records; returns the number of logged errors, and where the records are repeated
/// from.
async fn hand_over(fan_out: &FanOut, records: &[EventRecord]) -> (usize, Option<String>) {
    let mut event = Event::default();
    event.records = records.to_vec();
    let (log, guard) = Log::catch();
    let again = fan_out
        .handle(event)
        .await
        .batch_item_failures
        .pop()
        .and_then(|failure| failure.item_identifier);
    drop(guard);
    (log.errors().len(), again)
}

#[tokio::test]
async fn an_outage_of_a_queue_is_reported_once() {
    let mut stack = TestStack::start().await;
    write(&stack.store, &new_order(), &[&placed("c", [(1, 1)]), &confirmed()]).await;
    let records = stack.records(2).await;
    let route =
        stack.resources.routes.iter_mut().find(|route| route.consumer.name == "orders").unwrap();
    route.queue_url = route.queue_url.replace(".fifo", "-of-tomorrow.fifo");
    let name = route.queue_url.rsplit('/').next().unwrap().to_owned();
    let fan_out = FanOut::new(stack.clients().sqs.clone(), stack.resources.routes.clone());
    let (first, again) = hand_over(&fan_out, &records).await;
    assert_eq!((first, again), (1, number(&records[0])));
    for _ in 0..3 {
        assert_eq!(hand_over(&fan_out, &records).await, (0, number(&records[0])), "it is known");
    }
    let sqs = &stack.clients().sqs;
    let made = sqs
        .create_queue()
        .queue_name(name)
        .attributes(QueueAttributeName::FifoQueue, "true")
        .send()
        .await;
    assert_eq!(hand_over(&fan_out, &records).await, (0, None));
    sqs.delete_queue().queue_url(made.unwrap().queue_url().unwrap()).send().await.unwrap();
    assert_eq!(hand_over(&fan_out, &records).await, (1, number(&records[0])), "another outage");
}

/// The number of logged errors at each receive, up to the seventh. All messages fail.
async fn errors_by_receive(handler: &ProjectorHandler, messages: &[Message]) -> Vec<usize> {
    let mut errors = Vec::new();
    for receives in 1..=7 {
        let given: Vec<Message> =
            messages.iter().map(|message| Message { receives, ..message.clone() }).collect();
        let (log, guard) = Log::catch();
        assert_eq!(deliver(handler, &given).await, ids(&given));
        drop(guard);
        errors.push(log.errors().len());
    }
    errors
}

#[tokio::test]
async fn an_unreadable_message_is_reported_once_and_later_ones_never() {
    let stack = TestStack::start().await;
    let (handler, order) = (stack.handler(orders()), new_order());
    let batches: Vec<Batch> = write(&stack.store, &order, &[&placed("c", [(1, 1)])]).await;
    let messages = [Message::new(order.as_str(), "{}"), Message::of(&batches[0])];
    assert_eq!(errors_by_receive(&handler, &messages).await, [1, 0, 0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_failure_that_may_pass_is_reported_at_the_fifth_receive() {
    let stack = TestStack::start().await;
    let batches: Vec<Batch> = write(&stack.store, &new_order(), &[&placed("c", [(1, 1)])]).await;
    // Its tables do not exist.
    let projector = stack.clients().system(&bookshop::app(), &Names::new("tomorrow")).projector();
    let handler = ProjectorHandler::new(orders(), projector);
    assert_eq!(
        errors_by_receive(&handler, &[Message::of(&batches[0])]).await,
        [0, 0, 0, 0, 1, 0, 0]
    );
}
