//! Orders, stock and fulfilment together. Inputs come late, twice, in any order and to a process
//! that crashes, while customers and clerks send commands by hand.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::{Fulfilment, FulfilmentCommand, FulfilmentInput, IssuedCommand, react};
use crate::order::{self, Order, OrderCommand, OrderStatus};
use crate::samples::{copies, details_of, isbn, line, order_id, reason, tracking_code};
use crate::stock::{self, Stock, StockCommand};
use crate::{Isbn, OrderId, OrderLine, StockQuantity};

const ORDERS: std::ops::Range<u32> = 1..4;
const BOOKS: std::ops::Range<u32> = 1..4;

/// Far more deliveries than the steps of one run can cause.
const MAX_DELIVERIES: usize = 5_000;

/// One step of the simulation.
#[derive(Debug, Clone)]
enum Step {
    /// Delivers an input. If the process crashes, its state and the refusals are lost, and the
    /// input is delivered again.
    Deliver { which: Index, crashes: bool },
    /// Delivers an input again, later.
    Repeat { which: Index },
    /// Sends a command to an order by hand.
    Order { order: u32, command: OrderCommand },
    /// Sends a command to stock by hand.
    Stock { book: u32, command: StockCommand },
}

fn step() -> impl Strategy<Value = Step> {
    let by_hand = prop::sample::select(vec![
        OrderCommand::CancelOrder { reason: reason("changed my mind") },
        OrderCommand::RejectOrder { reason: reason("a prank") },
        OrderCommand::ShipOrder { tracking_code: tracking_code("1Z") },
    ]);
    let receive =
        (1..3_u32).prop_map(|quantity| StockCommand::ReceiveStock { quantity: copies(quantity) });
    let reserve = (ORDERS, 1..3_u32).prop_map(|(order, quantity)| StockCommand::ReserveStock {
        order_id: order_id(order),
        quantity: copies(quantity),
    });
    prop_oneof![
        12 => (any::<Index>(), prop::bool::weighted(0.2)).prop_map(|(which, crashes)| Step::Deliver { which, crashes }),
        2 => any::<Index>().prop_map(|which| Step::Repeat { which }),
        2 => (ORDERS, by_hand).prop_map(|(order, command)| Step::Order { order, command }),
        2 => (BOOKS, receive).prop_map(|(book, command)| Step::Stock { book, command }),
        1 => (BOOKS, reserve).prop_map(|(book, command)| Step::Stock { book, command }),
    ]
}

/// The lines of each order: some books, one or two copies of each.
fn ordered() -> impl Strategy<Value = Vec<Vec<OrderLine>>> {
    let lines = prop::collection::btree_map(BOOKS, 1..3_u32, 1..4).prop_map(|lines| {
        lines.into_iter().map(|(book, quantity)| line(book, quantity, 100)).collect()
    });
    prop::collection::vec(lines, ORDERS.len())
}

/// A state and its version.
type Versioned<State> = (State, u64);

#[derive(Default)]
struct Shop {
    orders: BTreeMap<OrderId, Versioned<Order>>,
    stocks: BTreeMap<Isbn, Versioned<Stock>>,
    processes: BTreeMap<OrderId, Fulfilment>,
    undelivered: Vec<(OrderId, FulfilmentInput)>,
    handled: BTreeSet<String>,
    refused: BTreeSet<String>,
    commands: BTreeMap<String, FulfilmentCommand>,
}

impl Shop {
    /// Sends a command to an order; true if it has events.
    fn send_to_order(&mut self, order_id: OrderId, command: &OrderCommand) -> bool {
        let (order, version) = self.orders.entry(order_id).or_default();
        let events = order::decide(order, command).unwrap_or_default();
        for event in &events {
            *order = order::evolve(std::mem::take(order), event);
            *version += 1;
            self.undelivered.push((
                order_id,
                FulfilmentInput::Order {
                    version: *version,
                    recorded_at_ms: *version,
                    event: event.clone(),
                },
            ));
        }
        !events.is_empty()
    }

    /// Sends a command to stock; true if it has events, none if stock refused.
    fn send_to_stock(&mut self, isbn: &Isbn, command: &StockCommand) -> Option<bool> {
        let (stock, version) = self.stocks.entry(isbn.clone()).or_default();
        let events = stock::decide(stock, command).ok()?;
        for event in &events {
            *stock = stock::evolve(std::mem::take(stock), event);
            *version += 1;
            self.undelivered.extend(FulfilmentInput::of_stock(isbn, *version, event));
        }
        Some(!events.is_empty())
    }

    /// Sends a command of fulfilment. As in the event store, an id is handled once and refused
    /// once. Returns the input of a refusal.
    fn send(&mut self, issued: &IssuedCommand) -> Option<FulfilmentInput> {
        let id = issued.identity();
        let named = self.commands.entry(id.clone()).or_insert_with(|| issued.command.clone());
        assert_eq!(*named, issued.command, "an id stands for two commands");
        if self.handled.contains(&id) {
            return None;
        }
        match &issued.command {
            FulfilmentCommand::Order { order_id, command } => {
                if self.send_to_order(*order_id, command) {
                    self.handled.insert(id);
                }
                None
            }
            FulfilmentCommand::Stock { isbn, command } => {
                let has_events = if self.refused.contains(&id) {
                    None
                } else {
                    self.send_to_stock(isbn, command)
                };
                let reserves = matches!(command, StockCommand::ReserveStock { .. });
                match has_events {
                    Some(true) => drop(self.handled.insert(id)),
                    Some(false) => {}
                    None => drop(self.refused.insert(id)),
                }
                (has_events.is_none() && reserves)
                    .then(|| FulfilmentInput::Refused { isbn: isbn.clone() })
            }
        }
    }

    fn deliver(&mut self, which: usize, crashes: bool) {
        let (order_id, input) = self.undelivered.swap_remove(which);
        let state =
            self.processes.get(&order_id).cloned().unwrap_or_else(|| Fulfilment::new(order_id));
        let (next, commands) = react(state, &input);
        let refusals: Vec<_> = commands.iter().filter_map(|issued| self.send(issued)).collect();
        if crashes {
            self.undelivered.push((order_id, input));
        } else {
            self.processes.insert(order_id, next);
            self.undelivered.extend(refusals.into_iter().map(|refusal| (order_id, refusal)));
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Deliver { which, crashes } if !self.undelivered.is_empty() => {
                self.deliver(which.index(self.undelivered.len()), *crashes);
            }
            Step::Repeat { which } if !self.undelivered.is_empty() => {
                self.undelivered.push(which.get(&self.undelivered).clone());
            }
            Step::Deliver { .. } | Step::Repeat { .. } => {}
            Step::Order { order, command } => {
                self.send_to_order(order_id(*order), command);
            }
            Step::Stock { book, command } => {
                self.send_to_stock(&isbn(*book), command);
            }
        }
    }

    /// The reservations of an order, by book.
    fn reserved_for(&self, order_id: OrderId) -> BTreeMap<Isbn, StockQuantity> {
        let of = |(isbn, (stock, _)): (&Isbn, &Versioned<Stock>)| {
            Some((isbn.clone(), stock.reservation(order_id)?))
        };
        self.stocks.iter().filter_map(of).collect()
    }
}

/// After all deliveries, each order has a verdict and exactly the reservations that follow from it.
fn check_settled(shop: &Shop) {
    for (order_id, (order, _)) in &shop.orders {
        let reserved = shop.reserved_for(*order_id);
        match order.status().unwrap() {
            OrderStatus::Placed => panic!("order {order_id} has no verdict"),
            OrderStatus::Confirmed => {
                for line in &order.details().unwrap().lines {
                    assert_eq!(
                        reserved.get(&line.isbn),
                        Some(&line.quantity.into()),
                        "order {order_id}"
                    );
                }
            }
            OrderStatus::Rejected | OrderStatus::Cancelled | OrderStatus::Shipped => {
                assert_eq!(reserved, BTreeMap::new(), "order {order_id} is {order:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_order_gets_its_verdict_and_only_its_books(
        ordered in ordered(),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut shop = Shop::default();
        for (order, lines) in ORDERS.zip(ordered) {
            shop.send_to_order(order_id(order), &OrderCommand::PlaceOrder(details_of(lines)));
        }
        for step in &steps {
            shop.take(step);
        }
        for _ in 0..MAX_DELIVERIES {
            if !shop.undelivered.is_empty() {
                shop.deliver(0, false);
            }
        }
        assert_eq!(shop.undelivered, [], "deliveries do not end");
        check_settled(&shop);
    }
}
