//! The bookshop of Ledgerfold: orders, stock, and how an order is fulfilled.
//!
//! Everything here is pure: no I/O, no async, no clock, no random numbers. An aggregate is a state
//! and two functions. `decide(&state, &command)` returns the events that follow, or a refusal.
//! `evolve(state, &event)` returns the state after an event, and cannot fail. No events mean that
//! the command changes nothing.
//!
//! | module | content |
//! |---|---|
//! | [`order`] | the order of a customer, in a stream `order-{uuid}` |
//! | [`stock`] | the stock of a book, in a stream `stock-{isbn}` |
//! | [`fulfilment`] | the process manager between orders and stock |
//! | [`read_models`] | rows, and the folds that make them from events |
//!
//! The other items are value types. A value is checked when it is made, also from JSON, and its
//! error states the rule. Values are part of the storage format: a rule may be widened, but never
//! narrowed.
//!
//! ```
//! use domain::order::{self, Order, OrderCommand, OrderEvent};
//!
//! let place: OrderCommand = serde_json::from_str( r#"{"type": "PlaceOrder", "data":
//! {"customer_id": "c-17", "currency": "EUR", "lines": [ {"isbn": "9780306406157", "quantity": 2,
//! "unit_price_minor": 1999}]}}"#, )?; let events = order::decide(&Order::default(), &place)?;
//! assert!(matches!(events.as_slice(), [OrderEvent::OrderPlaced(details)] if details.total_minor()
//! == 3998));
//!
//! let placed = events.iter().fold(Order::default(), order::evolve);
//! assert_eq!(order::decide(&placed, &place)?, [], "placing it again changes nothing");
//!
//! let ship = OrderCommand::ShipOrder { tracking_code: "1Z999AA10123456784".to_owned().try_into()?
//! }; let refusal = order::decide(&placed, &ship).unwrap_err(); assert_eq!(refusal.to_string(),
//! "the order is placed: only a confirmed order can be shipped");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod fulfilment;
pub mod order;
pub mod read_models;
pub mod stock;

mod isbn;
mod quantity;
mod quoted_input;
mod whole_number;

#[cfg(test)]
mod samples;

pub use isbn::{Isbn, IsbnError};
pub use order::{
    Currency, CurrencyError, CustomerId, CustomerIdError, OrderId, OrderIdError, OrderLine,
    OrderLines, OrderLinesError, Reason, ReasonError, TrackingCode, TrackingCodeError,
    UnitPriceMinor, UnitPriceMinorError,
};
pub use quantity::{OrderQuantity, OrderQuantityError, StockQuantity, StockQuantityError};
pub use quoted_input::QuotedInput;
