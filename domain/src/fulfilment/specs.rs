//! Rules and properties of fulfilment.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Fulfilment, FulfilmentCommand, FulfilmentInput, IssuedCommand, decide, evolve, react};
use crate::order::{OrderCommand, OrderEvent};
use crate::samples::{copies, details, details_of, isbn, line, order_id, reason, tracking_code};
use crate::stock::{StockCommand, StockEvent};
use crate::{OrderId, Reason};

/// The time of the events, without their version.
const TIME_MS: u64 = 1_790_000_000_000;

/// The order of these specs: two copies of book 1, one of book 2.
fn order() -> OrderId {
    order_id(7)
}

fn folded(inputs: &[FulfilmentInput]) -> Fulfilment {
    inputs.iter().fold(Fulfilment::new(order()), evolve)
}

/// Given these inputs, when this one comes, then these commands follow.
fn check(given: &[FulfilmentInput], when: FulfilmentInput, then: &[FulfilmentCommand]) {
    let (_, issued) = react(folded(given), &when);
    let sent: Vec<_> = issued.into_iter().map(|issued| issued.command).collect();
    assert_eq!(sent, then, "given {given:?} when {when:?}");
}

fn placed() -> FulfilmentInput {
    FulfilmentInput::Order {
        version: 1,
        recorded_at_ms: TIME_MS + 1,
        event: OrderEvent::OrderPlaced(details()),
    }
}

fn confirmed() -> FulfilmentInput {
    FulfilmentInput::Order {
        version: 2,
        recorded_at_ms: TIME_MS + 2,
        event: OrderEvent::OrderConfirmed {},
    }
}

fn cancelled() -> FulfilmentInput {
    FulfilmentInput::Order {
        version: 3,
        recorded_at_ms: TIME_MS + 3,
        event: OrderEvent::OrderCancelled { reason: reason("changed my mind") },
    }
}

fn rejected() -> FulfilmentInput {
    FulfilmentInput::Order {
        version: 3,
        recorded_at_ms: TIME_MS + 3,
        event: OrderEvent::OrderRejected { reason: reason("sold out") },
    }
}

fn shipped() -> FulfilmentInput {
    FulfilmentInput::Order {
        version: 3,
        recorded_at_ms: TIME_MS + 3,
        event: OrderEvent::OrderShipped { tracking_code: tracking_code("1Z") },
    }
}

fn reserved(book: u32, quantity: u32) -> FulfilmentInput {
    reserved_at(book, quantity, 20)
}

fn reserved_at(book: u32, quantity: u32, version: u64) -> FulfilmentInput {
    FulfilmentInput::Reserved { isbn: isbn(book), version, quantity: copies(quantity) }
}

fn refused(book: u32) -> FulfilmentInput {
    FulfilmentInput::Refused { isbn: isbn(book) }
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
    assert_eq!(
        Reason::book_not_available(&isbn(1)).as_str(),
        format!("book {} is not available", isbn(1))
    );
}

#[test]
fn a_rejected_order_releases_what_is_reserved() {
    check(&[placed(), reserved(1, 2), refused(2)], rejected(), &[release(1, 2)]);
}

#[test]
fn a_cancelled_order_releases_each_reservation() {
    check(
        &[placed(), reserved(1, 2), reserved(2, 1)],
        cancelled(),
        &[release(1, 2), release(2, 1)],
    );
    check(&[placed()], cancelled(), &[]);
}

#[test]
fn a_reservation_that_comes_after_the_cancellation_is_released() {
    check(&[placed(), cancelled()], reserved(1, 2), &[release(1, 2)]);
    // The cancelled order refuses this confirmation.
    check(&[placed(), cancelled(), reserved(1, 2)], reserved(2, 1), &[confirm(), release(2, 1)]);
    check(&[placed(), rejected()], reserved(1, 2), &[release(1, 2)]);
}

#[test]
fn a_shipped_order_commits_each_reservation_and_no_more() {
    let reserved_both = [placed(), reserved(1, 2), reserved(2, 1), confirmed()];
    check(&reserved_both, shipped(), &[commit(1, 2), commit(2, 1)]);
    let all = [&reserved_both[..], &[shipped()]].concat();
    for input in all.clone() {
        check(&all, input, &[]);
    }
    check(&all, refused(1), &[]);
}

#[test]
fn a_verdict_does_not_change() {
    check(&[placed(), refused(1), reserved(2, 1)], reserved(1, 2), &[]);
    check(&[placed(), reserved(1, 2), reserved(2, 1)], refused(1), &[]);
}

#[test]
fn a_line_that_was_reserved_after_a_refusal_is_released() {
    check(
        &[placed(), refused(1), reserved(2, 1), reserved(1, 2)],
        rejected(),
        &[release(1, 2), release(2, 1)],
    );
}

#[test]
fn a_reservation_of_another_quantity_does_not_count() {
    check(&[placed(), reserved(2, 1)], reserved(1, 5), &[]);
    check(&[placed(), reserved(2, 1), reserved(1, 5)], refused(1), &[reject(1)]);
    check(
        &[placed(), reserved(2, 1), reserved(1, 5), refused(1)],
        rejected(),
        &[release(1, 5), release(2, 1)],
    );
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
fn only_a_reservation_is_an_input_from_stock() {
    let (order_id, quantity) = (order(), copies(2));
    let input = |event: StockEvent| FulfilmentInput::of_stock(&isbn(1), 20, &event);
    assert_eq!(
        input(StockEvent::StockReserved { order_id, quantity }),
        Some((order(), reserved(1, 2)))
    );
    assert_eq!(input(StockEvent::StockReceived { quantity }), None);
    assert_eq!(input(StockEvent::StockReleased { order_id, quantity }), None);
    assert_eq!(input(StockEvent::StockCommitted { order_id, quantity }), None);
}

#[test]
fn a_command_knows_its_stream_and_its_cause() {
    let (_, issued) = react(folded(&[placed(), reserved(1, 2)]), &cancelled());
    let [issued] = issued.as_slice() else { panic!("one release, not {issued:?}") };
    assert_eq!(issued.command.stream(), format!("stock-{}", isbn(1)));
    assert_eq!(issued.cause.to_string(), format!("order-{}:3", order()));
    assert_eq!(confirm().stream(), format!("order-{}", order()));
}

/// Command ids are derived from these.
#[test]
fn identities_of_commands_never_change() {
    let inputs = [placed(), reserved(1, 2), refused(2), rejected()];
    let expected = [
        format!("order-{0}:1 stock-{1} reserve 2", order(), isbn(1)),
        format!("order-{0}:1 stock-{1} reserve 1", order(), isbn(2)),
        format!("order-{0}:1 order-{0} reject {1}", order(), isbn(2)),
        format!("order-{0}:3 stock-{1} release 2 reserved at 20", order(), isbn(1)),
    ];
    let identities: Vec<_> = decide(&folded(&inputs)).iter().map(IssuedCommand::identity).collect();
    assert_eq!(identities, expected);
}

/// Consistent inputs: one outcome for each line, and at most one end.
fn inputs() -> impl Strategy<Value = Vec<FulfilmentInput>> {
    let outcomes =
        prop::collection::vec(prop::option::weighted(0.9, prop::bool::weighted(0.8)), 1..5);
    let end = prop::option::of(prop::sample::select(vec![cancelled(), rejected(), shipped()]));
    (outcomes, end).prop_map(|(outcomes, end)| {
        let books = (1..).zip(outcomes.iter());
        let lines = books.clone().map(|(book, _)| line(book, book, 100)).collect();
        let placed = FulfilmentInput::Order {
            version: 1,
            recorded_at_ms: TIME_MS + 1,
            event: OrderEvent::OrderPlaced(details_of(lines)),
        };
        let outcome = |(book, reserves): (u32, &Option<bool>)| {
            reserves.map(|reserves| if reserves { reserved(book, book) } else { refused(book) })
        };
        [placed].into_iter().chain(books.filter_map(outcome)).chain(end).collect()
    })
}

/// The inputs, each once or twice, in any order.
fn delivered() -> impl Strategy<Value = (Vec<FulfilmentInput>, Vec<FulfilmentInput>)> {
    inputs().prop_flat_map(|inputs| {
        let repeats = prop::sample::subsequence(inputs.clone(), 0..=inputs.len());
        let all = repeats.prop_map({
            let inputs = inputs.clone();
            move |repeats| [inputs.clone(), repeats].concat()
        });
        (Just(inputs), all.prop_shuffle())
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
    fn order_and_repetition_of_inputs_change_no_command((inputs, delivered) in delivered()) {
        let mut state = Fulfilment::new(order());
        let mut sent = Vec::new();
        for input in &delivered {
            let (next, commands) = react(state, input);
            state = next;
            sent.extend(commands);
        }
        prop_assert_eq!(&state, &folded(&inputs));
        prop_assert_eq!(ids(&sent), ids(&decide(&folded(&inputs))));
        prop_assert_eq!(ids(&sent).len(), sent.len(), "no command is issued twice");
    }

    #[test]
    fn a_crash_before_the_state_is_stored_repeats_the_commands((_, delivered) in delivered()) {
        let mut state = Fulfilment::new(order());
        for input in &delivered {
            let (_, lost) = react(state.clone(), input);
            let (next, commands) = react(state, input);
            prop_assert_eq!(lost, commands);
            state = next;
        }
    }

    #[test]
    fn no_input_withdraws_a_command((_, delivered) in delivered()) {
        let mut state = Fulfilment::new(order());
        for input in &delivered {
            let before = ids(&decide(&state));
            state = evolve(state, input);
            prop_assert!(before.is_subset(&ids(&decide(&state))));
        }
    }

    /// Inputs of two histories contradict each other: a line is refused and reserved, an order ends
    /// twice.
    #[test]
    fn an_order_is_never_both_confirmed_and_rejected((_, some) in delivered(), (_, others) in delivered()) {
        let mut state = Fulfilment::new(order());
        let mut verdicts = BTreeSet::new();
        for input in some.iter().zip(&others).flat_map(|(one, other)| [one, other]) {
            let (next, commands) = react(state, input);
            state = next;
            verdicts.extend(commands.iter().filter(|issued| is_order_command(issued)).map(IssuedCommand::identity));
        }
        prop_assert!(verdicts.len() <= 1, "{:?}", decide(&state));
    }

    #[test]
    fn states_and_inputs_survive_serialisation((_, delivered) in delivered()) {
        let state = folded(&delivered);
        let stored = serde_json::to_string(&state).unwrap();
        prop_assert_eq!(serde_json::from_str::<Fulfilment>(&stored).unwrap(), state);
        for input in delivered {
            let queued = serde_json::to_string(&input).unwrap();
            prop_assert_eq!(serde_json::from_str::<FulfilmentInput>(&queued).unwrap(), input);
        }
    }
}
