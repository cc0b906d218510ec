//! Every order of delivery of one order's messages, with a repetition; and every loss that a later
//! message fills.

use super::orders::{Line, deliver, new_book, order_stream};
use crate::harness::depth::full_or;
use crate::harness::messages::Message;
use crate::harness::stack::TestStack;
use domain::order::{OrderCommand, OrderStatus};
use domain::{Isbn, OrderId};
use std::fmt::Debug;

/// More steps than any delivery has.
const MAX_STEPS: usize = 100;
/// The least number of deliveries of a scenario: with fewer the case misses some.
const WAYS: usize = 10;
/// More deliveries than any scenario has.
const MAX_WAYS: usize = 5_000;

/// Every sequence of choices, one after the other.
#[derive(Debug, Default)]
struct Choices {
    /// Each choice, and the number of options.
    taken: Vec<(usize, usize)>,
    next: usize,
}

impl Choices {
    /// Chooses one of that many.
    fn choose(&mut self, options: usize) -> usize {
        if self.next == self.taken.len() {
            self.taken.push((0, options));
        }
        let (chosen, known) = self.taken[self.next];
        assert_eq!(known, options, "the same choices lead elsewhere");
        self.next += 1;
        chosen
    }

    /// Advances to the next sequence, if there is one.
    fn advance(&mut self) -> bool {
        self.next = 0;
        while let Some((chosen, options)) = self.taken.pop() {
            if chosen + 1 < options {
                self.taken.push((chosen + 1, options));
                return true;
            }
        }
        false
    }
}

/// An order and its books.
struct Case {
    order_id: OrderId,
    books: Vec<Isbn>,
}

/// An order of that many copies of each book, with that many in stock.
async fn case(stack: &TestStack, copies: &[(u32, u32)]) -> Case {
    let mut lines = Vec::new();
    for (ordered, there) in copies {
        let book = new_book();
        if *there > 0 {
            stack.receive(&book, *there).await;
        }
        lines.push((book, *ordered));
    }
    let order_id = stack.place(&lines).await;
    Case { order_id, books: lines.into_iter().map(|(book, _)| book).collect() }
}

impl Case {
    /// The end: the order's status, and the copies on hand and reserved of each book.
    async fn end(&self, stack: &TestStack) -> (OrderStatus, Vec<(u32, u32)>) {
        assert_eq!(stack.unsettled(&[self.order_id], &self.books).await, [""; 0]);
        let mut figures = Vec::new();
        for book in &self.books {
            let stock = stack.stock(book).await;
            figures.push((stock.on_hand(), stock.reserved()));
        }
        (stack.order(self.order_id).await.status().unwrap(), figures)
    }
}

fn cancel() -> OrderCommand {
    OrderCommand::CancelOrder { reason: "changed my mind".to_owned().try_into().unwrap() }
}

fn ship() -> OrderCommand {
    OrderCommand::ShipOrder { tracking_code: "1Z".to_owned().try_into().unwrap() }
}

/// Delivers in the chosen order; that many messages come twice.
async fn deliver_in_some_order(
    stack: &TestStack,
    case: &Case,
    choices: &mut Choices,
    mut repeats: usize,
) {
    let (runner, mut line) = (stack.runner(), Line::of(case.order_id, &case.books));
    // Fulfilment ignores copies that came in before.
    let (mut waiting, mut done) = (line.news(stack).await, Vec::<Message>::new());
    waiting.retain(|message| message.group.starts_with("order-"));
    for _ in 0..MAX_STEPS {
        if waiting.is_empty() {
            return;
        }
        let chosen = choices.choose(waiting.len() + if repeats > 0 { done.len() } else { 0 });
        let message = match chosen.checked_sub(waiting.len()) {
            None => waiting.remove(chosen),
            Some(again) => {
                repeats -= 1;
                done[again].clone()
            }
        };
        assert!(
            deliver(&runner, std::slice::from_ref(&message)).await.is_empty(),
            "{message:?} came back"
        );
        done.push(message);
        // Nor is a recorded refusal.
        let news = line.news(stack).await;
        waiting.extend(
            news.into_iter().filter(|news| !news.body.as_ref().unwrap().contains("$Refused")),
        );
    }
    panic!("it never comes to rest");
}

/// An order, the client's commands before any delivery, and the expected end.
struct Scenario<'a> {
    /// The ordered copies, and those in stock, of each book.
    copies: &'a [(u32, u32)],
    by_hand: &'a [OrderCommand],
    repeats: usize,
    end: (OrderStatus, Vec<(u32, u32)>),
}

/// Tries every delivery, or that many by default, and returns their number.
async fn every_way(
    Scenario { copies, by_hand, repeats, end }: Scenario<'_>,
    sample: usize,
) -> usize {
    let (stack, mut choices) = (TestStack::start().await, Choices::default());
    for ways in 1..MAX_WAYS {
        let case = case(&stack, copies).await;
        for command in by_hand {
            stack.ask(case.order_id, command).await;
        }
        deliver_in_some_order(&stack, &case, &mut choices, repeats).await;
        assert_eq!(case.end(&stack).await, end, "after {choices:?}");
        if !choices.advance() || ways == full_or(MAX_WAYS, sample) {
            return ways;
        }
    }
    panic!("there are too many ways");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_confirmed_in_any_order_of_messages() {
    let (copies, end) = ([(2, 3), (1, 1)], (OrderStatus::Confirmed, vec![(3, 2), (1, 1)]));
    let ways = every_way(Scenario { copies: &copies, by_hand: &[], repeats: 1, end }, WAYS).await;
    assert!(ways >= WAYS, "only {ways} ways");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_without_a_book_is_rejected_in_any_order_of_messages() {
    let (copies, end) = ([(2, 3), (1, 0)], (OrderStatus::Rejected, vec![(3, 0), (0, 0)]));
    let ways = every_way(Scenario { copies: &copies, by_hand: &[], repeats: 2, end }, WAYS).await;
    assert!(ways >= WAYS, "only {ways} ways");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_order_reserves_nothing_in_any_order_of_messages() {
    let cancel = cancel();
    let scenario = |copies, repeats, end| Scenario {
        copies,
        by_hand: std::slice::from_ref(&cancel),
        repeats,
        end,
    };
    let one = scenario(&[(2, 3)], 1, (OrderStatus::Cancelled, vec![(3, 0)]));
    let two = scenario(&[(2, 3), (1, 1)], 0, (OrderStatus::Cancelled, vec![(3, 0), (1, 0)]));
    let ways = every_way(one, WAYS / 2).await + every_way(two, WAYS / 2).await;
    assert!(ways >= WAYS, "only {ways} ways");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shipped_order_takes_its_book_in_any_order_of_messages() {
    let by_hand = [OrderCommand::ConfirmOrder {}, ship()];
    let end = (OrderStatus::Shipped, vec![(1, 0)]);
    let ways =
        every_way(Scenario { copies: &[(2, 3)], by_hand: &by_hand, repeats: 0, end }, WAYS).await;
    assert!(ways >= WAYS, "only {ways} ways");
}

/// Delivers some of the messages and loses the others; then something happens in every stream.
async fn lose_some(stack: &TestStack, case: &Case, choices: &mut Choices) {
    let (runner, mut line) = (stack.runner(), Line::of(case.order_id, &case.books));
    for _ in 0..MAX_STEPS {
        let messages = line.news(stack).await;
        if messages.is_empty() {
            break;
        }
        for message in messages.into_iter().filter(|_| choices.choose(2) == 0) {
            assert!(deliver(&runner, &[message]).await.is_empty());
        }
    }
    stack.ask(case.order_id, &cancel()).await;
    line.run_dry(stack, &runner).await;
    for book in &case.books {
        stack.receive(book, 1).await;
    }
    line.run_dry(stack, &runner).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_message_of_the_stream_delivers_a_lost_one() {
    let (stack, mut choices, mut ways) = (TestStack::start().await, Choices::default(), 1);
    loop {
        let case = case(&stack, &[(2, 3), (1, 1)]).await;
        lose_some(&stack, &case, &mut choices).await;
        assert_eq!(
            case.end(&stack).await,
            (OrderStatus::Cancelled, vec![(4, 0), (2, 0)]),
            "after {choices:?}"
        );
        let types = stack.types(&order_stream(case.order_id)).await;
        // A confirmation that comes too late is refused, and that is recorded.
        let last = types.iter().rfind(|event_type| *event_type != "$Refused");
        assert_eq!(last.unwrap(), "OrderCancelled", "{types:?}");
        if !choices.advance() || ways == full_or(MAX_WAYS, 8) {
            break;
        }
        ways += 1;
    }
    assert!(ways > full_or(20, 7), "only {ways} ways");
}
