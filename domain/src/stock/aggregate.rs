//! The stock of one book: the copies on hand, and how many of them are reserved.
//!
//! A reservation is open until it is released (the copies are available again) or committed (the
//! copies left the warehouse).
//!
//! **A `ReserveStock` after the `ReleaseStock` of the same order reserves again.** The state has
//! open reservations only, because closed ones would let it grow with every order. This is safe:
//! the event store handles a command id once, so a retry does not reserve again. A new reservation
//! for an order that ended is released by [`crate::fulfilment`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Isbn, OrderId, StockQuantity};

// ---------------------------------------------------------------- stream name

/// The category of the streams of stock.
pub const CATEGORY: &str = "stock";

/// The stream of one book: `stock-{isbn}`.
pub fn stream(isbn: &Isbn) -> String {
    format!("{CATEGORY}-{isbn}")
}

// --------------------------------------------------------------------- events

/// The events of a book's stock.
///
/// **This is the storage format**, and stored events stay. Every change of a shape (a field added,
/// renamed or dropped, another JSON type) needs a new schema version: an upcaster in
/// `domain/app/src/events.rs`, and golden files in `golden/`. The rule of a value may be widened,
/// but never narrowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum StockEvent {
    /// Copies arrived in the warehouse.
    StockReceived {
        /// The number of copies.
        quantity: StockQuantity,
    },
    /// Copies were reserved for an order.
    StockReserved {
        /// The order.
        order_id: OrderId,
        /// The number of copies.
        quantity: StockQuantity,
    },
    /// Reserved copies are available again.
    StockReleased {
        /// The order.
        order_id: OrderId,
        /// The number of copies.
        quantity: StockQuantity,
    },
    /// Reserved copies left the warehouse.
    StockCommitted {
        /// The order.
        order_id: OrderId,
        /// The number of copies.
        quantity: StockQuantity,
    },
}

impl StockEvent {
    /// All types of events.
    pub const TYPES: [&'static str; 4] =
        ["StockReceived", "StockReserved", "StockReleased", "StockCommitted"];

    /// The stored name of the type.
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::StockReceived { .. } => "StockReceived",
            Self::StockReserved { .. } => "StockReserved",
            Self::StockReleased { .. } => "StockReleased",
            Self::StockCommitted { .. } => "StockCommitted",
        }
    }
}

// ---------------------------------------------------------------------- state

/// The most copies of a book that may be on hand.
pub const MAX_ON_HAND: u32 = 1_000_000_000;

/// The stock of one book. It can be serialised for snapshots.
///
/// `reserved ≤ on_hand ≤ MAX_ON_HAND`. `reserved` is the sum of the open reservations. It is
/// stored, so that a fold does not add them up at every event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stock {
    on_hand: u32,
    reserved: u32,
    open: BTreeMap<OrderId, StockQuantity>,
}

impl Stock {
    /// The copies in the warehouse.
    pub fn on_hand(&self) -> u32 {
        self.on_hand
    }

    /// The copies of them that are reserved.
    pub fn reserved(&self) -> u32 {
        self.reserved
    }

    /// The copies that can be reserved.
    pub fn available(&self) -> u32 {
        self.on_hand.saturating_sub(self.reserved)
    }

    /// The open reservation of an order.
    pub fn reservation(&self, order_id: OrderId) -> Option<StockQuantity> {
        self.open.get(&order_id).copied()
    }

    /// All open reservations, by order.
    pub fn reservations(&self) -> impl Iterator<Item = (OrderId, StockQuantity)> {
        self.open.iter().map(|(order_id, quantity)| (*order_id, *quantity))
    }

    /// The copies on hand after these arrive; none if that exceeds the limit.
    fn on_hand_with(&self, quantity: StockQuantity) -> Option<u32> {
        self.on_hand.checked_add(quantity.get()).filter(|on_hand| *on_hand <= MAX_ON_HAND)
    }

    fn open(&mut self, order_id: OrderId, quantity: StockQuantity) {
        self.open.insert(order_id, quantity);
        self.reserved = self.reserved.saturating_add(quantity.get());
    }

    fn close(&mut self, order_id: OrderId, quantity: StockQuantity) {
        self.open.remove(&order_id);
        self.reserved = self.reserved.saturating_sub(quantity.get());
    }
}

// --------------------------------------------------------------------- evolve

/// The stock after an event. An event that does not fit the state changes nothing.
pub fn evolve(mut stock: Stock, event: &StockEvent) -> Stock {
    match *event {
        StockEvent::StockReceived { quantity } => {
            stock.on_hand = stock.on_hand_with(quantity).unwrap_or(stock.on_hand);
        }
        StockEvent::StockReserved { order_id, quantity } => {
            if stock.reservation(order_id).is_none() && quantity.get() <= stock.available() {
                stock.open(order_id, quantity);
            }
        }
        StockEvent::StockReleased { order_id, quantity } => {
            if stock.reservation(order_id) == Some(quantity) {
                stock.close(order_id, quantity);
            }
        }
        StockEvent::StockCommitted { order_id, quantity } => {
            if stock.reservation(order_id) == Some(quantity) {
                stock.close(order_id, quantity);
                stock.on_hand = stock.on_hand.saturating_sub(quantity.get());
            }
        }
    }
    stock
}

// ------------------------------------------------------------------- commands

/// The commands of a book's stock. They can be serialised for the command queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", content = "data")]
pub enum StockCommand {
    /// Receive copies.
    ReceiveStock {
        /// The number of copies.
        quantity: StockQuantity,
    },
    /// Reserve copies for an order.
    ReserveStock {
        /// The order.
        order_id: OrderId,
        /// The number of copies.
        quantity: StockQuantity,
    },
    /// Make the reserved copies of an order available again.
    ReleaseStock {
        /// The order.
        order_id: OrderId,
        /// The size of its reservation.
        quantity: StockQuantity,
    },
    /// Record that the reserved copies of an order left the warehouse.
    CommitStock {
        /// The order.
        order_id: OrderId,
        /// The size of its reservation.
        quantity: StockQuantity,
    },
}

// ------------------------------------------------------------------- refusals

/// Why stock refuses a command. Clients see the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StockRefusal {
    /// More copies than may be on hand.
    #[error("{on_hand} on hand, and {received} more would be over the limit of 1,000,000,000")]
    TooManyOnHand {
        /// The copies on hand.
        on_hand: u32,
        /// The copies to receive.
        received: StockQuantity,
    },
    /// Fewer copies are available than wanted.
    #[error("{wanted} wanted, but only {available} available")]
    NotEnough {
        /// The copies to reserve.
        wanted: StockQuantity,
        /// The copies that can be reserved.
        available: u32,
    },
    /// The order has a reservation of another size.
    #[error("{reserved} reserved for order {order_id}, not {named}")]
    OtherQuantityReserved {
        /// The order.
        order_id: OrderId,
        /// The size of its reservation.
        reserved: StockQuantity,
        /// The size in the command.
        named: StockQuantity,
    },
    /// The order has no reservation to commit.
    #[error("nothing is reserved for order {0}")]
    NothingReserved(OrderId),
}

impl StockRefusal {
    /// The stable code of the refusal, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooManyOnHand { .. } => "too-many-on-hand",
            Self::NotEnough { .. } => "not-enough",
            Self::OtherQuantityReserved { .. } => "other-quantity-reserved",
            Self::NothingReserved(_) => "nothing-reserved",
        }
    }
}

// --------------------------------------------------------------------- decide

/// The events that follow from a command; none if it changes nothing.
///
/// To reserve or release is idempotent. To receive again adds copies again. To commit again is
/// refused. (The event store handles retries with the same command id.)
///
/// # Errors
/// [`StockRefusal`], if the state does not allow the command.
pub fn decide(stock: &Stock, command: &StockCommand) -> Result<Vec<StockEvent>, StockRefusal> {
    match *command {
        StockCommand::ReceiveStock { quantity } => receive(stock, quantity),
        StockCommand::ReserveStock { order_id, quantity } => reserve(stock, order_id, quantity),
        StockCommand::ReleaseStock { order_id, quantity } => release(stock, order_id, quantity),
        StockCommand::CommitStock { order_id, quantity } => commit(stock, order_id, quantity),
    }
}

fn receive(stock: &Stock, quantity: StockQuantity) -> Result<Vec<StockEvent>, StockRefusal> {
    match stock.on_hand_with(quantity) {
        Some(_) => Ok(vec![StockEvent::StockReceived { quantity }]),
        None => Err(StockRefusal::TooManyOnHand { on_hand: stock.on_hand, received: quantity }),
    }
}

fn reserve(
    stock: &Stock,
    order_id: OrderId,
    quantity: StockQuantity,
) -> Result<Vec<StockEvent>, StockRefusal> {
    let available = stock.available();
    match matching(stock, order_id, quantity)? {
        Some(_) => Ok(vec![]),
        None if quantity.get() <= available => {
            Ok(vec![StockEvent::StockReserved { order_id, quantity }])
        }
        None => Err(StockRefusal::NotEnough { wanted: quantity, available }),
    }
}

fn release(
    stock: &Stock,
    order_id: OrderId,
    quantity: StockQuantity,
) -> Result<Vec<StockEvent>, StockRefusal> {
    match matching(stock, order_id, quantity)? {
        Some(_) => Ok(vec![StockEvent::StockReleased { order_id, quantity }]),
        None => Ok(vec![]),
    }
}

fn commit(
    stock: &Stock,
    order_id: OrderId,
    quantity: StockQuantity,
) -> Result<Vec<StockEvent>, StockRefusal> {
    match matching(stock, order_id, quantity)? {
        Some(_) => Ok(vec![StockEvent::StockCommitted { order_id, quantity }]),
        None => Err(StockRefusal::NothingReserved(order_id)),
    }
}

/// The order's open reservation. It must have the size in the command.
fn matching(
    stock: &Stock,
    order_id: OrderId,
    named: StockQuantity,
) -> Result<Option<StockQuantity>, StockRefusal> {
    match stock.reservation(order_id) {
        Some(reserved) if reserved != named => {
            Err(StockRefusal::OtherQuantityReserved { order_id, reserved, named })
        }
        reservation => Ok(reservation),
    }
}
