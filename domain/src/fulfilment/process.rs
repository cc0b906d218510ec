//! How one order is fulfilled: a process manager that learns facts and asks orders and stock to act.
//!
//! | what is known | what is asked |
//! |---|---|
//! | the order is placed | reserve each line |
//! | every line is reserved | confirm the order |
//! | every line has its outcome, and at least one is refused | reject the order; the reason names the first such book |
//! | the order is rejected or cancelled | release each of its reservations |
//! | the order is shipped | commit each of its reservations |
//!
//! **Invariants**
//! - What is asked depends on the facts that are known, not on the order in which they came, nor on how often. A
//!   further fact adds commands and never takes one back. So a reservation that comes after the cancellation is
//!   released; and a verdict that comes after it is asked for all the same, and refused by the order. (Only where facts
//!   contradict each other, a line both refused and reserved, does the verdict depend on which came first.)
//! - Cause, stream and name of a command say all that the command says. To ask again is to ask by the same name, and one
//!   name never stands for two commands.
//! - The verdict, confirm or reject, is reached once, when the last line has its outcome, and then stands. A line
//!   that was refused stays refused, although somebody may still reserve it by hand.
//! - The order has the last word. A verdict that comes too late is refused by the order itself, and reservations follow
//!   what the order says has happened, never what was asked: a refused line releases the others by way of
//!   `OrderRejected`. Hence an order that somebody confirmed by hand keeps its books, and one rejected by hand gives
//!   them back.
//!
//! **How to run it:** [`react`], keep the new state with what it asks, send that. A refusal of `ReserveStock` by stock is
//! a fact too ([`Fact::Refused`]); refusals of the other commands need no answer. What somebody releases by hand is out
//! of its sight.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::order::{self, OrderCommand, OrderEvent};
use crate::stock::{self, StockCommand, StockEvent};
use crate::{Isbn, OrderId, OrderLine, OrderLines, Reason, StockQuantity};

// ---------------------------------------------------------------------- facts

/// What fulfilment can learn about one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// An event of the order's stream.
    Order {
        /// The event's version in that stream.
        version: u64,
        /// When it was recorded, in milliseconds since 1970.
        recorded_at_ms: u64,
        /// The event.
        event: OrderEvent,
    },
    /// A `StockReserved` for this order, whoever asked for it.
    Reserved {
        /// Which book.
        isbn: Isbn,
        /// The event's version in the stream of that book's stock.
        version: u64,
        /// How many copies.
        quantity: StockQuantity,
    },
    /// Stock has refused to reserve this line of the order.
    Refused {
        /// Which book.
        isbn: Isbn,
    },
}

impl Fact {
    /// The fact that an event of the order's stream is to fulfilment. That the order is confirmed is none: nothing is asked
    /// because of it.
    pub fn of_order(version: u64, recorded_at_ms: u64, event: OrderEvent) -> Option<Self> {
        match event {
            OrderEvent::OrderConfirmed {} => None,
            OrderEvent::OrderPlaced(_)
            | OrderEvent::OrderRejected { .. }
            | OrderEvent::OrderCancelled { .. }
            | OrderEvent::OrderShipped { .. } => Some(Self::Order { version, recorded_at_ms, event }),
        }
    }

    /// The fact that an event of a book's stock is to fulfilment, and to which order's; most are none.
    pub fn of_stock(isbn: &Isbn, version: u64, event: &StockEvent) -> Option<(OrderId, Self)> {
        match *event {
            StockEvent::StockReserved { order_id, quantity } => {
                Some((order_id, Self::Reserved { isbn: isbn.clone(), version, quantity }))
            }
            StockEvent::StockReceived { .. } | StockEvent::StockReleased { .. } | StockEvent::StockCommitted { .. } => {
                None
            }
        }
    }
}

// ---------------------------------------------------------------------- state

/// What is known of one order. Facts come from several streams, in no order, so this is a sum of knowledge rather
/// than a situation. It serialises, so that it can be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fulfilment {
    order_id: OrderId,
    placed: Option<Placed>,
    /// By book and by the version of the `StockReserved`: somebody may reserve again by hand what was released.
    reserved: BTreeMap<Isbn, BTreeMap<u64, StockQuantity>>,
    refused: BTreeSet<Isbn>,
    verdict: Option<Verdict>,
    end: Option<End>,
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

/// How the order ended, with version and time of the event that says so. An order ends once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum End {
    CalledOff { version: u64, recorded_at_ms: u64 },
    Shipped { version: u64, recorded_at_ms: u64 },
}

impl Placed {
    /// The version and the time of the event.
    fn at(&self) -> (u64, u64) {
        (self.version, self.recorded_at_ms)
    }
}

impl Fulfilment {
    /// Nothing is known of this order yet.
    pub fn new(order_id: OrderId) -> Self {
        Self { order_id, placed: None, reserved: BTreeMap::new(), refused: BTreeSet::new(), verdict: None, end: None }
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

    /// Whether stock is known to have refused to reserve the book.
    pub fn is_refused(&self, isbn: &Isbn) -> bool {
        self.refused.contains(isbn)
    }

    /// A reservation of another quantity is not this line's: stock refuses the line's own, and that is its outcome.
    fn is_reserved(&self, line: &OrderLine) -> bool {
        let wanted = StockQuantity::from(line.quantity);
        self.reserved.get(&line.isbn).is_some_and(|reserved| reserved.values().any(|quantity| *quantity == wanted))
    }
}

// --------------------------------------------------------------------- evolve

/// What is known once this fact is known too. A fact that is already known changes nothing.
pub fn evolve(mut known: Fulfilment, fact: &Fact) -> Fulfilment {
    match fact {
        Fact::Order { version, recorded_at_ms, event } => learn_of_order(&mut known, *version, *recorded_at_ms, event),
        Fact::Reserved { isbn, version, quantity } => {
            known.reserved.entry(isbn.clone()).or_default().insert(*version, *quantity);
        }
        Fact::Refused { isbn } => {
            known.refused.insert(isbn.clone());
        }
    }
    known.verdict = known.verdict.take().or_else(|| known.reach_verdict());
    known
}

fn learn_of_order(known: &mut Fulfilment, version: u64, recorded_at_ms: u64, event: &OrderEvent) {
    match event {
        OrderEvent::OrderPlaced(details) => {
            known.placed.get_or_insert_with(|| Placed { version, recorded_at_ms, lines: details.lines.clone() });
        }
        OrderEvent::OrderRejected { .. } | OrderEvent::OrderCancelled { .. } => {
            known.end.get_or_insert(End::CalledOff { version, recorded_at_ms });
        }
        OrderEvent::OrderShipped { .. } => {
            known.end.get_or_insert(End::Shipped { version, recorded_at_ms });
        }
        OrderEvent::OrderConfirmed {} => {}
    }
}

// ------------------------------------------------------------------- commands

/// A command of fulfilment, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCommand {
    /// What the command says, as far as its cause and its stream do not. Never to change: command ids are made of it.
    pub name: String,
    /// What is asked, and of whom.
    pub command: FulfilmentCommand,
    /// The event that caused it.
    pub cause: Cause,
}

impl IssuedCommand {
    /// Cause, stream and name: the same for the same command, and for no other.
    pub fn identity(&self) -> String {
        format!("{} {} {}", self.cause, self.command.stream(), self.name)
    }
}

/// What fulfilment asks, and of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FulfilmentCommand {
    /// Something of the order itself.
    Order {
        /// Which order.
        order_id: OrderId,
        /// What is asked of it.
        command: OrderCommand,
    },
    /// Something of the stock of one of its books.
    Stock {
        /// Which book.
        isbn: Isbn,
        /// What is asked of its stock.
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
/// For confirm and reject it is the placing of the order, which the outcomes of all lines answer: which of them came
/// last is chance, and the command must not depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The stream of the order.
    pub stream: String,
    /// The event's version in it.
    pub version: u64,
    /// When it was recorded, in milliseconds since 1970.
    pub recorded_at_ms: u64,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.stream, self.version)
    }
}

fn issue(known: &Fulfilment, at: (u64, u64), command: FulfilmentCommand, name: String) -> IssuedCommand {
    let (version, recorded_at_ms) = at;
    let cause = Cause { stream: order::stream(known.order_id), version, recorded_at_ms };
    IssuedCommand { name, command, cause }
}

// --------------------------------------------------------------------- decide

/// Learns a fact, and tells what is to be asked because of it: what [`decide`] says now and did not say before.
pub fn react(known: Fulfilment, fact: &Fact) -> (Fulfilment, Vec<IssuedCommand>) {
    let before: BTreeSet<String> = decide(&known).iter().map(IssuedCommand::identity).collect();
    let known = evolve(known, fact);
    let mut commands = decide(&known);
    commands.retain(|issued| !before.contains(&issued.identity()));
    (known, commands)
}

/// Everything that the known facts ask for, whether it was sent before or not.
pub fn decide(known: &Fulfilment) -> Vec<IssuedCommand> {
    let mut commands = Vec::new();
    if let Some(placed) = &known.placed {
        commands.extend(placed.lines.iter().map(|line| reserve(known, placed, line)));
        commands.extend(known.verdict.as_ref().map(|verdict| answer(known, placed, verdict)));
    }
    if let Some(end) = known.end {
        commands
            .extend(reservations(known).map(|(isbn, version, quantity)| settle(known, end, isbn, version, quantity)));
    }
    commands
}

fn reserve(known: &Fulfilment, placed: &Placed, line: &OrderLine) -> IssuedCommand {
    let quantity = StockQuantity::from(line.quantity);
    let command = StockCommand::ReserveStock { order_id: known.order_id, quantity };
    let command = FulfilmentCommand::Stock { isbn: line.isbn.clone(), command };
    issue(known, placed.at(), command, format!("reserve {quantity}"))
}

fn answer(known: &Fulfilment, placed: &Placed, verdict: &Verdict) -> IssuedCommand {
    let (command, name) = match verdict {
        Verdict::Confirm => (OrderCommand::ConfirmOrder {}, "confirm".to_owned()),
        Verdict::Reject { missing } => {
            (OrderCommand::RejectOrder { reason: Reason::book_not_available(missing) }, format!("reject {missing}"))
        }
    };
    let command = FulfilmentCommand::Order { order_id: known.order_id, command };
    issue(known, placed.at(), command, name)
}

/// Each reservation is settled by another name, so that one that was made again is settled again.
fn settle(known: &Fulfilment, end: End, isbn: &Isbn, reserved_at: u64, quantity: StockQuantity) -> IssuedCommand {
    let order_id = known.order_id;
    let (ended_at, command, verb) = match end {
        End::CalledOff { version, recorded_at_ms } => {
            ((version, recorded_at_ms), StockCommand::ReleaseStock { order_id, quantity }, "release")
        }
        End::Shipped { version, recorded_at_ms } => {
            ((version, recorded_at_ms), StockCommand::CommitStock { order_id, quantity }, "commit")
        }
    };
    let command = FulfilmentCommand::Stock { isbn: isbn.clone(), command };
    issue(known, ended_at, command, format!("{verb} {quantity} reserved at {reserved_at}"))
}

fn reservations(known: &Fulfilment) -> impl Iterator<Item = (&Isbn, u64, StockQuantity)> {
    known.reserved.iter().flat_map(|(isbn, reserved)| reserved.iter().map(move |(at, copies)| (isbn, *at, *copies)))
}
