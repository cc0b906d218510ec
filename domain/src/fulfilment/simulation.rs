//! The whole shop at once: real orders, real stock and fulfilment, with facts that come late, twice, in any order and
//! to a process that dies, while customers and clerks do as they please.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::{Fact, Fulfilment, FulfilmentCommand, IssuedCommand, react};
use crate::order::{self, Order, OrderCommand, OrderStatus};
use crate::samples::{copies, details_of, isbn, line, order_id, reason, tracking_code};
use crate::stock::{self, Stock, StockCommand};
use crate::{Isbn, OrderId, OrderLine, StockQuantity};

const ORDERS: std::ops::Range<u32> = 1..4;
const BOOKS: std::ops::Range<u32> = 1..4;

/// Far more deliveries than the steps of one run can cause.
const MAX_DELIVERIES: usize = 5_000;

/// What may happen next.
#[derive(Debug, Clone)]
enum Step {
    /// A fact reaches the process of its order. If that dies, it keeps nothing, learns no refusal, and meets the fact
    /// again.
    Deliver { which: Index, dies: bool },
    /// A fact is delivered once more, later.
    Repeat { which: Index },
    /// Somebody asks an order for something.
    Ask { order: u32, command: OrderCommand },
    /// Somebody asks stock for something.
    Move { book: u32, command: StockCommand },
}

fn step() -> impl Strategy<Value = Step> {
    let by_hand = prop::sample::select(vec![
        OrderCommand::CancelOrder { reason: reason("changed my mind") },
        OrderCommand::RejectOrder { reason: reason("a prank") },
        OrderCommand::ShipOrder { tracking_code: tracking_code("1Z") },
    ]);
    let receive = (1..3_u32).prop_map(|quantity| StockCommand::ReceiveStock { quantity: copies(quantity) });
    let reserve = (ORDERS, 1..3_u32).prop_map(|(order, quantity)| StockCommand::ReserveStock {
        order_id: order_id(order),
        quantity: copies(quantity),
    });
    prop_oneof![
        12 => (any::<Index>(), prop::bool::weighted(0.2)).prop_map(|(which, dies)| Step::Deliver { which, dies }),
        2 => any::<Index>().prop_map(|which| Step::Repeat { which }),
        2 => (ORDERS, by_hand).prop_map(|(order, command)| Step::Ask { order, command }),
        2 => (BOOKS, receive).prop_map(|(book, command)| Step::Move { book, command }),
        1 => (BOOKS, reserve).prop_map(|(book, command)| Step::Move { book, command }),
    ]
}

/// The lines of each order: some of the books, one or two copies of each.
fn ordered() -> impl Strategy<Value = Vec<Vec<OrderLine>>> {
    let lines = prop::collection::btree_map(BOOKS, 1..3_u32, 1..4)
        .prop_map(|lines| lines.into_iter().map(|(book, quantity)| line(book, quantity, 100)).collect());
    prop::collection::vec(lines, ORDERS.len())
}

/// A state and its version, as the event store would load them.
type Loaded<State> = (State, u64);

#[derive(Default)]
struct Shop {
    orders: BTreeMap<OrderId, Loaded<Order>>,
    stocks: BTreeMap<Isbn, Loaded<Stock>>,
    processes: BTreeMap<OrderId, Fulfilment>,
    under_way: Vec<(OrderId, Fact)>,
    handled: BTreeSet<String>,
    refused: BTreeSet<String>,
    meanings: BTreeMap<String, FulfilmentCommand>,
}

impl Shop {
    /// Asks an order; true when that made events.
    fn ask(&mut self, order_id: OrderId, command: &OrderCommand) -> bool {
        let (order, version) = self.orders.entry(order_id).or_default();
        let events = order::decide(order, command).unwrap_or_default();
        for event in &events {
            *order = order::evolve(std::mem::take(order), event);
            *version += 1;
            self.under_way
                .push((order_id, Fact::Order { version: *version, recorded_at_ms: *version, event: event.clone() }));
        }
        !events.is_empty()
    }

    /// Asks stock; true when that made events, none when stock refused.
    fn move_stock(&mut self, isbn: &Isbn, command: &StockCommand) -> Option<bool> {
        let (stock, version) = self.stocks.entry(isbn.clone()).or_default();
        let events = stock::decide(stock, command).ok()?;
        for event in &events {
            *stock = stock::evolve(std::mem::take(stock), event);
            *version += 1;
            self.under_way.extend(Fact::of_stock(isbn, *version, event));
        }
        Some(!events.is_empty())
    }

    /// Sends a command of fulfilment. As in the event store, an id that made events is handled for ever, and one that was
    /// refused is refused for ever. Answers with the fact that a refusal is.
    fn send(&mut self, issued: &IssuedCommand) -> Option<Fact> {
        let id = issued.identity();
        let meaning = self.meanings.entry(id.clone()).or_insert_with(|| issued.command.clone());
        assert_eq!(*meaning, issued.command, "one id names one command");
        if self.handled.contains(&id) {
            return None;
        }
        match &issued.command {
            FulfilmentCommand::Order { order_id, command } => {
                if self.ask(*order_id, command) {
                    self.handled.insert(id);
                }
                None
            }
            FulfilmentCommand::Stock { isbn, command } => {
                let made_events = if self.refused.contains(&id) { None } else { self.move_stock(isbn, command) };
                let reserves = matches!(command, StockCommand::ReserveStock { .. });
                match made_events {
                    Some(true) => drop(self.handled.insert(id)),
                    Some(false) => {}
                    None => drop(self.refused.insert(id)),
                }
                (made_events.is_none() && reserves).then(|| Fact::Refused { isbn: isbn.clone() })
            }
        }
    }

    fn deliver(&mut self, which: usize, dies: bool) {
        let (order_id, fact) = self.under_way.swap_remove(which);
        let known = self.processes.get(&order_id).cloned().unwrap_or_else(|| Fulfilment::new(order_id));
        let (next, commands) = react(known, &fact);
        let refusals: Vec<_> = commands.iter().filter_map(|issued| self.send(issued)).collect();
        if dies {
            self.under_way.push((order_id, fact));
        } else {
            self.processes.insert(order_id, next);
            self.under_way.extend(refusals.into_iter().map(|refusal| (order_id, refusal)));
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Deliver { which, dies } if !self.under_way.is_empty() => {
                self.deliver(which.index(self.under_way.len()), *dies);
            }
            Step::Repeat { which } if !self.under_way.is_empty() => {
                self.under_way.push(which.get(&self.under_way).clone());
            }
            Step::Deliver { .. } | Step::Repeat { .. } => {}
            Step::Ask { order, command } => {
                self.ask(order_id(*order), command);
            }
            Step::Move { book, command } => {
                self.move_stock(&isbn(*book), command);
            }
        }
    }

    /// What is reserved for an order, by book.
    fn reserved_for(&self, order_id: OrderId) -> BTreeMap<Isbn, StockQuantity> {
        let of = |(isbn, (stock, _)): (&Isbn, &Loaded<Stock>)| Some((isbn.clone(), stock.reservation(order_id)?));
        self.stocks.iter().filter_map(of).collect()
    }
}

/// Once every fact has arrived, each order has its answer, and holds the books that it ought to hold and no others.
fn settled(shop: &Shop) {
    for (order_id, (order, _)) in &shop.orders {
        let reserved = shop.reserved_for(*order_id);
        match order.status().unwrap() {
            OrderStatus::Placed => panic!("order {order_id} waits for ever"),
            OrderStatus::Confirmed => {
                for line in &order.details().unwrap().lines {
                    assert_eq!(reserved.get(&line.isbn), Some(&line.quantity.into()), "order {order_id}");
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
    fn every_order_gets_its_answer_and_only_its_books(
        ordered in ordered(),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut shop = Shop::default();
        for (order, lines) in ORDERS.zip(ordered) {
            shop.ask(order_id(order), &OrderCommand::PlaceOrder(details_of(lines)));
        }
        for step in &steps {
            shop.take(step);
        }
        for _ in 0..MAX_DELIVERIES {
            if !shop.under_way.is_empty() {
                shop.deliver(0, false);
            }
        }
        assert_eq!(shop.under_way, [], "facts cause commands and commands facts, for ever");
        settled(&shop);
    }
}
