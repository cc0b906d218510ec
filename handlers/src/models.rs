//! The domain as the store's command loop knows it.

use domain::order::{self, Order, OrderEvent};
use domain::stock::{self, Stock, StockEvent};
use eventstore::{Model, SnapshotCodec};
use projections::events;

/// Orders.
pub(crate) const ORDER: Model<Order, OrderEvent> = Model {
    initial: Order::default,
    evolve: order::evolve,
    encode: |event| events::ORDER.encode(event),
    decode: |event| events::ORDER.decode(event),
    snapshot: Some(SnapshotCodec::json("order/1")),
};

/// Stock.
pub(crate) const STOCK: Model<Stock, StockEvent> = Model {
    initial: Stock::default,
    evolve: stock::evolve,
    encode: |event| events::STOCK.encode(event),
    decode: |event| events::STOCK.decode(event),
    snapshot: Some(SnapshotCodec::json("stock/1")),
};
