//! The copies of one book: how many are in the house, and how many of them are spoken for.
//!
//! A reservation stays open until it is released (the copies are free again) or committed (they have left the house).
//!
//! **A `ReserveStock` that comes after the `ReleaseStock` of the same order reserves again.** Stock knows open
//! reservations only; to remember closed ones would let its state grow with every order it has ever served. It does no
//! harm: the event store handles a command id once, so an order's own reservation cannot come back; and whatever is
//! reserved for an order that is over is a fact that fulfilment answers with a release of its own (see
//! [`crate::fulfilment`]).

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

/// What has happened to the copies of a book.
///
/// **This is the storage format.** What is written here is read for ever. Any other shape (a field added, renamed or
/// dropped, another JSON type) is a new schema version: a line in `domain/app/src/events.rs`, which lifts what is
/// stored, and golden files in `golden/`, where every shape that was ever stored is kept. A value's rule may be widened
/// but never narrowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum StockEvent {
    /// Copies came into the house.
    StockReceived {
        /// How many.
        quantity: StockQuantity,
    },
    /// Copies were set aside for an order.
    StockReserved {
        /// For which order.
        order_id: OrderId,
        /// How many.
        quantity: StockQuantity,
    },
    /// Copies that were set aside are free again.
    StockReleased {
        /// For which order they had been reserved.
        order_id: OrderId,
        /// How many.
        quantity: StockQuantity,
    },
    /// Copies that were set aside have left the house.
    StockCommitted {
        /// With which order.
        order_id: OrderId,
        /// How many.
        quantity: StockQuantity,
    },
}

impl StockEvent {
    /// Every type of event in the stream of a book's stock.
    pub const TYPES: [&'static str; 4] = ["StockReceived", "StockReserved", "StockReleased", "StockCommitted"];

    /// The event's type, as it is stored.
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

/// The copies of a book that may be in the house at once.
pub const MAX_ON_HAND: u32 = 1_000_000_000;

/// The figures of one book. It serialises, so that it can be kept as a snapshot.
///
/// `reserved ≤ on_hand ≤ MAX_ON_HAND`, and `reserved` is the sum of the open reservations; it is kept beside them so
/// that a fold over a long stream need not add them up at every event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stock {
    on_hand: u32,
    reserved: u32,
    open: BTreeMap<OrderId, StockQuantity>,
}

impl Stock {
    /// The copies in the house.
    pub fn on_hand(&self) -> u32 {
        self.on_hand
    }

    /// The copies in the house that are spoken for.
    pub fn reserved(&self) -> u32 {
        self.reserved
    }

    /// The copies that can still be reserved.
    pub fn available(&self) -> u32 {
        self.on_hand.saturating_sub(self.reserved)
    }

    /// What is reserved for an order.
    pub fn reservation(&self, order_id: OrderId) -> Option<StockQuantity> {
        self.open.get(&order_id).copied()
    }

    /// Every open reservation, by order.
    pub fn reservations(&self) -> impl Iterator<Item = (OrderId, StockQuantity)> {
        self.open.iter().map(|(order_id, quantity)| (*order_id, *quantity))
    }

    /// The copies in the house once these have come in, unless there is no room for them.
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

/// The stock after an event. An event that cannot follow on the figures leaves them as they are.
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

/// What can be asked of the stock of a book. It serialises as the events do, so that a queue can carry it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", content = "data")]
pub enum StockCommand {
    /// Take copies into the house.
    ReceiveStock {
        /// How many.
        quantity: StockQuantity,
    },
    /// Set copies aside for an order.
    ReserveStock {
        /// For which order.
        order_id: OrderId,
        /// How many.
        quantity: StockQuantity,
    },
    /// Make the copies of an order free again.
    ReleaseStock {
        /// For which order they are reserved.
        order_id: OrderId,
        /// How many are reserved.
        quantity: StockQuantity,
    },
    /// Tell that the copies of an order have left the house.
    CommitStock {
        /// For which order they are reserved.
        order_id: OrderId,
        /// How many are reserved.
        quantity: StockQuantity,
    },
}

// ------------------------------------------------------------------- refusals

/// Why stock does not do what it was asked. Clients are shown the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StockRefusal {
    /// The house is full.
    #[error("{on_hand} on hand, and {received} more would be over the limit of 1,000,000,000")]
    TooManyOnHand {
        /// The copies in the house.
        on_hand: u32,
        /// The copies that were to come in.
        received: StockQuantity,
    },
    /// More copies are wanted than can be had.
    #[error("{wanted} wanted, but only {available} available")]
    NotEnough {
        /// The copies that were to be set aside.
        wanted: StockQuantity,
        /// The copies that can still be reserved.
        available: u32,
    },
    /// The order has a reservation, of another size.
    #[error("{reserved} reserved for order {order_id}, not {named}")]
    OtherQuantityReserved {
        /// Which order.
        order_id: OrderId,
        /// What is reserved for it.
        reserved: StockQuantity,
        /// What the command names.
        named: StockQuantity,
    },
    /// Copies can only leave the house out of a reservation.
    #[error("nothing is reserved for order {0}")]
    NothingReserved(OrderId),
}

impl StockRefusal {
    /// The refusal's word for programs. It never changes.
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

/// The events that follow from a command; none when what it asks for is already so.
///
/// To reserve or release twice is to do it once. Receiving twice is receiving twice; committing twice is refused, since
/// copies cannot leave the house again. (The same command, sent again with its id, is the event store's business.)
///
/// # Errors
/// When the figures do not allow it.
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

fn reserve(stock: &Stock, order_id: OrderId, quantity: StockQuantity) -> Result<Vec<StockEvent>, StockRefusal> {
    let available = stock.available();
    match matching(stock, order_id, quantity)? {
        Some(_) => Ok(vec![]),
        None if quantity.get() <= available => Ok(vec![StockEvent::StockReserved { order_id, quantity }]),
        None => Err(StockRefusal::NotEnough { wanted: quantity, available }),
    }
}

fn release(stock: &Stock, order_id: OrderId, quantity: StockQuantity) -> Result<Vec<StockEvent>, StockRefusal> {
    match matching(stock, order_id, quantity)? {
        Some(_) => Ok(vec![StockEvent::StockReleased { order_id, quantity }]),
        None => Ok(vec![]),
    }
}

fn commit(stock: &Stock, order_id: OrderId, quantity: StockQuantity) -> Result<Vec<StockEvent>, StockRefusal> {
    match matching(stock, order_id, quantity)? {
        Some(_) => Ok(vec![StockEvent::StockCommitted { order_id, quantity }]),
        None => Err(StockRefusal::NothingReserved(order_id)),
    }
}

/// The order's open reservation, which must be of the size that the command names.
fn matching(stock: &Stock, order_id: OrderId, named: StockQuantity) -> Result<Option<StockQuantity>, StockRefusal> {
    match stock.reservation(order_id) {
        Some(reserved) if reserved != named => Err(StockRefusal::OtherQuantityReserved { order_id, reserved, named }),
        reservation => Ok(reservation),
    }
}
