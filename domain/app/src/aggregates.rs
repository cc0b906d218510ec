//! The aggregates, registered with the machine.

use crate::events;
use domain::order::{self, Order, OrderCommand, OrderEvent, OrderRefusal};
use domain::stock::{self, Stock, StockCommand, StockEvent, StockRefusal};
use domain::{Isbn, OrderId};
use eventstore::{Model, SnapshotCodec};
use handlers::app::{Aggregate, KeyFormat};

/// One customer's order.
pub const ORDER: Aggregate<Order, OrderCommand, OrderEvent, OrderRefusal> = Aggregate {
    category: order::CATEGORY,
    key: KeyFormat {
        description: "The order's id: a UUID, in either case",
        example: "6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e",
        pattern: "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
        parse: |text| {
            OrderId::try_from(text.to_owned())
                .map(|id| id.to_string())
                .map_err(|rule| rule.to_string())
        },
    },
    model: Model {
        initial: Order::default,
        evolve: order::evolve,
        encode: |event| events::ORDER.encode(event),
        decode: |event| events::ORDER.decode(event),
        snapshot: Some(SnapshotCodec::json("order/1")),
    },
    events: events::ORDER,
    decide: order::decide,
    creates: |command| matches!(command, OrderCommand::PlaceOrder(_)),
    code: OrderRefusal::code,
    examples: &[
        r#"{"type": "PlaceOrder", "data": {"customer_id": "c-17", "currency": "EUR",
            "lines": [{"isbn": "9780306406157", "quantity": 2, "unit_price_minor": 1999}]}}"#,
        r#"{"type": "ConfirmOrder", "data": {}}"#,
        r#"{"type": "RejectOrder", "data": {"reason": "out of print"}}"#,
        r#"{"type": "CancelOrder", "data": {"reason": "changed my mind"}}"#,
        r#"{"type": "ShipOrder", "data": {"tracking_code": "1Z999AA10123456784"}}"#,
    ],
};

/// The stock of one book.
pub const STOCK: Aggregate<Stock, StockCommand, StockEvent, StockRefusal> = Aggregate {
    category: stock::CATEGORY,
    key: KeyFormat {
        description: "The book's ISBN-13, digits only",
        example: "9780306406157",
        pattern: "^97[89][0-9]{10}$",
        parse: |text| {
            Isbn::try_from(text.to_owned())
                .map(|isbn| isbn.to_string())
                .map_err(|rule| rule.to_string())
        },
    },
    model: Model {
        initial: Stock::default,
        evolve: stock::evolve,
        encode: |event| events::STOCK.encode(event),
        decode: |event| events::STOCK.decode(event),
        snapshot: Some(SnapshotCodec::json("stock/1")),
    },
    events: events::STOCK,
    decide: stock::decide,
    creates: |_| false,
    code: StockRefusal::code,
    examples: &[
        r#"{"type": "ReceiveStock", "data": {"quantity": 50}}"#,
        r#"{"type": "ReserveStock", "data": {"order_id": "6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e", "quantity": 2}}"#,
        r#"{"type": "ReleaseStock", "data": {"order_id": "6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e", "quantity": 2}}"#,
        r#"{"type": "CommitStock", "data": {"order_id": "6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e", "quantity": 2}}"#,
    ],
};
