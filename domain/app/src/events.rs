//! The codecs of the bookshop's events. All code that stores or reads events uses them.
//!
//! When the shape of an event changes, add an upcaster here: a pure function from the JSON of the
//! newest schema version. The codec then writes the next version, and lifts stored events.
//! `domain/golden/` has an example of every shape that was ever stored. The tests in
//! `tests/suite/shapes` report what is missing.
//!
//! ```
//! use eventstore::Upcaster;
//! use serde_json::{Map, Value, json};
//!
//! /// Prices came without a currency, in euros.
//! fn with_currency(data: Value) -> serde_json::Result<Value> {
//!     let mut data: Map<String, Value> = serde_json::from_value(data)?;
//!     data.insert("currency".into(), json!("EUR"));
//!     Ok(data.into())
//! }
//!
//! const FROM_1: Upcaster =
//!     Upcaster { event_type: "OrderPlaced", schema: 1, becomes: "OrderPlaced", lift: with_currency };
//! # assert_eq!((FROM_1.lift)(json!({}))?, json!({"currency": "EUR"}));
//! # Ok::<(), serde_json::Error>(())
//! ```

use domain::order::OrderEvent;
use domain::stock::StockEvent;
use eventstore::EventCodec;

/// The events of orders.
pub const ORDER: EventCodec<OrderEvent> = EventCodec::new(&[]);

/// The events of a book's stock.
pub const STOCK: EventCodec<StockEvent> = EventCodec::new(&[]);
