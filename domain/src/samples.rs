//! Fixed and random values for the specs of this crate.

use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::isbn::check_digit;
use crate::order::{OrderCommand, OrderDetails, OrderEvent};
use crate::stock::{StockCommand, StockEvent};
use crate::{
    Isbn, OrderId, OrderLine, OrderLines, OrderQuantity, Reason, StockQuantity, TrackingCode,
    UnitPriceMinor,
};

/// Asserts that the JSON is a value of this type, and is serialised to the same JSON.
pub(crate) fn accepted<T: DeserializeOwned + Serialize>(json: &str) {
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    let value: T = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(value).unwrap(), json);
}

/// Asserts that the JSON is no value of this type, and the error.
pub(crate) fn refused<T: DeserializeOwned>(json: &str, why: &str) {
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    let error = serde_json::from_value::<T>(json.clone()).err().map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some(why), "{json}");
}

pub(crate) fn isbn(book: u32) -> Isbn {
    let digits = format!("978{book:09}");
    format!("{digits}{}", check_digit(&digits)).try_into().unwrap()
}

pub(crate) fn order_id(order: u32) -> OrderId {
    OrderId::new(Uuid::from_u128(order.into()))
}

pub(crate) fn copies(quantity: u32) -> StockQuantity {
    StockQuantity::new(quantity).unwrap()
}

pub(crate) fn reason(words: &str) -> Reason {
    words.to_owned().try_into().unwrap()
}

pub(crate) fn tracking_code(code: &str) -> TrackingCode {
    code.to_owned().try_into().unwrap()
}

pub(crate) fn line(book: u32, quantity: u32, price_minor: u32) -> OrderLine {
    OrderLine {
        isbn: isbn(book),
        quantity: OrderQuantity::new(quantity).unwrap(),
        unit_price_minor: UnitPriceMinor::new(price_minor).unwrap(),
    }
}

pub(crate) fn details_of(lines: Vec<OrderLine>) -> OrderDetails {
    OrderDetails {
        customer_id: "c-17".to_owned().try_into().unwrap(),
        currency: "EUR".to_owned().try_into().unwrap(),
        lines: OrderLines::try_from(lines).unwrap(),
    }
}

/// Two copies of book 1 and one of book 2.
pub(crate) fn details() -> OrderDetails {
    details_of(vec![line(1, 2, 1999), line(2, 1, 995)])
}

/// Often the same details, so that orders are placed twice.
fn any_details() -> impl Strategy<Value = OrderDetails> {
    let lines =
        prop::collection::btree_map(any::<u16>(), (1..=1_000_u32, 0..=1_000_000_000_u32), 1..6);
    let other =
        (lines, prop::sample::select(vec!["EUR", "USD", "JPY"])).prop_map(|(lines, currency)| {
            OrderDetails {
                currency: currency.to_owned().try_into().unwrap(),
                ..details_of(
                    lines
                        .into_iter()
                        .map(|(book, (quantity, price))| line(book.into(), quantity, price))
                        .collect(),
                )
            }
        });
    prop_oneof![Just(details()), other]
}

fn any_reason() -> impl Strategy<Value = Reason> {
    any::<String>().prop_filter_map("a reason", |words| Reason::try_from(words).ok())
}

fn any_tracking_code() -> impl Strategy<Value = TrackingCode> {
    prop_oneof![Just("1Z".to_owned()), "[!-~]{1,64}"].prop_map(|code| code.try_into().unwrap())
}

pub(crate) fn order_event() -> impl Strategy<Value = OrderEvent> {
    prop_oneof![
        any_details().prop_map(OrderEvent::OrderPlaced),
        Just(OrderEvent::OrderConfirmed {}),
        any_reason().prop_map(|reason| OrderEvent::OrderRejected { reason }),
        any_reason().prop_map(|reason| OrderEvent::OrderCancelled { reason }),
        any_tracking_code().prop_map(|tracking_code| OrderEvent::OrderShipped { tracking_code }),
    ]
}

pub(crate) fn order_command() -> impl Strategy<Value = OrderCommand> {
    prop_oneof![
        any_details().prop_map(OrderCommand::PlaceOrder),
        Just(OrderCommand::ConfirmOrder {}),
        any_reason().prop_map(|reason| OrderCommand::RejectOrder { reason }),
        any_reason().prop_map(|reason| OrderCommand::CancelOrder { reason }),
        any_tracking_code().prop_map(|tracking_code| OrderCommand::ShipOrder { tracking_code }),
    ]
}

fn any_copies() -> impl Strategy<Value = StockQuantity> {
    prop_oneof![9 => 1..6_u32, 1 => 1..=StockQuantity::MAX].prop_map(copies)
}

fn any_reservation() -> impl Strategy<Value = (OrderId, StockQuantity)> {
    ((0..4_u32).prop_map(order_id), any_copies())
}

pub(crate) fn stock_event() -> impl Strategy<Value = StockEvent> {
    prop_oneof![
        any_copies().prop_map(|quantity| StockEvent::StockReceived { quantity }),
        any_reservation()
            .prop_map(|(order_id, quantity)| StockEvent::StockReserved { order_id, quantity }),
        any_reservation()
            .prop_map(|(order_id, quantity)| StockEvent::StockReleased { order_id, quantity }),
        any_reservation()
            .prop_map(|(order_id, quantity)| StockEvent::StockCommitted { order_id, quantity }),
    ]
}

pub(crate) fn stock_command() -> impl Strategy<Value = StockCommand> {
    prop_oneof![
        any_copies().prop_map(|quantity| StockCommand::ReceiveStock { quantity }),
        any_reservation()
            .prop_map(|(order_id, quantity)| StockCommand::ReserveStock { order_id, quantity }),
        any_reservation()
            .prop_map(|(order_id, quantity)| StockCommand::ReleaseStock { order_id, quantity }),
        any_reservation()
            .prop_map(|(order_id, quantity)| StockCommand::CommitStock { order_id, quantity }),
    ]
}
