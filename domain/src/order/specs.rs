//! Rules and properties of an order.

use proptest::prelude::*;

use super::{
    Order, OrderCommand, OrderDetails, OrderEvent, OrderRefusal, OrderStatus, decide, evolve,
    stream,
};
use crate::OrderId;
use crate::samples::{details, order_command, order_event, reason, tracking_code};

fn folded(events: &[OrderEvent]) -> Order {
    events.iter().fold(Order::default(), evolve)
}

/// Given these events, when this command comes, then these events follow.
fn check(given: &[OrderEvent], when: OrderCommand, then: Result<&[OrderEvent], OrderRefusal>) {
    assert_eq!(
        decide(&folded(given), &when),
        then.map(<[_]>::to_vec),
        "given {given:?} when {when:?}"
    );
}

fn placed() -> OrderEvent {
    OrderEvent::OrderPlaced(details())
}

fn confirmed() -> OrderEvent {
    OrderEvent::OrderConfirmed {}
}

fn rejected(why: &str) -> OrderEvent {
    OrderEvent::OrderRejected { reason: reason(why) }
}

fn cancelled(why: &str) -> OrderEvent {
    OrderEvent::OrderCancelled { reason: reason(why) }
}

fn shipped(code: &str) -> OrderEvent {
    OrderEvent::OrderShipped { tracking_code: tracking_code(code) }
}

fn place() -> OrderCommand {
    OrderCommand::PlaceOrder(details())
}

fn confirm() -> OrderCommand {
    OrderCommand::ConfirmOrder {}
}

fn reject(why: &str) -> OrderCommand {
    OrderCommand::RejectOrder { reason: reason(why) }
}

fn cancel(why: &str) -> OrderCommand {
    OrderCommand::CancelOrder { reason: reason(why) }
}

fn ship(code: &str) -> OrderCommand {
    OrderCommand::ShipOrder { tracking_code: tracking_code(code) }
}

/// The events that lead to each status.
fn histories() -> [(OrderStatus, Vec<OrderEvent>); 5] {
    [
        (OrderStatus::Placed, vec![placed()]),
        (OrderStatus::Confirmed, vec![placed(), confirmed()]),
        (OrderStatus::Rejected, vec![placed(), rejected("sold out")]),
        (OrderStatus::Cancelled, vec![placed(), cancelled("changed my mind")]),
        (OrderStatus::Shipped, vec![placed(), confirmed(), shipped("1Z")]),
    ]
}

#[test]
fn the_stream_is_named_by_the_order_id() {
    let order_id = OrderId::try_from("6f0f7c1e-7a44-5c38-9c1b-0d8a4f1f2e11".to_owned()).unwrap();
    assert_eq!(stream(order_id), "order-6f0f7c1e-7a44-5c38-9c1b-0d8a4f1f2e11");
}

#[test]
fn an_order_is_placed_once() {
    check(&[], place(), Ok(&[placed()]));
    for (_, history) in histories() {
        check(&history, place(), Ok(&[]));
        let other = OrderDetails { currency: "USD".to_owned().try_into().unwrap(), ..details() };
        check(&history, OrderCommand::PlaceOrder(other), Err(OrderRefusal::AlreadyPlaced));
    }
}

#[test]
fn an_order_that_was_not_placed_refuses_all_other_commands() {
    for command in [confirm(), reject("sold out"), cancel("changed my mind"), ship("1Z")] {
        check(&[], command, Err(OrderRefusal::NoSuchOrder));
    }
}

/// Sends the command in each status: some accept it, one is the target status, others refuse it.
fn check_all(
    when: &OrderCommand,
    accepted_in: &[OrderStatus],
    event: &OrderEvent,
    already: OrderStatus,
    refusal: fn(OrderStatus) -> OrderRefusal,
) {
    for (status, history) in histories() {
        if accepted_in.contains(&status) {
            check(&history, when.clone(), Ok(std::slice::from_ref(event)));
        } else if status == already {
            check(&history, when.clone(), Ok(&[]));
        } else {
            check(&history, when.clone(), Err(refusal(status)));
        }
    }
}

#[test]
fn only_a_placed_order_can_be_confirmed() {
    let accepted_in = [OrderStatus::Placed];
    check_all(
        &confirm(),
        &accepted_in,
        &confirmed(),
        OrderStatus::Confirmed,
        OrderRefusal::CannotConfirm,
    );
}

#[test]
fn only_a_placed_order_can_be_rejected() {
    let (accepted_in, event) = ([OrderStatus::Placed], rejected("too many"));
    check_all(
        &reject("too many"),
        &accepted_in,
        &event,
        OrderStatus::Rejected,
        OrderRefusal::CannotReject,
    );
}

#[test]
fn a_placed_or_confirmed_order_can_be_cancelled() {
    let (accepted_in, event) =
        ([OrderStatus::Placed, OrderStatus::Confirmed], cancelled("too late"));
    check_all(
        &cancel("too late"),
        &accepted_in,
        &event,
        OrderStatus::Cancelled,
        OrderRefusal::CannotCancel,
    );
}

#[test]
fn only_a_confirmed_order_can_be_shipped() {
    let accepted_in = [OrderStatus::Confirmed];
    check_all(
        &ship("1Z"),
        &accepted_in,
        &shipped("1Z"),
        OrderStatus::Shipped,
        OrderRefusal::CannotShip,
    );
}

#[test]
fn a_shipped_order_keeps_its_tracking_code() {
    let history = [placed(), confirmed(), shipped("1Z")];
    check(&history, ship("2Z"), Err(OrderRefusal::AlreadyShipped(tracking_code("1Z"))));
}

#[test]
fn refusals_have_a_text() {
    let refusals = [
        (OrderRefusal::NoSuchOrder, "no such order"),
        (OrderRefusal::AlreadyPlaced, "the order is already placed, with other details"),
        (
            OrderRefusal::CannotConfirm(OrderStatus::Shipped),
            "the order is shipped: only a placed order can be confirmed",
        ),
        (
            OrderRefusal::CannotReject(OrderStatus::Confirmed),
            "the order is confirmed: only a placed order can be rejected",
        ),
        (
            OrderRefusal::CannotCancel(OrderStatus::Rejected),
            "the order is rejected: only a placed or confirmed order can be cancelled",
        ),
        (
            OrderRefusal::CannotShip(OrderStatus::Placed),
            "the order is placed: only a confirmed order can be shipped",
        ),
        (
            OrderRefusal::AlreadyShipped(tracking_code("1Z")),
            "the order is already shipped, with tracking code 1Z",
        ),
    ];
    for (refusal, text) in refusals {
        assert_eq!(refusal.to_string(), text);
    }
}

#[test]
fn accessors_return_the_data_of_each_status() {
    let order = folded(&[]);
    assert_eq!(
        (order.status(), order.details(), order.reason(), order.tracking_code()),
        (None, None, None, None)
    );
    for (status, history) in histories() {
        let order = folded(&history);
        assert_eq!(order.status(), Some(status));
        assert_eq!(order.details().map(OrderDetails::total_minor), Some(2 * 1999 + 995));
        assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
    }
    assert_eq!(folded(&[placed(), rejected("sold out")]).reason(), Some(&reason("sold out")));
    assert_eq!(folded(&[placed(), cancelled("enough")]).reason(), Some(&reason("enough")));
    assert_eq!(
        folded(&[placed(), confirmed(), shipped("1Z")]).tracking_code(),
        Some(&tracking_code("1Z"))
    );
}

#[test]
fn an_event_that_does_not_fit_changes_nothing() {
    for (status, history) in histories() {
        let allowed = |event: &OrderEvent| match status {
            OrderStatus::Placed => {
                event.event_type() != "OrderPlaced" && event.event_type() != "OrderShipped"
            }
            OrderStatus::Confirmed => {
                ["OrderCancelled", "OrderShipped"].contains(&event.event_type())
            }
            OrderStatus::Rejected | OrderStatus::Cancelled | OrderStatus::Shipped => false,
        };
        for event in
            [placed(), confirmed(), rejected("other"), cancelled("other"), shipped("other")]
        {
            let order = folded(&history);
            assert_eq!(
                evolve(order.clone(), &event) != order,
                allowed(&event),
                "{status} and {event:?}"
            );
        }
    }
    for event in [confirmed(), rejected("x"), cancelled("x"), shipped("x")] {
        assert_eq!(evolve(Order::Absent, &event), Order::Absent);
    }
}

proptest! {
    #[test]
    fn every_decided_event_changes_the_order(commands in prop::collection::vec(order_command(), 0..20)) {
        let mut order = Order::default();
        for command in commands {
            for event in decide(&order, &command).unwrap_or_default() {
                let next = evolve(order.clone(), &event);
                prop_assert_ne!(&next, &order);
                order = next;
            }
        }
    }

    #[test]
    fn every_command_is_idempotent(commands in prop::collection::vec(order_command(), 1..20)) {
        let mut order = Order::default();
        for command in commands {
            if let Ok(events) = decide(&order, &command) {
                order = events.iter().fold(order, evolve);
                prop_assert_eq!(decide(&order, &command), Ok(vec![]));
            }
        }
    }

    #[test]
    fn an_event_survives_serialisation(event in order_event()) {
        let written = serde_json::to_string(&event).unwrap();
        prop_assert_eq!(serde_json::from_str::<OrderEvent>(&written).unwrap(), event);
    }

    #[test]
    fn a_command_survives_serialisation(command in order_command()) {
        let queued = serde_json::to_string(&command).unwrap();
        prop_assert_eq!(serde_json::from_str::<OrderCommand>(&queued).unwrap(), command);
    }

    #[test]
    fn a_state_survives_serialisation(events in prop::collection::vec(order_event(), 0..10)) {
        let order = folded(&events);
        let stored = serde_json::to_string(&order).unwrap();
        prop_assert_eq!(serde_json::from_str::<Order>(&stored).unwrap(), order);
    }
}
