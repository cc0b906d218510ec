//! The bookshop's events as they are stored: where the domain's enums meet the store, for all who write or read them.
//!
//! An event whose shape changes gets a line here: from the schema version that was the newest so far, as a pure function
//! of the JSON. The codec then writes the next version and lifts what older programs stored. `domain/golden/` holds every
//! shape that was ever stored; the tests of `tests/suite/shapes` say what is missing.
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

/// What happens to orders.
pub const ORDER: EventCodec<OrderEvent> = EventCodec::new(&[]);

/// What happens to the copies of a book.
pub const STOCK: EventCodec<StockEvent> = EventCodec::new(&[]);
