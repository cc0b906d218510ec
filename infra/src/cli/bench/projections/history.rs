//! The history that is projected: orders of three events, and books with long streams.

use crate::cli::failure::Failure;
use crate::cli::table;
use domain::order::{OrderDetails, OrderEvent};
use domain::stock::StockEvent;
use domain::{Isbn, OrderId, OrderLine, OrderLines, OrderQuantity, StockQuantity, UnitPriceMinor};
use eventstore::{Batch, Envelope, EventStore, Fingerprint, Head, Id, NewCommit, NewEvent, StreamId};
use futures::StreamExt;
use projections::{Follows, Projection, events};
use std::error::Error;
use std::iter::{repeat_n, zip};
use uuid::Uuid;

/// The events of an order: placed, confirmed, shipped.
const ORDER_EVENTS: u32 = 3;
/// Titles that are ordered, two by two.
const TITLES: u32 = 200;
/// Customers who order.
const CUSTOMERS: u32 = 1_000;
/// Orders that are written at once, with as many events of stock.
const ROUND_ORDERS: u32 = 200;
/// Puts under way at once.
const CONCURRENT_PUTS: usize = 32;
/// Commits of a book that one put writes, as the store does when many commands wait for the same stream.
const STOCK_BATCH: usize = 10;

/// A history, and how much of it.
pub(super) struct History {
    pub(super) store: EventStore,
    /// Half of them are of orders, as far as three fit.
    pub(super) events: u32,
    /// Books with a stream.
    pub(super) streams: u32,
}

/// A stream that is being written.
struct Writer {
    head: Head,
    batches: Vec<Vec<NewCommit>>,
}

impl History {
    fn orders(&self) -> u32 {
        self.events / 2 / ORDER_EVENTS
    }

    /// How many of the events are in streams that the projection follows.
    pub(super) fn events_of(&self, projection: &Projection) -> u32 {
        let of_orders = self.orders() * ORDER_EVENTS;
        let shares = [(domain::order::CATEGORY, of_orders), (domain::stock::CATEGORY, self.events - of_orders)];
        let follows = |category: &str| match projection.follows {
            Follows::All => true,
            Follows::Categories(categories) => categories.contains(&category),
        };
        shares.into_iter().filter(|(category, _)| follows(category)).map(|(_, events)| events).sum()
    }

    /// Writes it. The first commits of it, in order of time, are the answer, each in a batch of its own.
    pub(super) async fn write(&self, first: usize) -> Result<Vec<Batch>, Failure> {
        let mut sample: Vec<Batch> = Vec::new();
        let books = (0..self.streams).map(|book| Ok(Head::empty(&stream(&domain::stock::stream(&isbn(book)?))?)));
        let mut books = books.collect::<Result<Vec<Head>, Failure>>()?;
        let stock_events = self.events - self.orders() * ORDER_EVENTS;
        let rounds = self.orders().div_ceil(ROUND_ORDERS).max(1);
        for round in 0..rounds {
            table::progress(&format!("writing {} events: {} %", self.events, round * 100 / rounds));
            let share = |all: u32| (all / rounds) + u32::from(round < all % rounds);
            let mut writers = stock_writers(&books, share(stock_events), round)?;
            for order in 0..share(self.orders()) {
                writers.push(order_writer(round * ROUND_ORDERS + order)?);
            }
            let mut written = self.write_all(writers).await?;
            for (book, (head, _)) in zip(&mut books, &written) {
                *book = head.clone();
            }
            if sample.len() < first {
                sample.extend(in_order_of_time(written.drain(..).flat_map(|(_, batches)| batches)));
                sample.truncate(first);
            }
        }
        Ok(sample)
    }

    /// Writes the streams, many at once. Their heads and batches, in the order of the writers.
    async fn write_all(&self, writers: Vec<Writer>) -> Result<Vec<(Head, Vec<Batch>)>, Failure> {
        let work = writers.into_iter().map(|Writer { mut head, batches }| async move {
            let mut written = Vec::new();
            for commits in batches {
                let appended = failing(self.store.append(&head, commits).await)?;
                head = appended.head;
                written.push(appended.batch);
            }
            Ok((head, written))
        });
        let written: Vec<Result<_, Failure>> = futures::stream::iter(work).buffered(CONCURRENT_PUTS).collect().await;
        written.into_iter().collect()
    }
}

/// Every commit by itself, as if each had been put alone; those of a stream stay in their order.
fn in_order_of_time(batches: impl Iterator<Item = Batch>) -> Vec<Batch> {
    let mut alone: Vec<Batch> = batches
        .flat_map(|Batch { stream, commits }| {
            let streams = repeat_n(stream, commits.len());
            zip(streams, commits).map(|(stream, commit)| Batch { stream, commits: vec![commit] })
        })
        .collect();
    alone.sort_by_key(|batch| batch.commits.first().map(|commit| commit.recorded_at));
    alone
}

fn stock_writers(books: &[Head], events: u32, round: u32) -> Result<Vec<Writer>, Failure> {
    let count = u32::try_from(books.len()).unwrap_or(u32::MAX);
    let mut writers = Vec::new();
    for (book, head) in zip(0.., books) {
        let share = (events / count) + u32::from(book < events % count);
        let commits = (0..share).map(|number| new_commit(stock_event(round, book, number)?));
        let commits = commits.collect::<Result<Vec<_>, Failure>>()?;
        let mut batches = Vec::new();
        let mut commits = commits.into_iter().peekable();
        while commits.peek().is_some() {
            batches.push(commits.by_ref().take(STOCK_BATCH).collect());
        }
        writers.push(Writer { head: head.clone(), batches });
    }
    Ok(writers)
}

/// Copies come in, and are spoken for by an order.
fn stock_event(round: u32, book: u32, number: u32) -> Result<NewEvent, Failure> {
    let quantity = failing(StockQuantity::new(1 + number % 5))?;
    let order_id = OrderId::new(Uuid::from_u128(u128::from(round) << 64 | u128::from(book) << 32 | u128::from(number)));
    let event = match number % 2 {
        0 => StockEvent::StockReceived { quantity },
        _ => StockEvent::StockReserved { order_id, quantity },
    };
    failing(events::STOCK.encode(&event))
}

fn order_writer(number: u32) -> Result<Writer, Failure> {
    let placed = OrderEvent::OrderPlaced(OrderDetails {
        customer_id: failing(format!("customer-{}", number % CUSTOMERS).try_into())?,
        currency: failing("EUR".to_owned().try_into())?,
        lines: failing(OrderLines::try_from(vec![line(number % TITLES)?, line((number + 1) % TITLES)?]))?,
    });
    let shipped = OrderEvent::OrderShipped { tracking_code: failing(format!("1Z{number:010}").try_into())? };
    let told = [placed, OrderEvent::OrderConfirmed {}, shipped];
    let batches = told.iter().map(|event| Ok(vec![new_commit(failing(events::ORDER.encode(event))?)?]));
    let order = OrderId::new(Uuid::now_v7());
    let head = Head::empty(&stream(&domain::order::stream(order))?);
    Ok(Writer { head, batches: batches.collect::<Result<_, Failure>>()? })
}

fn line(title: u32) -> Result<OrderLine, Failure> {
    Ok(OrderLine {
        isbn: isbn(title)?,
        quantity: failing(OrderQuantity::new(1 + title % 3))?,
        unit_price_minor: failing(UnitPriceMinor::new(1_000 + title))?,
    })
}

/// The ISBN of the n-th title, check digit included.
fn isbn(title: u32) -> Result<Isbn, Failure> {
    let digits = format!("978{title:09}");
    let weighted = zip(digits.bytes(), [1, 3].into_iter().cycle());
    let sum: u32 = weighted.map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    failing(Isbn::try_from(format!("{digits}{}", (10 - sum % 10) % 10)))
}

fn stream(name: &str) -> Result<StreamId, Failure> {
    failing(StreamId::new(name))
}

fn new_commit(event: NewEvent) -> Result<NewCommit, Failure> {
    let command_id = Id::from(Uuid::now_v7());
    let envelope = Envelope {
        fingerprint: Fingerprint::of(&[command_id.as_str().as_bytes()]),
        correlation_id: Uuid::now_v7().into(),
        causation_id: None,
        actor: failing(Id::new("bench"))?,
        trace_parent: None,
        command_id,
    };
    Ok(NewCommit { envelope, events: vec![event] })
}

fn failing<T, E: Error + Send + Sync + 'static>(ended: Result<T, E>) -> Result<T, Failure> {
    ended.map_err(|error| Failure::from_error(&error))
}
