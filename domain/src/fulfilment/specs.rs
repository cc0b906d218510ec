//! The rules and laws of fulfilment.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Fact, Fulfilment, FulfilmentCommand, IssuedCommand, decide, evolve, react};
use crate::order::{OrderCommand, OrderEvent};
use crate::samples::{copies, details, details_of, isbn, line, order_id, reason, tracking_code};
use crate::stock::{StockCommand, StockEvent};
use crate::{OrderId, Reason};

/// When the events of these specs were recorded, but for their versions.
const TIME_MS: u64 = 1_790_000_000_000;

/// The order of these specs: two copies of book 1, one of book 2.
fn order() -> OrderId {
    order_id(7)
}

fn folded(facts: &[Fact]) -> Fulfilment {
    facts.iter().fold(Fulfilment::new(order()), evolve)
}

/// Given these facts, when this one is learnt, then that is asked.
fn check(given: &[Fact], when: Fact, then: &[FulfilmentCommand]) {
    let (_, issued) = react(folded(given), &when);
    let asked: Vec<_> = issued.into_iter().map(|issued| issued.command).collect();
    assert_eq!(asked, then, "given {given:?} when {when:?}");
}

fn placed() -> Fact {
    Fact::Order { version: 1, recorded_at_ms: TIME_MS + 1, event: OrderEvent::OrderPlaced(details()) }
}

fn confirmed() -> Fact {
    Fact::Order { version: 2, recorded_at_ms: TIME_MS + 2, event: OrderEvent::OrderConfirmed {} }
}

fn cancelled() -> Fact {
    Fact::Order {
        version: 3,
        recorded_at_ms: TIME_MS + 3,
        event: OrderEvent::OrderCancelled { reason: reason("changed my mind") },
    }
}

fn rejected() -> Fact {
    Fact::Order {
        version: 3,
        recorded_at_ms: TIME_MS + 3,
        event: OrderEvent::OrderRejected { reason: reason("sold out") },
    }
}

fn shipped() -> Fact {
    Fact::Order {
        version: 3,
        recorded_at_ms: TIME_MS + 3,
        event: OrderEvent::OrderShipped { tracking_code: tracking_code("1Z") },
    }
}

fn reserved(book: u32, quantity: u32) -> Fact {
    reserved_at(book, quantity, 20)
}

fn reserved_at(book: u32, quantity: u32, version: u64) -> Fact {
    Fact::Reserved { isbn: isbn(book), version, quantity: copies(quantity) }
}

fn refused(book: u32) -> Fact {
    Fact::Refused { isbn: isbn(book) }
}

fn reserve(book: u32, quantity: u32) -> FulfilmentCommand {
    let command = StockCommand::ReserveStock { order_id: order(), quantity: copies(quantity) };
    FulfilmentCommand::Stock { isbn: isbn(book), command }
}

fn release(book: u32, quantity: u32) -> FulfilmentCommand {
    let command = StockCommand::ReleaseStock { order_id: order(), quantity: copies(quantity) };
    FulfilmentCommand::Stock { isbn: isbn(book), command }
}

fn commit(book: u32, quantity: u32) -> FulfilmentCommand {
    let command = StockCommand::CommitStock { order_id: order(), quantity: copies(quantity) };
    FulfilmentCommand::Stock { isbn: isbn(book), command }
}

fn confirm() -> FulfilmentCommand {
    FulfilmentCommand::Order { order_id: order(), command: OrderCommand::ConfirmOrder {} }
}

fn reject(book: u32) -> FulfilmentCommand {
    let command = OrderCommand::RejectOrder { reason: Reason::book_not_available(&isbn(book)) };
    FulfilmentCommand::Order { order_id: order(), command }
}

#[test]
fn a_placed_order_reserves_each_line() {
    check(&[], placed(), &[reserve(1, 2), reserve(2, 1)]);
}

#[test]
fn an_order_is_confirmed_when_every_line_is_reserved() {
    check(&[placed()], reserved(1, 2), &[]);
    check(&[placed(), reserved(1, 2)], reserved(2, 1), &[confirm()]);
    check(&[placed(), reserved(2, 1)], reserved(1, 2), &[confirm()]);
    check(&[placed(), reserved(1, 2), reserved(2, 1)], confirmed(), &[]);
}

#[test]
fn an_order_is_rejected_when_the_last_line_has_its_outcome_and_one_is_refused() {
    check(&[placed()], refused(2), &[]);
    check(&[placed(), refused(2)], reserved(1, 2), &[reject(2)]);
    check(&[placed(), reserved(1, 2)], refused(2), &[reject(2)]);
    check(&[placed(), refused(2)], refused(1), &[reject(1)]);
    assert_eq!(Reason::book_not_available(&isbn(1)).as_str(), format!("book {} is not available", isbn(1)));
}

#[test]
fn a_rejected_order_releases_what_is_reserved() {
    check(&[placed(), reserved(1, 2), refused(2)], rejected(), &[release(1, 2)]);
}

#[test]
fn a_cancelled_order_releases_each_reservation() {
    check(&[placed(), reserved(1, 2), reserved(2, 1)], cancelled(), &[release(1, 2), release(2, 1)]);
    check(&[placed()], cancelled(), &[]);
}

#[test]
fn a_reservation_that_comes_after_the_cancellation_is_released() {
    check(&[placed(), cancelled()], reserved(1, 2), &[release(1, 2)]);
    // The order refuses this confirmation: it is cancelled, and has the last word.
    check(&[placed(), cancelled(), reserved(1, 2)], reserved(2, 1), &[confirm(), release(2, 1)]);
    check(&[placed(), rejected()], reserved(1, 2), &[release(1, 2)]);
}

#[test]
fn a_shipped_order_commits_each_reservation_and_asks_no_more() {
    let reserved_both = [placed(), reserved(1, 2), reserved(2, 1), confirmed()];
    check(&reserved_both, shipped(), &[commit(1, 2), commit(2, 1)]);
    let all = [&reserved_both[..], &[shipped()]].concat();
    for fact in all.clone() {
        check(&all, fact, &[]);
    }
    check(&all, refused(1), &[]);
}

#[test]
fn a_verdict_stands() {
    check(&[placed(), refused(1), reserved(2, 1)], reserved(1, 2), &[]);
    check(&[placed(), reserved(1, 2), reserved(2, 1)], refused(1), &[]);
}

#[test]
fn a_refused_line_that_was_reserved_after_all_is_released() {
    check(&[placed(), refused(1), reserved(2, 1), reserved(1, 2)], rejected(), &[release(1, 2), release(2, 1)]);
}

#[test]
fn a_reservation_of_another_quantity_is_not_the_lines() {
    check(&[placed(), reserved(2, 1)], reserved(1, 5), &[]);
    check(&[placed(), reserved(2, 1), reserved(1, 5)], refused(1), &[reject(1)]);
    check(&[placed(), reserved(2, 1), reserved(1, 5), refused(1)], rejected(), &[release(1, 5), release(2, 1)]);
}

#[test]
fn a_reservation_that_was_made_again_is_released_again() {
    let given = [placed(), reserved_at(1, 2, 20), cancelled()];
    let first = decide(&folded(&given));
    let (_, again) = react(folded(&given), &reserved_at(1, 2, 25));
    let [again] = again.as_slice() else { panic!("one release, not {again:?}") };
    assert_eq!(again.command, release(1, 2));
    assert!(first.iter().all(|issued| issued.identity() != again.identity()));
}

#[test]
fn only_a_reservation_is_a_fact_of_stock() {
    let (order_id, quantity) = (order(), copies(2));
    let fact = |event: StockEvent| Fact::of_stock(&isbn(1), 20, &event);
    assert_eq!(fact(StockEvent::StockReserved { order_id, quantity }), Some((order(), reserved(1, 2))));
    assert_eq!(fact(StockEvent::StockReceived { quantity }), None);
    assert_eq!(fact(StockEvent::StockReleased { order_id, quantity }), None);
    assert_eq!(fact(StockEvent::StockCommitted { order_id, quantity }), None);
}

#[test]
fn a_command_knows_its_stream_and_its_cause() {
    let (_, issued) = react(folded(&[placed(), reserved(1, 2)]), &cancelled());
    let [issued] = issued.as_slice() else { panic!("one release, not {issued:?}") };
    assert_eq!(issued.command.stream(), format!("stock-{}", isbn(1)));
    assert_eq!(issued.cause.to_string(), format!("order-{}:3", order()));
    assert_eq!(confirm().stream(), format!("order-{}", order()));
}

/// Command ids are made of these.
#[test]
fn identities_of_commands_stay_what_they_are() {
    let facts = [placed(), reserved(1, 2), refused(2), rejected()];
    let expected = [
        format!("order-{0}:1 stock-{1} reserve 2", order(), isbn(1)),
        format!("order-{0}:1 stock-{1} reserve 1", order(), isbn(2)),
        format!("order-{0}:1 order-{0} reject {1}", order(), isbn(2)),
        format!("order-{0}:3 stock-{1} release 2 reserved at 20", order(), isbn(1)),
    ];
    let identities: Vec<_> = decide(&folded(&facts)).iter().map(IssuedCommand::identity).collect();
    assert_eq!(identities, expected);
}

/// Facts that agree with each other: lines with one outcome each, and at most one end.
fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let outcomes = prop::collection::vec(prop::option::weighted(0.9, prop::bool::weighted(0.8)), 1..5);
    let end = prop::option::of(prop::sample::select(vec![cancelled(), rejected(), shipped()]));
    (outcomes, end).prop_map(|(outcomes, end)| {
        let books = (1..).zip(outcomes.iter());
        let lines = books.clone().map(|(book, _)| line(book, book, 100)).collect();
        let placed =
            Fact::Order { version: 1, recorded_at_ms: TIME_MS + 1, event: OrderEvent::OrderPlaced(details_of(lines)) };
        let outcome = |(book, reserves): (u32, &Option<bool>)| {
            reserves.map(|reserves| if reserves { reserved(book, book) } else { refused(book) })
        };
        [placed].into_iter().chain(books.filter_map(outcome)).chain(end).collect()
    })
}

/// The facts, each once or twice, in any order.
fn delivered() -> impl Strategy<Value = (Vec<Fact>, Vec<Fact>)> {
    facts().prop_flat_map(|facts| {
        let repeats = prop::sample::subsequence(facts.clone(), 0..=facts.len());
        let all = repeats.prop_map({
            let facts = facts.clone();
            move |repeats| [facts.clone(), repeats].concat()
        });
        (Just(facts), all.prop_shuffle())
    })
}

fn ids(commands: &[IssuedCommand]) -> BTreeSet<String> {
    commands.iter().map(IssuedCommand::identity).collect()
}

fn is_order_command(issued: &IssuedCommand) -> bool {
    matches!(issued.command, FulfilmentCommand::Order { .. })
}

proptest! {
    #[test]
    fn neither_order_nor_repetition_of_facts_changes_what_is_asked((facts, delivered) in delivered()) {
        let mut known = Fulfilment::new(order());
        let mut asked = Vec::new();
        for fact in &delivered {
            let (next, commands) = react(known, fact);
            known = next;
            asked.extend(commands);
        }
        prop_assert_eq!(&known, &folded(&facts));
        prop_assert_eq!(ids(&asked), ids(&decide(&folded(&facts))));
        prop_assert_eq!(ids(&asked).len(), asked.len(), "nothing is asked twice");
    }

    #[test]
    fn who_dies_before_keeping_the_state_asks_the_same_again((_, delivered) in delivered()) {
        let mut known = Fulfilment::new(order());
        for fact in &delivered {
            let (_, lost) = react(known.clone(), fact);
            let (next, commands) = react(known, fact);
            prop_assert_eq!(lost, commands);
            known = next;
        }
    }

    #[test]
    fn no_fact_takes_a_command_back((_, delivered) in delivered()) {
        let mut known = Fulfilment::new(order());
        for fact in &delivered {
            let before = ids(&decide(&known));
            known = evolve(known, fact);
            prop_assert!(before.is_subset(&ids(&decide(&known))));
        }
    }

    /// Facts of several deliveries contradict each other: a line is both refused and reserved, an order ends twice.
    #[test]
    fn an_order_is_never_both_confirmed_and_rejected((_, some) in delivered(), (_, others) in delivered()) {
        let mut known = Fulfilment::new(order());
        let mut verdicts = BTreeSet::new();
        for fact in some.iter().zip(&others).flat_map(|(one, other)| [one, other]) {
            let (next, commands) = react(known, fact);
            known = next;
            verdicts.extend(commands.iter().filter(|issued| is_order_command(issued)).map(IssuedCommand::identity));
        }
        prop_assert!(verdicts.len() <= 1, "{:?}", decide(&known));
    }

    #[test]
    fn what_is_kept_is_what_is_known((_, delivered) in delivered()) {
        let known = folded(&delivered);
        let kept = serde_json::to_string(&known).unwrap();
        prop_assert_eq!(serde_json::from_str::<Fulfilment>(&kept).unwrap(), known);
        for fact in delivered {
            let queued = serde_json::to_string(&fact).unwrap();
            prop_assert_eq!(serde_json::from_str::<Fact>(&queued).unwrap(), fact);
        }
    }
}
