//! The bookshop of Ledgerfold: orders, stock, and how an order is fulfilled.
//!
//! Everything here is pure: no I/O, no async, no clock, no chance. Time and ids come in with a command, if at all. An
//! aggregate is a state and two functions: `decide(&state, &command)` answers with the events that follow, or with a
//! refusal in the domain's words; `evolve(state, &event)` is the state after an event, and cannot fail. No events means
//! that there is nothing to do.
//!
//! | module | what it is |
//! |---|---|
//! | [`order`] | one customer's order, in a stream `order-{uuid}` |
//! | [`stock`] | the copies of one book, in a stream `stock-{isbn}` |
//! | [`fulfilment`] | the process manager that lets orders and stock work together |
//! | [`read_models`] | rows that are read, and how they come from events |
//!
//! The other items are the values that they speak in. A value is checked when it is made, from JSON too, and its
//! error is one rule in words. Values are part of the storage format: a rule may be widened, never narrowed.
//!
//! ```
//! use domain::order::{self, Order, OrderCommand, OrderEvent};
//!
//! let place: OrderCommand = serde_json::from_str(
//!     r#"{"type": "PlaceOrder", "data": {"customer_id": "c-17", "currency": "EUR", "lines": [
//!         {"isbn": "9780306406157", "quantity": 2, "unit_price_minor": 1999}]}}"#,
//! )?;
//! let events = order::decide(&Order::default(), &place)?;
//! assert!(matches!(events.as_slice(), [OrderEvent::OrderPlaced(details)] if details.total_minor() == 3998));
//!
//! let placed = events.iter().fold(Order::default(), order::evolve);
//! assert_eq!(order::decide(&placed, &place)?, [], "to place it again is nothing to do");
//!
//! let ship = OrderCommand::ShipOrder { tracking_code: "1Z999AA10123456784".to_owned().try_into()? };
//! let refusal = order::decide(&placed, &ship).unwrap_err();
//! assert_eq!(refusal.to_string(), "the order is placed: only a confirmed order can be shipped");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod fulfilment;
pub mod order;
pub mod read_models;
pub mod stock;

mod given;
mod isbn;
mod quantity;
mod whole_number;

#[cfg(test)]
mod samples;

pub use given::Given;
pub use isbn::{Isbn, IsbnError};
pub use order::{
    Currency, CurrencyError, CustomerId, CustomerIdError, OrderId, OrderIdError, OrderLine, OrderLines,
    OrderLinesError, Reason, ReasonError, TrackingCode, TrackingCodeError, UnitPriceMinor, UnitPriceMinorError,
};
pub use quantity::{OrderQuantity, OrderQuantityError, StockQuantity, StockQuantityError};
