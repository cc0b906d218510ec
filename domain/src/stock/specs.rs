//! Rules and properties of stock.

use proptest::prelude::*;

use super::{MAX_ON_HAND, Stock, StockCommand, StockEvent, StockRefusal, decide, evolve, stream};
use crate::samples::{copies, isbn, order_id, stock_command, stock_event};

fn folded(events: &[StockEvent]) -> Stock {
    events.iter().fold(Stock::default(), evolve)
}

/// Given these events, when this command comes, then these events follow.
fn check(given: &[StockEvent], when: StockCommand, then: Result<&[StockEvent], StockRefusal>) {
    assert_eq!(
        decide(&folded(given), &when),
        then.map(<[_]>::to_vec),
        "given {given:?} when {when:?}"
    );
}

fn figures(stock: &Stock) -> (u32, u32, u32) {
    (stock.on_hand(), stock.reserved(), stock.available())
}

fn received(quantity: u32) -> StockEvent {
    StockEvent::StockReceived { quantity: copies(quantity) }
}

fn reserved(order: u32, quantity: u32) -> StockEvent {
    StockEvent::StockReserved { order_id: order_id(order), quantity: copies(quantity) }
}

fn released(order: u32, quantity: u32) -> StockEvent {
    StockEvent::StockReleased { order_id: order_id(order), quantity: copies(quantity) }
}

fn committed(order: u32, quantity: u32) -> StockEvent {
    StockEvent::StockCommitted { order_id: order_id(order), quantity: copies(quantity) }
}

fn receive(quantity: u32) -> StockCommand {
    StockCommand::ReceiveStock { quantity: copies(quantity) }
}

fn reserve(order: u32, quantity: u32) -> StockCommand {
    StockCommand::ReserveStock { order_id: order_id(order), quantity: copies(quantity) }
}

fn release(order: u32, quantity: u32) -> StockCommand {
    StockCommand::ReleaseStock { order_id: order_id(order), quantity: copies(quantity) }
}

fn commit(order: u32, quantity: u32) -> StockCommand {
    StockCommand::CommitStock { order_id: order_id(order), quantity: copies(quantity) }
}

fn other_quantity(order: u32, reserved: u32, named: u32) -> StockRefusal {
    StockRefusal::OtherQuantityReserved {
        order_id: order_id(order),
        reserved: copies(reserved),
        named: copies(named),
    }
}

#[test]
fn the_stream_is_named_by_the_isbn() {
    let book = "9780306406157".to_owned().try_into().unwrap();
    assert_eq!(stream(&book), "stock-9780306406157");
    assert_ne!(stream(&book), stream(&isbn(1)));
}

#[test]
fn copies_are_received_up_to_the_limit() {
    check(&[], receive(50), Ok(&[received(50)]));
    check(&[received(50)], receive(50), Ok(&[received(50)]));
    let full = vec![received(1_000_000); 1_000];
    assert_eq!(folded(&full).on_hand(), MAX_ON_HAND);
    let refusal = StockRefusal::TooManyOnHand { on_hand: MAX_ON_HAND, received: copies(1) };
    check(&full, receive(1), Err(refusal));
    check(&full[1..], receive(1_000_000), Ok(&[received(1_000_000)]));
}

#[test]
fn only_available_copies_can_be_reserved() {
    check(&[received(3)], reserve(1, 3), Ok(&[reserved(1, 3)]));
    check(
        &[received(3)],
        reserve(1, 4),
        Err(StockRefusal::NotEnough { wanted: copies(4), available: 3 }),
    );
    check(
        &[received(3), reserved(1, 2)],
        reserve(2, 2),
        Err(StockRefusal::NotEnough { wanted: copies(2), available: 1 }),
    );
    check(&[received(3), reserved(1, 2)], reserve(2, 1), Ok(&[reserved(2, 1)]));
    check(&[], reserve(1, 1), Err(StockRefusal::NotEnough { wanted: copies(1), available: 0 }));
}

#[test]
fn an_order_reserves_once() {
    check(&[received(9), reserved(1, 2)], reserve(1, 2), Ok(&[]));
    check(&[received(9), reserved(1, 2)], reserve(1, 3), Err(other_quantity(1, 2, 3)));
    check(&[received(2), reserved(1, 2)], reserve(1, 2), Ok(&[]));
}

#[test]
fn a_release_has_the_size_of_the_reservation() {
    check(&[received(9), reserved(1, 2)], release(1, 2), Ok(&[released(1, 2)]));
    check(&[received(9), reserved(1, 2)], release(1, 1), Err(other_quantity(1, 2, 1)));
}

#[test]
fn a_release_without_a_reservation_changes_nothing() {
    check(&[], release(1, 2), Ok(&[]));
    check(&[received(9), reserved(1, 2), released(1, 2)], release(1, 2), Ok(&[]));
    check(&[received(9), reserved(1, 2), committed(1, 2)], release(1, 2), Ok(&[]));
}

#[test]
fn only_reserved_copies_can_be_committed() {
    check(&[received(9), reserved(1, 2)], commit(1, 2), Ok(&[committed(1, 2)]));
    check(&[received(9), reserved(1, 2)], commit(1, 3), Err(other_quantity(1, 2, 3)));
    check(&[received(9)], commit(1, 2), Err(StockRefusal::NothingReserved(order_id(1))));
    check(
        &[received(9), reserved(1, 2), committed(1, 2)],
        commit(1, 2),
        Err(StockRefusal::NothingReserved(order_id(1))),
    );
}

#[test]
fn a_reservation_after_the_release_is_a_new_one() {
    check(&[received(9), reserved(1, 2), released(1, 2)], reserve(1, 2), Ok(&[reserved(1, 2)]));
}

#[test]
fn the_figures_follow_the_events() {
    let history = [received(9), reserved(1, 2), reserved(2, 3), released(2, 3), committed(1, 2)];
    let expected = [(9, 0, 9), (9, 2, 7), (9, 5, 4), (9, 2, 7), (7, 0, 7)];
    for (count, expected) in expected.into_iter().enumerate() {
        assert_eq!(figures(&folded(&history[..=count])), expected);
    }
    let open = folded(&history[..3]);
    assert_eq!(
        open.reservations().collect::<Vec<_>>(),
        [(order_id(1), copies(2)), (order_id(2), copies(3))]
    );
    assert_eq!(open.reservation(order_id(2)), Some(copies(3)));
    assert_eq!(open.reservation(order_id(3)), None);
}

#[test]
fn an_event_that_does_not_fit_changes_nothing() {
    let stock = folded(&[received(9), reserved(1, 2)]);
    for event in [
        reserved(1, 2),
        reserved(2, 8),
        released(1, 1),
        released(2, 1),
        committed(1, 1),
        committed(2, 1),
    ] {
        assert_eq!(evolve(stock.clone(), &event), stock, "{event:?}");
    }
    let full = folded(&vec![received(1_000_000); 1_000]);
    assert_eq!(evolve(full.clone(), &received(1)), full);
}

#[test]
fn refusals_have_a_text() {
    let refusals = [
        (
            StockRefusal::TooManyOnHand { on_hand: 999_999_999, received: copies(2) },
            "999999999 on hand, and 2 more would be over the limit of 1,000,000,000".to_owned(),
        ),
        (
            StockRefusal::NotEnough { wanted: copies(2), available: 1 },
            "2 wanted, but only 1 available".to_owned(),
        ),
        (other_quantity(1, 2, 3), format!("2 reserved for order {}, not 3", order_id(1))),
        (
            StockRefusal::NothingReserved(order_id(1)),
            format!("nothing is reserved for order {}", order_id(1)),
        ),
    ];
    for (refusal, text) in refusals {
        assert_eq!(refusal.to_string(), text);
    }
}

/// The invariant of the figures.
fn sound(stock: &Stock) -> bool {
    let open: u64 = stock.reservations().map(|(_, quantity)| u64::from(quantity.get())).sum();
    u64::from(stock.reserved()) == open
        && stock.reserved() <= stock.on_hand()
        && stock.on_hand() <= MAX_ON_HAND
}

proptest! {
    #[test]
    fn stock_is_never_negative(commands in prop::collection::vec(stock_command(), 0..60)) {
        let mut stock = Stock::default();
        let (mut received, mut committed) = (0_u32, 0_u32);
        for command in commands {
            for event in decide(&stock, &command).unwrap_or_default() {
                match event {
                    StockEvent::StockReceived { quantity } => received += quantity.get(),
                    StockEvent::StockCommitted { quantity, .. } => committed += quantity.get(),
                    StockEvent::StockReserved { .. } | StockEvent::StockReleased { .. } => {}
                }
                let next = evolve(stock.clone(), &event);
                prop_assert_ne!(&next, &stock, "a decided event changes the stock");
                stock = next;
            }
            prop_assert!(sound(&stock), "{:?}", stock);
            prop_assert_eq!(stock.on_hand(), received - committed);
        }
    }

    #[test]
    fn no_history_makes_the_figures_unsound(events in prop::collection::vec(stock_event(), 0..60)) {
        let stock = folded(&events);
        prop_assert!(sound(&stock), "{:?}", stock);
    }

    #[test]
    fn reserve_and_release_are_idempotent(commands in prop::collection::vec(stock_command(), 1..60)) {
        let mut stock = Stock::default();
        for command in commands {
            let Ok(events) = decide(&stock, &command) else { continue };
            stock = events.iter().fold(stock, evolve);
            match command {
                StockCommand::ReserveStock { .. } | StockCommand::ReleaseStock { .. } => {
                    prop_assert_eq!(decide(&stock, &command), Ok(vec![]));
                }
                StockCommand::CommitStock { order_id, .. } => {
                    prop_assert_eq!(decide(&stock, &command), Err(StockRefusal::NothingReserved(order_id)));
                }
                StockCommand::ReceiveStock { .. } => {}
            }
        }
    }

    #[test]
    fn an_event_survives_serialisation(event in stock_event()) {
        let written = serde_json::to_string(&event).unwrap();
        prop_assert_eq!(serde_json::from_str::<StockEvent>(&written).unwrap(), event);
    }

    #[test]
    fn a_command_survives_serialisation(command in stock_command()) {
        let queued = serde_json::to_string(&command).unwrap();
        prop_assert_eq!(serde_json::from_str::<StockCommand>(&queued).unwrap(), command);
    }

    #[test]
    fn a_state_survives_serialisation(events in prop::collection::vec(stock_event(), 0..30)) {
        let stock = folded(&events);
        let stored = serde_json::to_string(&stock).unwrap();
        prop_assert_eq!(serde_json::from_str::<Stock>(&stored).unwrap(), stock);
    }
}
