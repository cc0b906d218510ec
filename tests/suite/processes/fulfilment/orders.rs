//! Orders and stock: commands by hand, the queue of a process, and what must hold when all is done.

use crate::harness::faults::FaultInjector;
use crate::harness::messages::{Message, event_of, messages_of, told_again};
use crate::harness::stack::TestStack;
use crate::harness::waiting::{PATIENCE, becomes};
use bookshop::events;
use domain::order::{self, Order, OrderCommand, OrderDetails, OrderEvent, OrderStatus};
use domain::stock::{self, Stock, StockCommand, StockEvent};
use domain::{Isbn, OrderId, OrderLine, OrderLines, OrderQuantity, StockQuantity, UnitPriceMinor};
use eventstore::{
    AppendError, Batch, CommandMetadata, Commit, Consistency, EventCodec, Fingerprint, Id, StreamId,
};
use eventstore::{NewCommit, NewEvent};
use handlers::process::ProcessHandler;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use tokio::time::Instant;
use uuid::Uuid;

/// More deliveries than any case needs to come to rest.
const MAX_DELIVERIES: usize = 200;

impl TestStack {
    /// A runner that remembers nothing of others.
    pub(super) fn runner(&self) -> ProcessHandler {
        self.system().process("fulfilment", self.projector()).unwrap()
    }

    /// A runner whose requests go over that wire.
    pub(super) fn runner_over(&self, wire: &FaultInjector) -> ProcessHandler {
        let system = self.system_over(wire);
        system.process("fulfilment", system.projector()).unwrap()
    }

    pub(super) async fn order(&self, order_id: OrderId) -> Order {
        let events = decoded(&events::ORDER, &self.commits(&order_stream(order_id)).await);
        events.iter().fold(Order::default(), order::evolve)
    }

    pub(super) async fn stock(&self, isbn: &Isbn) -> Stock {
        let events = decoded(&events::STOCK, &self.commits(&stock_stream(isbn)).await);
        events.iter().fold(Stock::default(), stock::evolve)
    }

    /// Somebody asks an order for something, by hand.
    pub(super) async fn ask(&self, order_id: OrderId, command: &OrderCommand) {
        let decide = |events: &[OrderEvent]| {
            let order = events.iter().fold(Order::default(), order::evolve);
            order::decide(&order, command).unwrap()
        };
        self.append(&order_stream(order_id), &events::ORDER, decide).await;
    }

    /// Somebody moves stock, by hand.
    pub(super) async fn handle(&self, isbn: &Isbn, command: &StockCommand) {
        let decide = |events: &[StockEvent]| {
            let stock = events.iter().fold(Stock::default(), stock::evolve);
            stock::decide(&stock, command).unwrap()
        };
        self.append(&stock_stream(isbn), &events::STOCK, decide).await;
    }

    pub(super) async fn receive(&self, isbn: &Isbn, copies: u32) {
        self.handle(
            isbn,
            &StockCommand::ReceiveStock { quantity: StockQuantity::new(copies).unwrap() },
        )
        .await;
    }

    /// Places an order of these books, each with its copies.
    pub(super) async fn place(&self, lines: &[(Isbn, u32)]) -> OrderId {
        let order_id = OrderId::new(Uuid::now_v7());
        let lines = lines.iter().map(|(isbn, copies)| OrderLine {
            isbn: isbn.clone(),
            quantity: OrderQuantity::new(*copies).unwrap(),
            unit_price_minor: UnitPriceMinor::new(995).unwrap(),
        });
        let details = OrderDetails {
            customer_id: "c-17".to_owned().try_into().unwrap(),
            currency: "EUR".to_owned().try_into().unwrap(),
            lines: OrderLines::try_from(lines.collect::<Vec<_>>()).unwrap(),
        };
        self.ask(order_id, &OrderCommand::PlaceOrder(details)).await;
        order_id
    }

    /// Appends what is decided, as often as somebody else is quicker.
    async fn append<E: Debug + serde::Serialize + serde::de::DeserializeOwned>(
        &self,
        stream: &StreamId,
        codec: &EventCodec<E>,
        decide: impl Fn(&[E]) -> Vec<E>,
    ) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let loaded = self.store.load(stream, Consistency::Strong).await.unwrap();
            let commits: Vec<Commit> =
                loaded.batches.into_iter().flat_map(|batch| batch.commits).collect();
            let decided = decide(&decoded(codec, &commits));
            if decided.is_empty() {
                return;
            }
            let events: Vec<NewEvent> =
                decided.iter().map(|event| codec.encode(event).unwrap()).collect();
            match self
                .store
                .append(&loaded.head, vec![NewCommit { metadata: by_hand(), events }])
                .await
            {
                Ok(_) => return,
                Err(AppendError::Conflict { .. }) => {
                    assert!(Instant::now() < deadline, "others are always quicker")
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    /// What of these orders and books does not hold; nothing once all is done.
    ///
    /// Every order has its answer; a confirmed one has its books and no other has any; no book was
    /// ever given away twice; and no command was handled twice.
    pub(super) async fn unsettled(&self, orders: &[OrderId], books: &[Isbn]) -> Vec<String> {
        let (mut wrong, mut reserved) = (Vec::new(), BTreeMap::new());
        for isbn in books {
            let commits = self.commits(&stock_stream(isbn)).await;
            wrong.extend(impossible_figures(isbn, &decoded(&events::STOCK, &commits)));
            wrong.extend(doubled(stock::stream(isbn), &commits));
            let reservations = self.stock(isbn).await;
            reserved.extend(
                reservations.reservations().map(|(order, copies)| ((order, isbn.clone()), copies)),
            );
        }
        for order_id in orders {
            wrong.extend(doubled(
                order::stream(*order_id),
                &self.commits(&order_stream(*order_id)).await,
            ));
            let order = self.order(*order_id).await;
            match order.status() {
                None | Some(OrderStatus::Placed) => wrong.push(format!("order {order_id} waits")),
                Some(OrderStatus::Confirmed) => {
                    let lines = &order.details().unwrap().lines;
                    wrong.extend(lines.iter().filter_map(|line| {
                        let copies = reserved.remove(&(*order_id, line.isbn.clone()));
                        let missing = copies != Some(StockQuantity::from(line.quantity));
                        missing.then(|| {
                            format!(
                                "order {order_id} is confirmed and has {copies:?} of {}",
                                line.isbn
                            )
                        })
                    }));
                }
                Some(OrderStatus::Rejected | OrderStatus::Cancelled | OrderStatus::Shipped) => {}
            }
        }
        wrong.extend(
            reserved
                .into_iter()
                .map(|((order, isbn), copies)| format!("{copies} of {isbn} for {order}")),
        );
        wrong
    }

    /// Waits until everything holds.
    pub(super) async fn settles(&self, orders: &[OrderId], books: &[Isbn]) {
        becomes(
            "everything holds",
            async || self.unsettled(orders, books).await,
            |wrong| wrong.is_empty(),
        )
        .await;
    }
}

fn by_hand() -> CommandMetadata {
    let command_id = Id::from(Uuid::now_v7());
    CommandMetadata {
        fingerprint: Fingerprint::of(&[command_id.as_str().as_bytes()]),
        correlation_id: Id::new(format!("shopping-{command_id}")).unwrap(),
        causation_id: None,
        actor: Id::new("clerk").unwrap(),
        trace_parent: Some(
            Id::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap(),
        ),
        command_id,
    }
}

fn decoded<E: serde::de::DeserializeOwned>(codec: &EventCodec<E>, commits: &[Commit]) -> Vec<E> {
    let events =
        commits.iter().flat_map(|commit| &commit.events).filter(|event| !event.body.is_of_store());
    events.map(|event| codec.decode(&event.body).unwrap()).collect()
}

/// Where the figures of a book are not possible, added up by other code than the domain's.
fn impossible_figures(isbn: &Isbn, events: &[StockEvent]) -> Vec<String> {
    let (mut on_hand, mut reserved, mut wrong) = (0_i64, 0_i64, Vec::new());
    for event in events {
        let (in_house, spoken_for) = match event {
            StockEvent::StockReceived { quantity } => (i64::from(quantity.get()), 0),
            StockEvent::StockReserved { quantity, .. } => (0, i64::from(quantity.get())),
            StockEvent::StockReleased { quantity, .. } => (0, -i64::from(quantity.get())),
            StockEvent::StockCommitted { quantity, .. } => {
                (-i64::from(quantity.get()), -i64::from(quantity.get()))
            }
        };
        (on_hand, reserved) = (on_hand + in_house, reserved + spoken_for);
        if !(0..=on_hand).contains(&reserved) {
            wrong.push(format!(
                "{reserved} of {on_hand} copies of {isbn} are spoken for after {event:?}"
            ));
        }
    }
    wrong
}

/// The commands that a stream has twice.
fn doubled(stream: String, commits: &[Commit]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let twice = commits.iter().filter(|commit| !seen.insert(commit.metadata.command_id.clone()));
    twice.map(|commit| format!("{stream} has {} twice", commit.metadata.command_id)).collect()
}

pub(super) fn order_stream(order_id: OrderId) -> StreamId {
    StreamId::new(order::stream(order_id)).unwrap()
}

pub(super) fn stock_stream(isbn: &Isbn) -> StreamId {
    StreamId::new(stock::stream(isbn)).unwrap()
}

/// A book that no other case knows.
pub(super) fn new_book() -> Isbn {
    crate::harness::events::isbn(fastrand::u32(..1_000_000_000))
}

/// Hands the messages to the runner in one event. The ids that are to come again.
pub(crate) async fn deliver(runner: &ProcessHandler, messages: &[Message]) -> Vec<String> {
    told_again(messages, runner.handle(event_of(messages)).await)
}

/// The queue of some streams, as fan-out fills it.
pub(super) struct Line {
    streams: Vec<(StreamId, u64)>,
}

impl Line {
    /// The queue of an order and its books, still empty.
    pub(super) fn of(order_id: OrderId, books: &[Isbn]) -> Self {
        let streams = books.iter().map(stock_stream).chain([order_stream(order_id)]);
        Self { streams: streams.map(|stream| (stream, 0)).collect() }
    }

    /// What has come since the last call, a message a batch.
    pub(super) async fn news(&mut self, stack: &TestStack) -> Vec<Message> {
        let mut messages = Vec::new();
        for (stream, sent) in &mut self.streams {
            let mut batches = stack.batches(stream).await;
            batches.retain(|batch| batch.version() > *sent);
            messages.extend(messages_of(&batches));
            *sent = batches.last().map_or(*sent, Batch::last_version);
        }
        messages
    }

    /// Delivers, each message by itself, until nothing comes any more.
    pub(super) async fn run_dry(&mut self, stack: &TestStack, runner: &ProcessHandler) {
        for _ in 0..MAX_DELIVERIES {
            let messages = self.news(stack).await;
            if messages.is_empty() {
                return;
            }
            for message in messages {
                assert!(
                    deliver(runner, std::slice::from_ref(&message)).await.is_empty(),
                    "{message:?} came back"
                );
            }
        }
        panic!("it never comes to rest");
    }
}
