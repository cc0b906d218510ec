//! The domain as the store's command loop knows it.

use domain::order::{self, Order, OrderEvent};
use domain::stock::{self, Stock, StockEvent};
use eventstore::{Model, SnapshotCodec, decode_tagged, encode_tagged};

/// Orders.
pub(crate) const ORDER: Model<Order, OrderEvent> = Model {
    initial: Order::default,
    evolve: order::evolve,
    encode: |event| encode_tagged(event, event.schema()),
    decode: |event| decode_tagged(event, 1),
    snapshot: Some(SnapshotCodec::json("order/1")),
};

/// Stock.
pub(crate) const STOCK: Model<Stock, StockEvent> = Model {
    initial: Stock::default,
    evolve: stock::evolve,
    encode: |event| encode_tagged(event, event.schema()),
    decode: |event| decode_tagged(event, 1),
    snapshot: Some(SnapshotCodec::json("stock/1")),
};
