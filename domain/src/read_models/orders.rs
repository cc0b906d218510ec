//! Orders: by id, and the orders of a customer, newest first.
//!
//! One row for each order serves both. The list of its customer ranks it by the time it was placed.

use crate::order::{OrderDetails, OrderEvent, OrderStatus};
use crate::{Reason, TrackingCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The row of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRow {
    /// The status.
    pub status: OrderStatus,
    /// The details.
    #[serde(flatten)]
    pub details: OrderDetails,
    /// Why it was rejected or cancelled, if it was.
    pub reason: Option<Reason>,
    /// The carrier's code, once the order is shipped.
    pub tracking_code: Option<TrackingCode>,
    /// When it was placed.
    pub placed_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// The list of a customer's orders.
pub fn customer_list(customer_id: &str) -> String {
    format!("customer/{customer_id}")
}

/// The row after an event; none if the order was never placed.
pub fn fold(
    row: Option<OrderRow>,
    event: &OrderEvent,
    recorded_at: DateTime<Utc>,
) -> Option<OrderRow> {
    if let OrderEvent::OrderPlaced(details) = event {
        return Some(OrderRow {
            status: OrderStatus::Placed,
            details: details.clone(),
            reason: None,
            tracking_code: None,
            placed_at: recorded_at,
            updated_at: recorded_at,
        });
    }
    let mut row = row?;
    row.updated_at = recorded_at;
    match event {
        OrderEvent::OrderPlaced(_) => {}
        OrderEvent::OrderConfirmed {} => row.status = OrderStatus::Confirmed,
        OrderEvent::OrderRejected { reason } => {
            (row.status, row.reason) = (OrderStatus::Rejected, Some(reason.clone()));
        }
        OrderEvent::OrderCancelled { reason } => {
            (row.status, row.reason) = (OrderStatus::Cancelled, Some(reason.clone()));
        }
        OrderEvent::OrderShipped { tracking_code } => {
            (row.status, row.tracking_code) = (OrderStatus::Shipped, Some(tracking_code.clone()));
        }
    }
    Some(row)
}

#[cfg(test)]
mod specs {
    use super::*;
    use serde_json::{Value, json};

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + second, 0).unwrap()
    }

    fn event(event_type: &str, data: Value) -> OrderEvent {
        serde_json::from_value(json!({"type": event_type, "data": data})).unwrap()
    }

    fn placed() -> OrderEvent {
        let lines = json!([{"isbn": "9780306406157", "quantity": 2, "unit_price_minor": 1999}]);
        event("OrderPlaced", json!({"customer_id": "c-17", "currency": "EUR", "lines": lines}))
    }

    /// Given events a second apart, then the row.
    fn given(events: Vec<OrderEvent>) -> OrderRow {
        let mut row = None;
        for (second, event) in (0..).zip(events) {
            row = fold(row, &event, at(second));
        }
        row.unwrap()
    }

    #[test]
    fn a_placed_order_shows_what_was_ordered() {
        let row = given(vec![placed()]);
        assert_eq!((row.status, row.details.total_minor()), (OrderStatus::Placed, 3998));
        assert_eq!((row.placed_at, row.updated_at), (at(0), at(0)));
    }

    #[test]
    fn a_shipped_order_shows_its_tracking_code_and_keeps_when_it_was_placed() {
        let shipped = event("OrderShipped", json!({"tracking_code": "T1"}));
        let row = given(vec![placed(), event("OrderConfirmed", json!({})), shipped]);
        assert_eq!(
            (row.status, row.placed_at, row.updated_at),
            (OrderStatus::Shipped, at(0), at(2))
        );
        assert_eq!(row.tracking_code.unwrap().as_str(), "T1");
    }

    #[test]
    fn a_rejected_or_cancelled_order_shows_the_reason() {
        for (event_type, status) in
            [("OrderRejected", OrderStatus::Rejected), ("OrderCancelled", OrderStatus::Cancelled)]
        {
            let row = given(vec![placed(), event(event_type, json!({"reason": "no paper"}))]);
            assert_eq!((row.status, row.reason.unwrap().as_str()), (status, "no paper"));
        }
    }

    #[test]
    fn an_order_that_was_never_placed_has_no_row() {
        assert_eq!(fold(None, &event("OrderConfirmed", json!({})), at(0)), None);
    }
}
