//! Orders with many lines, many orders of one book, and many projectors at once.

use crate::harness::events::{cancelled, new_order, placed, write};
use crate::harness::faults::FaultInjector;
use crate::harness::fold::ReadModel;
use crate::harness::messages::{Message, deliver, messages_of};
use crate::harness::stack::TestStack;
use bookshop::bestsellers;
use eventstore::StreamId;
use futures::future::join_all;

/// The most deliveries of a message; more are a defect.
const MAX_RECEIVES: usize = 50;
/// The most lines of an order.
const MAX_LINES: u32 = 90;

#[tokio::test]
async fn ten_orders_with_the_most_lines_fit_into_transactions() {
    let stack = TestStack::start().await;
    let (mut streams, mut messages) = (Vec::new(), Vec::new());
    for number in 0..10 {
        let order = new_order();
        // All orders share half of the books.
        let books = (0..MAX_LINES)
            .map(|line| (if line % 2 == 0 { line } else { line + 100 * number }, line % 7 + 1));
        messages.extend(messages_of(&write(&stack.store, &order, &[&placed("c", books)]).await));
        streams.push(order);
    }
    let wire = FaultInjector::default();
    let handler = stack.handler_over(bestsellers(), &wire);
    assert!(deliver(&handler, &messages).await.is_empty());
    let transactions =
        wire.operations().into_iter().filter(|operation| operation == "TransactWriteItems").count();
    assert_eq!(transactions, 10);
    let expected = ReadModel::of_streams(&stack.store, &streams).await.only("bestsellers");
    assert_eq!(ReadModel::of_rows(&stack.rows().await, ""), expected);
}

/// Orders of the same book, every third one cancelled: the messages of each.
async fn rush(stack: &TestStack, orders: u32) -> (Vec<StreamId>, Vec<Vec<Message>>) {
    let (mut streams, mut messages) = (Vec::new(), Vec::new());
    for number in 0..orders {
        let order = new_order();
        let placed = placed(
            if number % 2 == 0 { "c" } else { "c-usd" },
            [(1, 1 + number % 4), (2 + number % 3, 1)],
        );
        let called_off = cancelled("too many people");
        let batches = match number % 3 {
            0 => write(&stack.store, &order, &[&placed, &called_off]).await,
            _ => write(&stack.store, &order, &[&placed]).await,
        };
        streams.push(order);
        messages.push(messages_of(&batches));
    }
    (streams, messages)
}

/// Redelivers until no message fails, as the queue does.
async fn deliver_until_done(stack: &TestStack, mut messages: Vec<Message>) {
    let handler = stack.handler(bestsellers());
    for _ in 0..MAX_RECEIVES {
        let failed = deliver(&handler, &messages).await;
        messages.retain(|message| failed.contains(&message.id));
        if messages.is_empty() {
            return;
        }
    }
    panic!("{} messages are never done", messages.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_projectors_count_every_copy_of_the_same_book_once() {
    let stack = TestStack::start().await;
    let (streams, messages) = rush(&stack, 60).await;
    // Four projectors; each stream has one projector, and every fifth has two.
    let lines = (0..4).map(|projector| {
        let own = messages
            .iter()
            .enumerate()
            .filter(|(index, _)| index % 4 == projector || index % 20 == projector * 5 + 1);
        own.flat_map(|(_, messages)| messages.clone()).collect::<Vec<Message>>()
    });
    let work = lines.map(|line| {
        let stack = &stack;
        async move {
            for event in line.chunks(10) {
                deliver_until_done(stack, event.to_vec()).await;
            }
        }
    });
    join_all(work).await;
    let expected = ReadModel::of_streams(&stack.store, &streams).await.only("bestsellers");
    assert_eq!(ReadModel::of_rows(&stack.rows().await, ""), expected);
}
