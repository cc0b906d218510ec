//! Stock: one row for each book.

use crate::stock::StockEvent;
use serde::{Deserialize, Serialize};

/// The stock of a book.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockRow {
    /// Copies in the warehouse.
    pub on_hand: u64,
    /// Copies of them that are reserved.
    pub reserved: u64,
}

impl StockRow {
    /// Copies that can be reserved.
    pub fn available(&self) -> u64 {
        self.on_hand.saturating_sub(self.reserved)
    }
}

/// The row after an event.
pub fn fold(row: StockRow, event: &StockEvent) -> StockRow {
    let StockRow { on_hand, reserved } = row;
    match event {
        StockEvent::StockReceived { quantity } => {
            StockRow { on_hand: on_hand + u64::from(quantity.get()), reserved }
        }
        StockEvent::StockReserved { quantity, .. } => {
            StockRow { on_hand, reserved: reserved + u64::from(quantity.get()) }
        }
        StockEvent::StockReleased { quantity, .. } => {
            StockRow { on_hand, reserved: reserved.saturating_sub(quantity.get().into()) }
        }
        StockEvent::StockCommitted { quantity, .. } => StockRow {
            on_hand: on_hand.saturating_sub(quantity.get().into()),
            reserved: reserved.saturating_sub(quantity.get().into()),
        },
    }
}

#[cfg(test)]
mod specs {
    use super::*;
    use serde_json::json;

    #[test]
    fn levels_follow_the_events() {
        let order = "6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e";
        let history = [
            ("StockReceived", json!({"quantity": 50}), (50, 0)),
            ("StockReserved", json!({"order_id": order, "quantity": 20}), (50, 20)),
            ("StockReleased", json!({"order_id": order, "quantity": 20}), (50, 0)),
            ("StockReserved", json!({"order_id": order, "quantity": 30}), (50, 30)),
            ("StockCommitted", json!({"order_id": order, "quantity": 30}), (20, 0)),
        ];
        let mut row = StockRow::default();
        for (event_type, data, (on_hand, reserved)) in history {
            let event = serde_json::from_value(json!({"type": event_type, "data": data})).unwrap();
            row = fold(row, &event);
            assert_eq!(row, StockRow { on_hand, reserved }, "after {event_type}");
            assert_eq!(row.available(), on_hand - reserved);
        }
    }
}
