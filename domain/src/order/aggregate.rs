//! The aggregate of an order, from placing to shipping.
//!
//! ```text
//! Absent ── place ──▶ Placed ── confirm ──▶ Confirmed ── ship ──▶ Shipped
//!                       │ └─ cancel ─┐           │
//!                     reject         ▼           │
//!                       └▶ Rejected  Cancelled ◀─┘ cancel
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Currency, CustomerId, OrderId, OrderLines, Reason, TrackingCode};

// ---------------------------------------------------------------- stream name

/// The category of the streams of orders.
pub const CATEGORY: &str = "order";

/// The stream of one order: `order-{uuid}`.
pub fn stream(order_id: OrderId) -> String {
    format!("{CATEGORY}-{order_id}")
}

// --------------------------------------------------------------------- events

/// Customer, currency and lines: the data of `OrderPlaced` and of `PlaceOrder`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderDetails {
    /// The customer.
    pub customer_id: CustomerId,
    /// The currency of all prices.
    pub currency: Currency,
    /// The ordered books.
    pub lines: OrderLines,
}

impl OrderDetails {
    /// The price of the whole order in minor units of its currency.
    pub fn total_minor(&self) -> u64 {
        self.lines.total_minor()
    }
}

/// The events of an order.
///
/// **This is the storage format**, and stored events stay. Every change of a shape (a field added,
/// renamed or dropped, another JSON type) needs a new schema version: an upcaster in
/// `domain/app/src/events.rs`, and golden files in `golden/`. The rule of a value may be widened,
/// but never narrowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum OrderEvent {
    /// The customer placed the order.
    OrderPlaced(OrderDetails),
    /// The shop will deliver: all books are reserved.
    OrderConfirmed {},
    /// The shop will not deliver.
    OrderRejected {
        /// Why not.
        reason: Reason,
    },
    /// The order was cancelled before it was shipped.
    OrderCancelled {
        /// Why.
        reason: Reason,
    },
    /// The parcel left the warehouse.
    OrderShipped {
        /// The carrier's code.
        tracking_code: TrackingCode,
    },
}

impl OrderEvent {
    /// All types of events.
    pub const TYPES: [&'static str; 5] =
        ["OrderPlaced", "OrderConfirmed", "OrderRejected", "OrderCancelled", "OrderShipped"];

    /// The stored name of the type.
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::OrderPlaced(_) => "OrderPlaced",
            Self::OrderConfirmed {} => "OrderConfirmed",
            Self::OrderRejected { .. } => "OrderRejected",
            Self::OrderCancelled { .. } => "OrderCancelled",
            Self::OrderShipped { .. } => "OrderShipped",
        }
    }
}

// ---------------------------------------------------------------------- state

/// The state of an order. It can be serialised for snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Order {
    /// Not placed yet.
    #[default]
    Absent,
    /// Placed; neither confirmed nor rejected yet.
    Placed(OrderDetails),
    /// The shop will deliver.
    Confirmed(OrderDetails),
    /// The shop will not deliver.
    Rejected {
        /// The details.
        details: OrderDetails,
        /// Why not.
        reason: Reason,
    },
    /// The order is cancelled.
    Cancelled {
        /// The details.
        details: OrderDetails,
        /// Why.
        reason: Reason,
    },
    /// The parcel is on its way.
    Shipped {
        /// The details.
        details: OrderDetails,
        /// The carrier's code.
        tracking_code: TrackingCode,
    },
}

impl Order {
    /// The status; none before the order is placed.
    pub fn status(&self) -> Option<OrderStatus> {
        match self {
            Self::Absent => None,
            Self::Placed(_) => Some(OrderStatus::Placed),
            Self::Confirmed(_) => Some(OrderStatus::Confirmed),
            Self::Rejected { .. } => Some(OrderStatus::Rejected),
            Self::Cancelled { .. } => Some(OrderStatus::Cancelled),
            Self::Shipped { .. } => Some(OrderStatus::Shipped),
        }
    }

    /// The details; none before the order is placed.
    pub fn details(&self) -> Option<&OrderDetails> {
        match self {
            Self::Absent => None,
            Self::Placed(details)
            | Self::Confirmed(details)
            | Self::Rejected { details, .. }
            | Self::Cancelled { details, .. }
            | Self::Shipped { details, .. } => Some(details),
        }
    }

    /// Why the order was rejected or cancelled, if it was.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Rejected { reason, .. } | Self::Cancelled { reason, .. } => Some(reason),
            Self::Absent | Self::Placed(_) | Self::Confirmed(_) | Self::Shipped { .. } => None,
        }
    }

    /// The carrier's code, once the order is shipped.
    pub fn tracking_code(&self) -> Option<&TrackingCode> {
        match self {
            Self::Shipped { tracking_code, .. } => Some(tracking_code),
            Self::Absent
            | Self::Placed(_)
            | Self::Confirmed(_)
            | Self::Rejected { .. }
            | Self::Cancelled { .. } => None,
        }
    }
}

/// The status of an order in read models and refusals.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum OrderStatus {
    /// Placed; neither confirmed nor rejected yet.
    Placed,
    /// The shop will deliver.
    Confirmed,
    /// The shop will not deliver.
    Rejected,
    /// The order is cancelled.
    Cancelled,
    /// The parcel is on its way.
    Shipped,
}

impl OrderStatus {
    /// The status as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Shipped => "shipped",
        }
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// --------------------------------------------------------------------- evolve

/// The order after an event. An event that does not fit the state changes nothing.
pub fn evolve(order: Order, event: &OrderEvent) -> Order {
    match (order, event) {
        (Order::Absent, OrderEvent::OrderPlaced(details)) => Order::Placed(details.clone()),
        (Order::Placed(details), OrderEvent::OrderConfirmed {}) => Order::Confirmed(details),
        (Order::Placed(details), OrderEvent::OrderRejected { reason }) => {
            Order::Rejected { details, reason: reason.clone() }
        }
        (
            Order::Placed(details) | Order::Confirmed(details),
            OrderEvent::OrderCancelled { reason },
        ) => Order::Cancelled { details, reason: reason.clone() },
        (Order::Confirmed(details), OrderEvent::OrderShipped { tracking_code }) => {
            Order::Shipped { details, tracking_code: tracking_code.clone() }
        }
        (unchanged, _) => unchanged,
    }
}

// ------------------------------------------------------------------- commands

/// The commands of an order. They can be serialised for the command queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", content = "data")]
pub enum OrderCommand {
    /// Place the order.
    PlaceOrder(OrderDetails),
    /// Confirm that the shop will deliver.
    ConfirmOrder {},
    /// Reject the order.
    RejectOrder {
        /// Why.
        reason: Reason,
    },
    /// Cancel the order.
    CancelOrder {
        /// Why.
        reason: Reason,
    },
    /// Record that the parcel left the warehouse.
    ShipOrder {
        /// The carrier's code.
        tracking_code: TrackingCode,
    },
}

// ------------------------------------------------------------------- refusals

/// Why an order refuses a command. Clients see the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderRefusal {
    /// The order was not placed yet.
    #[error("no such order")]
    NoSuchOrder,
    /// The order exists, with other details.
    #[error("the order is already placed, with other details")]
    AlreadyPlaced,
    /// Only a placed order can be confirmed.
    #[error("the order is {0}: only a placed order can be confirmed")]
    CannotConfirm(OrderStatus),
    /// Only a placed order can be rejected.
    #[error("the order is {0}: only a placed order can be rejected")]
    CannotReject(OrderStatus),
    /// Only a placed or confirmed order can be cancelled.
    #[error("the order is {0}: only a placed or confirmed order can be cancelled")]
    CannotCancel(OrderStatus),
    /// Only a confirmed order can be shipped.
    #[error("the order is {0}: only a confirmed order can be shipped")]
    CannotShip(OrderStatus),
    /// The order is shipped with another code.
    #[error("the order is already shipped, with tracking code {0}")]
    AlreadyShipped(TrackingCode),
}

impl OrderRefusal {
    /// The stable code of the refusal, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSuchOrder => "no-such-order",
            Self::AlreadyPlaced => "already-placed",
            Self::CannotConfirm(_) => "cannot-confirm",
            Self::CannotReject(_) => "cannot-reject",
            Self::CannotCancel(_) => "cannot-cancel",
            Self::CannotShip(_) => "cannot-ship",
            Self::AlreadyShipped(_) => "already-shipped",
        }
    }
}

// --------------------------------------------------------------------- decide

/// The events that follow from a command; none if it changes nothing.
///
/// Every command is idempotent. To reject or cancel again with another reason changes nothing.
///
/// # Errors
/// [`OrderRefusal`], if the state does not allow the command.
pub fn decide(order: &Order, command: &OrderCommand) -> Result<Vec<OrderEvent>, OrderRefusal> {
    match command {
        OrderCommand::PlaceOrder(details) => place(order, details),
        OrderCommand::ConfirmOrder {} => confirm(order),
        OrderCommand::RejectOrder { reason } => reject(order, reason),
        OrderCommand::CancelOrder { reason } => cancel(order, reason),
        OrderCommand::ShipOrder { tracking_code } => ship(order, tracking_code),
    }
}

fn place(order: &Order, details: &OrderDetails) -> Result<Vec<OrderEvent>, OrderRefusal> {
    match order.details() {
        None => Ok(vec![OrderEvent::OrderPlaced(details.clone())]),
        Some(placed) if placed == details => Ok(vec![]),
        Some(_) => Err(OrderRefusal::AlreadyPlaced),
    }
}

fn confirm(order: &Order) -> Result<Vec<OrderEvent>, OrderRefusal> {
    match existing(order)? {
        OrderStatus::Placed => Ok(vec![OrderEvent::OrderConfirmed {}]),
        OrderStatus::Confirmed => Ok(vec![]),
        status @ (OrderStatus::Rejected | OrderStatus::Cancelled | OrderStatus::Shipped) => {
            Err(OrderRefusal::CannotConfirm(status))
        }
    }
}

fn reject(order: &Order, reason: &Reason) -> Result<Vec<OrderEvent>, OrderRefusal> {
    match existing(order)? {
        OrderStatus::Placed => Ok(vec![OrderEvent::OrderRejected { reason: reason.clone() }]),
        OrderStatus::Rejected => Ok(vec![]),
        status @ (OrderStatus::Confirmed | OrderStatus::Cancelled | OrderStatus::Shipped) => {
            Err(OrderRefusal::CannotReject(status))
        }
    }
}

fn cancel(order: &Order, reason: &Reason) -> Result<Vec<OrderEvent>, OrderRefusal> {
    match existing(order)? {
        OrderStatus::Placed | OrderStatus::Confirmed => {
            Ok(vec![OrderEvent::OrderCancelled { reason: reason.clone() }])
        }
        OrderStatus::Cancelled => Ok(vec![]),
        status @ (OrderStatus::Rejected | OrderStatus::Shipped) => {
            Err(OrderRefusal::CannotCancel(status))
        }
    }
}

fn ship(order: &Order, tracking_code: &TrackingCode) -> Result<Vec<OrderEvent>, OrderRefusal> {
    match (existing(order)?, order.tracking_code()) {
        (OrderStatus::Confirmed, _) => {
            Ok(vec![OrderEvent::OrderShipped { tracking_code: tracking_code.clone() }])
        }
        (_, Some(shipped)) if shipped == tracking_code => Ok(vec![]),
        (_, Some(shipped)) => Err(OrderRefusal::AlreadyShipped(shipped.clone())),
        (status, None) => Err(OrderRefusal::CannotShip(status)),
    }
}

fn existing(order: &Order) -> Result<OrderStatus, OrderRefusal> {
    order.status().ok_or(OrderRefusal::NoSuchOrder)
}
