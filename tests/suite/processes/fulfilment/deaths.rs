//! Runners that die between any two requests, and runners that do the same at once.

use super::orders::{Line, deliver, new_book, order_stream, stock_stream};
use crate::harness::depth::full_or;
use crate::harness::faults::{Fault, FaultInjector};
use crate::harness::messages::{Message, messages_of};
use crate::harness::stack::TestStack;
use domain::order::OrderCommand;
use domain::{Isbn, OrderId};
use futures::future::join_all;
use handlers::process::ProcessHandler;

/// More requests than any scenario makes.
const MAX_REQUESTS: usize = 100;

/// Delivers to a runner that dies; another one gets the failed messages.
async fn deliver_to_mortals(
    stack: &TestStack,
    wire: &FaultInjector,
    runner: &mut ProcessHandler,
    message: Message,
) {
    if deliver(runner, std::slice::from_ref(&message)).await.is_empty() {
        return;
    }
    assert!(!wire.is_armed(), "{message:?} came back without a crash");
    wire.arm(None);
    *runner = stack.runner_over(wire);
    assert!(
        deliver(runner, std::slice::from_ref(&message)).await.is_empty(),
        "{message:?} came back again"
    );
}

/// Whether the fault happened before the end.
async fn run(stack: &TestStack, order_id: OrderId, books: &[Isbn], fault: Fault) -> bool {
    let (wire, mut line) = (FaultInjector::default(), Line::of(order_id, books));
    wire.arm(Some(fault));
    let mut runner = stack.runner_over(&wire);
    loop {
        let messages = line.news(stack).await;
        if messages.is_empty() {
            return !wire.is_armed();
        }
        for message in messages {
            deliver_to_mortals(stack, &wire, &mut runner, message).await;
        }
    }
}

/// Every fault of the n-th request.
fn faults(n: usize) -> [Fault; 3] {
    [Fault::DiesBefore(n), Fault::DiesAfter(n), Fault::LosesAnswer(n)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_dies_at_any_request_rejects_an_order_once() {
    let (stack, mut struck) = (TestStack::start().await, 0);
    for n in (1..MAX_REQUESTS).step_by(full_or(1, 8)) {
        let before = struck;
        for fault in faults(n) {
            let (there, missing) = (new_book(), new_book());
            stack.receive(&there, 2).await;
            let order_id = stack.place(&[(there.clone(), 2), (missing.clone(), 1)]).await;
            let books = [there, missing];
            struck += usize::from(run(&stack, order_id, &books, fault).await);
            assert_eq!(
                stack.types(&order_stream(order_id)).await,
                ["OrderPlaced", "OrderRejected"],
                "{fault:?}"
            );
            let stock = stack.types(&stock_stream(&books[0])).await;
            assert_eq!(stock, ["StockReceived", "StockReserved", "StockReleased"], "{fault:?}");
            assert_eq!(stack.unsettled(&[order_id], &books).await, [""; 0], "{fault:?}");
        }
        if struck == before {
            assert!(struck > full_or(40, 4), "only {struck} faults came to pass");
            return;
        }
    }
    panic!("it makes more requests than anybody thought");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_dies_at_any_request_ships_an_order_once() {
    let (stack, mut struck) = (TestStack::start().await, 0);
    for n in (1..MAX_REQUESTS).step_by(full_or(1, 8)) {
        let before = struck;
        for fault in faults(n) {
            let book = new_book();
            stack.receive(&book, 2).await;
            let order_id = stack.place(&[(book.clone(), 2)]).await;
            for command in [
                OrderCommand::ConfirmOrder {},
                OrderCommand::ShipOrder { tracking_code: "1Z".to_owned().try_into().unwrap() },
            ] {
                stack.ask(order_id, &command).await;
            }
            let books = [book];
            struck += usize::from(run(&stack, order_id, &books, fault).await);
            let stock = stack.types(&stock_stream(&books[0])).await;
            assert_eq!(stock, ["StockReceived", "StockReserved", "StockCommitted"], "{fault:?}");
            assert_eq!(stack.unsettled(&[order_id], &books).await, [""; 0], "{fault:?}");
        }
        if struck == before {
            assert!(struck > full_or(40, 4), "only {struck} faults came to pass");
            return;
        }
    }
    panic!("it makes more requests than anybody thought");
}

/// Both runners get the same messages at the same time; failed ones are redelivered.
async fn deliver_to_both(runners: &[ProcessHandler; 2], messages: &[Message]) {
    let mut left = messages.to_vec();
    for _ in 0..50 {
        let (one, other) = tokio::join!(deliver(&runners[0], &left), deliver(&runners[1], &left));
        left.retain(|message| one.contains(&message.id) || other.contains(&message.id));
        if left.is_empty() {
            return;
        }
    }
    panic!("{left:?} are never done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runners_that_do_the_same_at_once_do_it_once() {
    let stack = TestStack::start().await;
    let runners = [stack.runner(), stack.runner()];
    let (scarce, plenty) = (new_book(), new_book());
    stack.receive(&scarce, 5).await;
    stack.receive(&plenty, 100).await;
    let (mut orders, mut lines) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let order_id = stack.place(&[(plenty.clone(), 1), (scarce.clone(), 1)]).await;
        lines.push(Line::of(order_id, &[]));
        orders.push(order_id);
    }
    // One queue has the stock of both books, so that its messages come once.
    lines.push(Line::of(orders[0], &[plenty.clone(), scarce.clone()]));
    lines.remove(0);
    loop {
        let mut messages = Vec::new();
        for line in &mut lines {
            messages.extend(line.news(&stack).await);
        }
        if messages.is_empty() {
            break;
        }
        for event in messages.chunks(10) {
            deliver_to_both(&runners, event).await;
        }
    }
    assert_eq!(stack.unsettled(&orders, &[plenty.clone(), scarce.clone()]).await, [""; 0]);
    assert_eq!(
        (stack.stock(&plenty).await.reserved(), stack.stock(&scarce).await.reserved()),
        (5, 5)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runners_with_different_events_of_an_order_store_all_of_them() {
    let stack = TestStack::start().await;
    let runners = [stack.runner(), stack.runner(), stack.runner()];
    for _ in 0..10 {
        let books = [new_book(), new_book(), new_book()];
        for book in &books {
            stack.receive(book, 1).await;
        }
        let order_id = stack.place(&books.clone().map(|book| (book, 1))).await;
        let placed = messages_of(&stack.batches(&order_stream(order_id)).await);
        assert!(deliver(&runners[0], &placed).await.is_empty());
        let learning = runners.iter().zip(&books).map(async |(runner, book)| {
            let messages = messages_of(&stack.batches(&stock_stream(book)).await);
            assert!(deliver(runner, &messages).await.is_empty());
        });
        join_all(learning).await;
        assert_eq!(stack.unsettled(&[order_id], &books).await, [""; 0]);
    }
}

/// Ten runners handle every reservation at once: most writes of the order's row conflict at first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_of_forty_lines_is_confirmed_in_one_delivery_a_book() {
    let stack = TestStack::start().await;
    let books: Vec<Isbn> = (0..40).map(|_| new_book()).collect();
    for book in &books {
        stack.receive(book, 1).await;
    }
    let order_id =
        stack.place(&books.iter().map(|book| (book.clone(), 1)).collect::<Vec<_>>()).await;
    let placed = messages_of(&stack.batches(&order_stream(order_id)).await);
    assert!(deliver(&stack.runner(), &placed).await.is_empty());
    let mut messages = Vec::new();
    for book in &books {
        messages.extend(messages_of(&stack.batches(&stock_stream(book)).await));
    }
    let runners: Vec<ProcessHandler> = (0..10).map(|_| stack.runner()).collect();
    let learning =
        runners.iter().zip(messages.chunks(8)).map(|(runner, messages)| deliver(runner, messages));
    assert_eq!(join_all(learning).await.concat(), [""; 0]);
    assert_eq!(stack.unsettled(&[order_id], &books).await, [""; 0]);
}
