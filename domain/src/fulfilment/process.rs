//! The process manager of one order: it reacts to events and sends commands to the order and to
//! stock.
//!
//! | known | commands |
//! |---|---|
//! | the order is placed | reserve each line |
//! | every line is reserved | confirm the order |
//! | every line has an outcome, at least one refused | reject the order; the reason names the first such book |
//! | the order is rejected or cancelled | release each of its reservations |
//! | the order is shipped | commit each of its reservations |
//!
//! **Invariants**
//! - The commands depend only on the set of known inputs, not on their order or repetition. An
//!   input adds commands and never withdraws one. So a reservation that comes after the
//!   cancellation is released. A late verdict is still sent, and the order refuses it. (Only if a
//!   line is both refused and reserved does the verdict depend on which input came first.)
//! - A command is identified by its cause, stream and name. The same identity always stands for the
//!   same command.
//! - The verdict, confirm or reject, is reached once: when the last line has its outcome. A later
//!   reservation by hand does not change it.
//! - The order decides. It refuses a late verdict, and reservations follow the events of the order,
//!   not the verdict: a rejection releases them by way of `OrderRejected`. So an order that was
//!   confirmed by hand keeps its books, and one that was rejected by hand releases them.
//!
//! **How to run it:** call [`react`], store the new state with its commands, send them. If stock
//! refuses `ReserveStock`, that is an input, too ([`FulfilmentInput::Refused`]). Refusals of other
//! commands need no reaction. Releases by hand are not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::order::{self, OrderCommand, OrderEvent};
use crate::stock::{self, StockCommand, StockEvent};
use crate::{Isbn, OrderId, OrderLine, OrderLines, Reason, StockQuantity};

// --------------------------------------------------------------------- inputs

/// An event or an answer that fulfilment reacts to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FulfilmentInput {
    /// An event of the order's stream.
    Order {
        /// Its version in that stream.
        version: u64,
        /// When it was recorded, in milliseconds since 1970.
        recorded_at_ms: u64,
        /// The event.
        event: OrderEvent,
    },
    /// A `StockReserved` for this order, also one by hand.
    Reserved {
        /// The book.
        isbn: Isbn,
        /// The version in the stream of the book's stock.
        version: u64,
        /// The number of copies.
        quantity: StockQuantity,
    },
    /// Stock refused to reserve this line of the order.
    Refused {
        /// The book.
        isbn: Isbn,
    },
}

impl FulfilmentInput {
    /// The input for an event of the order's stream; none for a confirmation, which causes no
    /// command.
    pub fn of_order(version: u64, recorded_at_ms: u64, event: OrderEvent) -> Option<Self> {
        match event {
            OrderEvent::OrderConfirmed {} => None,
            OrderEvent::OrderPlaced(_)
            | OrderEvent::OrderRejected { .. }
            | OrderEvent::OrderCancelled { .. }
            | OrderEvent::OrderShipped { .. } => {
                Some(Self::Order { version, recorded_at_ms, event })
            }
        }
    }

    /// The order and the input for an event of a book's stock; none for most events.
    pub fn of_stock(isbn: &Isbn, version: u64, event: &StockEvent) -> Option<(OrderId, Self)> {
        match *event {
            StockEvent::StockReserved { order_id, quantity } => {
                Some((order_id, Self::Reserved { isbn: isbn.clone(), version, quantity }))
            }
            StockEvent::StockReceived { .. }
            | StockEvent::StockReleased { .. }
            | StockEvent::StockCommitted { .. } => None,
        }
    }
}

// ---------------------------------------------------------------------- state

/// What is known of one order. Inputs come from several streams in any order, so this collects them
/// and is no state machine. It can be serialised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fulfilment {
    order_id: OrderId,
    placed: Option<Placed>,
    /// By book and by the version of `StockReserved`: a released line may be reserved again by
    /// hand.
    reserved: BTreeMap<Isbn, BTreeMap<u64, StockQuantity>>,
    refused: BTreeSet<Isbn>,
    verdict: Option<Verdict>,
    end: Option<OrderEnd>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Placed {
    version: u64,
    recorded_at_ms: u64,
    lines: OrderLines,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Verdict {
    Confirm,
    Reject { missing: Isbn },
}

/// How the order ended, with version and time of the event. An order ends once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum OrderEnd {
    CalledOff { version: u64, recorded_at_ms: u64 },
    Shipped { version: u64, recorded_at_ms: u64 },
}

impl Placed {
    /// Version and time of the event.
    fn at(&self) -> (u64, u64) {
        (self.version, self.recorded_at_ms)
    }
}

impl Fulfilment {
    /// Nothing is known yet.
    pub fn new(order_id: OrderId) -> Self {
        Self {
            order_id,
            placed: None,
            reserved: BTreeMap::new(),
            refused: BTreeSet::new(),
            verdict: None,
            end: None,
        }
    }

    /// The order.
    pub fn order_id(&self) -> OrderId {
        self.order_id
    }

    /// The verdict, once the order is placed and each of its lines has an outcome.
    fn reach_verdict(&self) -> Option<Verdict> {
        let lines = &self.placed.as_ref()?.lines;
        if !lines.iter().all(|line| self.is_refused(&line.isbn) || self.is_reserved(line)) {
            return None;
        }
        Some(match lines.iter().find(|line| self.is_refused(&line.isbn)) {
            Some(line) => Verdict::Reject { missing: line.isbn.clone() },
            None => Verdict::Confirm,
        })
    }

    /// Whether stock refused to reserve the book.
    pub fn is_refused(&self, isbn: &Isbn) -> bool {
        self.refused.contains(isbn)
    }

    /// A reservation of another quantity does not count: stock refuses the one of the line.
    fn is_reserved(&self, line: &OrderLine) -> bool {
        let wanted = StockQuantity::from(line.quantity);
        self.reserved
            .get(&line.isbn)
            .is_some_and(|reserved| reserved.values().any(|quantity| *quantity == wanted))
    }
}

// --------------------------------------------------------------------- evolve

/// The state after an input. A repeated input changes nothing.
pub fn evolve(mut fulfilment: Fulfilment, input: &FulfilmentInput) -> Fulfilment {
    match input {
        FulfilmentInput::Order { version, recorded_at_ms, event } => {
            apply_order_event(&mut fulfilment, *version, *recorded_at_ms, event)
        }
        FulfilmentInput::Reserved { isbn, version, quantity } => {
            fulfilment.reserved.entry(isbn.clone()).or_default().insert(*version, *quantity);
        }
        FulfilmentInput::Refused { isbn } => {
            fulfilment.refused.insert(isbn.clone());
        }
    }
    fulfilment.verdict = fulfilment.verdict.take().or_else(|| fulfilment.reach_verdict());
    fulfilment
}

fn apply_order_event(
    fulfilment: &mut Fulfilment,
    version: u64,
    recorded_at_ms: u64,
    event: &OrderEvent,
) {
    match event {
        OrderEvent::OrderPlaced(details) => {
            fulfilment.placed.get_or_insert_with(|| Placed {
                version,
                recorded_at_ms,
                lines: details.lines.clone(),
            });
        }
        OrderEvent::OrderRejected { .. } | OrderEvent::OrderCancelled { .. } => {
            fulfilment.end.get_or_insert(OrderEnd::CalledOff { version, recorded_at_ms });
        }
        OrderEvent::OrderShipped { .. } => {
            fulfilment.end.get_or_insert(OrderEnd::Shipped { version, recorded_at_ms });
        }
        OrderEvent::OrderConfirmed {} => {}
    }
}

// ------------------------------------------------------------------- commands

/// A command to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCommand {
    /// The part of the identity besides cause and stream. Never change it: command ids depend on
    /// it.
    pub name: String,
    /// The command.
    pub command: FulfilmentCommand,
    /// The event that caused it.
    pub cause: Cause,
}

impl IssuedCommand {
    /// Cause, stream and name. Unique for each command.
    pub fn identity(&self) -> String {
        format!("{} {} {}", self.cause, self.command.stream(), self.name)
    }
}

/// A command with its receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FulfilmentCommand {
    /// To the order.
    Order {
        /// The order.
        order_id: OrderId,
        /// The command.
        command: OrderCommand,
    },
    /// To the stock of a book.
    Stock {
        /// The book.
        isbn: Isbn,
        /// The command.
        command: StockCommand,
    },
}

impl FulfilmentCommand {
    /// The stream that the command addresses.
    pub fn stream(&self) -> String {
        match self {
            Self::Order { order_id, .. } => order::stream(*order_id),
            Self::Stock { isbn, .. } => stock::stream(isbn),
        }
    }
}

/// The event of the order that caused a command. Displayed as `order-{uuid}:{version}`.
///
/// The cause of confirm and reject is `OrderPlaced`. Which line had its outcome last is chance, and
/// the command must not depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The stream of the order.
    pub stream: String,
    /// The version of the event.
    pub version: u64,
    /// When it was recorded, in milliseconds since 1970.
    pub recorded_at_ms: u64,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.stream, self.version)
    }
}

fn issue(
    fulfilment: &Fulfilment,
    at: (u64, u64),
    command: FulfilmentCommand,
    name: String,
) -> IssuedCommand {
    let (version, recorded_at_ms) = at;
    let cause = Cause { stream: order::stream(fulfilment.order_id), version, recorded_at_ms };
    IssuedCommand { name, command, cause }
}

// --------------------------------------------------------------------- decide

/// Applies an input, and returns the commands that [`decide`] returns now and did not before.
pub fn react(fulfilment: Fulfilment, input: &FulfilmentInput) -> (Fulfilment, Vec<IssuedCommand>) {
    let before: BTreeSet<String> =
        decide(&fulfilment).iter().map(IssuedCommand::identity).collect();
    let fulfilment = evolve(fulfilment, input);
    let mut commands = decide(&fulfilment);
    commands.retain(|issued| !before.contains(&issued.identity()));
    (fulfilment, commands)
}

/// All commands that follow from the known inputs, sent before or not.
pub fn decide(fulfilment: &Fulfilment) -> Vec<IssuedCommand> {
    let mut commands = Vec::new();
    if let Some(placed) = &fulfilment.placed {
        commands.extend(placed.lines.iter().map(|line| reserve(fulfilment, placed, line)));
        commands.extend(
            fulfilment.verdict.as_ref().map(|verdict| send_verdict(fulfilment, placed, verdict)),
        );
    }
    if let Some(end) = fulfilment.end {
        commands.extend(
            reservations(fulfilment)
                .map(|(isbn, version, quantity)| settle(fulfilment, end, isbn, version, quantity)),
        );
    }
    commands
}

fn reserve(fulfilment: &Fulfilment, placed: &Placed, line: &OrderLine) -> IssuedCommand {
    let quantity = StockQuantity::from(line.quantity);
    let command = StockCommand::ReserveStock { order_id: fulfilment.order_id, quantity };
    let command = FulfilmentCommand::Stock { isbn: line.isbn.clone(), command };
    issue(fulfilment, placed.at(), command, format!("reserve {quantity}"))
}

fn send_verdict(fulfilment: &Fulfilment, placed: &Placed, verdict: &Verdict) -> IssuedCommand {
    let (command, name) = match verdict {
        Verdict::Confirm => (OrderCommand::ConfirmOrder {}, "confirm".to_owned()),
        Verdict::Reject { missing } => (
            OrderCommand::RejectOrder { reason: Reason::book_not_available(missing) },
            format!("reject {missing}"),
        ),
    };
    let command = FulfilmentCommand::Order { order_id: fulfilment.order_id, command };
    issue(fulfilment, placed.at(), command, name)
}

/// The name has the version of the reservation, so that a repeated reservation is settled, too.
fn settle(
    fulfilment: &Fulfilment,
    end: OrderEnd,
    isbn: &Isbn,
    reserved_at: u64,
    quantity: StockQuantity,
) -> IssuedCommand {
    let order_id = fulfilment.order_id;
    let (ended_at, command, verb) = match end {
        OrderEnd::CalledOff { version, recorded_at_ms } => (
            (version, recorded_at_ms),
            StockCommand::ReleaseStock { order_id, quantity },
            "release",
        ),
        OrderEnd::Shipped { version, recorded_at_ms } => {
            ((version, recorded_at_ms), StockCommand::CommitStock { order_id, quantity }, "commit")
        }
    };
    let command = FulfilmentCommand::Stock { isbn: isbn.clone(), command };
    issue(fulfilment, ended_at, command, format!("{verb} {quantity} reserved at {reserved_at}"))
}

fn reservations(fulfilment: &Fulfilment) -> impl Iterator<Item = (&Isbn, u64, StockQuantity)> {
    fulfilment
        .reserved
        .iter()
        .flat_map(|(isbn, reserved)| reserved.iter().map(move |(at, copies)| (isbn, *at, *copies)))
}
