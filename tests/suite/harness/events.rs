//! What happens in the shop, as events ready to be stored.

use bookshop::events;
use domain::order::{OrderDetails, OrderEvent};
use domain::stock::StockEvent;
use domain::{Isbn, OrderId, OrderLine, OrderLines, OrderQuantity, StockQuantity, UnitPriceMinor};
use eventstore::{
    Batch, CommandHandler, CommandMetadata, CommandRequest, CommandResult, EventStore, Fingerprint,
    Head, Id, Model, NewCommit, NewEvent, StreamId,
};
use serde_json::value::RawValue;
use uuid::Uuid;

/// The ISBN of the n-th book.
pub(crate) fn isbn(book: u32) -> Isbn {
    let digits = format!("978{book:09}");
    let weighted = digits
        .bytes()
        .zip([1, 3].into_iter().cycle())
        .map(|(digit, weight)| u32::from(digit - b'0') * weight);
    let check = (10 - weighted.sum::<u32>() % 10) % 10;
    Isbn::try_from(format!("{digits}{check}")).unwrap()
}

pub(crate) fn new_order() -> StreamId {
    StreamId::new(format!("order-{}", Uuid::now_v7())).unwrap()
}

pub(crate) fn stock_of(book: u32) -> StreamId {
    StreamId::new(format!("stock-{}", isbn(book))).unwrap()
}

/// An order of these books, each with its copies; a copy of book n costs n + 100.
pub(crate) fn placed(customer: &str, books: impl IntoIterator<Item = (u32, u32)>) -> OrderEvent {
    let line = |(book, copies): (u32, u32)| OrderLine {
        isbn: isbn(book),
        quantity: OrderQuantity::new(copies).unwrap(),
        unit_price_minor: UnitPriceMinor::new(book + 100).unwrap(),
    };
    let currency = if customer.ends_with("usd") { "USD" } else { "EUR" };
    OrderEvent::OrderPlaced(OrderDetails {
        customer_id: customer.to_owned().try_into().unwrap(),
        currency: currency.to_owned().try_into().unwrap(),
        lines: OrderLines::try_from(books.into_iter().map(line).collect::<Vec<_>>()).unwrap(),
    })
}

pub(crate) fn confirmed() -> OrderEvent {
    OrderEvent::OrderConfirmed {}
}

pub(crate) fn cancelled(reason: &str) -> OrderEvent {
    OrderEvent::OrderCancelled { reason: reason.to_owned().try_into().unwrap() }
}

pub(crate) fn rejected(reason: &str) -> OrderEvent {
    OrderEvent::OrderRejected { reason: reason.to_owned().try_into().unwrap() }
}

pub(crate) fn shipped() -> OrderEvent {
    OrderEvent::OrderShipped { tracking_code: "1Z999".to_owned().try_into().unwrap() }
}

pub(crate) fn received(copies: u32) -> StockEvent {
    StockEvent::StockReceived { quantity: StockQuantity::new(copies).unwrap() }
}

pub(crate) fn reserved(order: u128, copies: u32) -> StockEvent {
    let (order_id, quantity) = reservation(order, copies);
    StockEvent::StockReserved { order_id, quantity }
}

pub(crate) fn released(order: u128, copies: u32) -> StockEvent {
    let (order_id, quantity) = reservation(order, copies);
    StockEvent::StockReleased { order_id, quantity }
}

pub(crate) fn committed(order: u128, copies: u32) -> StockEvent {
    let (order_id, quantity) = reservation(order, copies);
    StockEvent::StockCommitted { order_id, quantity }
}

fn reservation(order: u128, copies: u32) -> (OrderId, StockQuantity) {
    (OrderId::new(Uuid::from_u128(order)), StockQuantity::new(copies).unwrap())
}

/// An event as it is stored.
pub(crate) trait Stored {
    fn stored(&self) -> NewEvent;
}

impl Stored for OrderEvent {
    fn stored(&self) -> NewEvent {
        events::ORDER.encode(self).unwrap()
    }
}

impl Stored for StockEvent {
    fn stored(&self) -> NewEvent {
        events::STOCK.encode(self).unwrap()
    }
}

/// An event of any type and shape, such as a newer program may store.
pub(crate) fn raw(event_type: &str, schema: u32, data: &str) -> NewEvent {
    NewEvent {
        event_type: event_type.to_owned(),
        schema,
        data: RawValue::from_string(data.to_owned()).unwrap(),
    }
}

/// One command's events.
pub(crate) fn commit(events: Vec<NewEvent>) -> NewCommit {
    let command_id = Id::from(Uuid::now_v7());
    let metadata = CommandMetadata {
        fingerprint: Fingerprint::of(&[command_id.as_str().as_bytes()]),
        correlation_id: command_id.clone(),
        causation_id: None,
        actor: Id::new("tester").unwrap(),
        trace_parent: None,
        command_id,
    };
    NewCommit { metadata, events }
}

/// Refuses a command on the stream, and records that.
pub(crate) async fn refuse(store: &EventStore, stream: &StreamId) -> CommandResult {
    const ANY: Model<(), ()> = Model {
        initial: || (),
        evolve: |(), ()| (),
        encode: |()| unreachable!(),
        decode: |_| Ok(()),
        snapshot: None,
    };
    let handler = CommandHandler::new(store.clone(), ANY);
    let request = CommandRequest::new(stream.clone(), commit(Vec::new()).metadata);
    handler
        .handle_recording_refusals(request, |()| Err("it cannot be"), |_| "impossible")
        .await
        .unwrap()
}

/// Writes one stream.
pub(crate) struct Writer {
    store: EventStore,
    head: Head,
}

impl Writer {
    pub(crate) fn new(store: &EventStore, stream: &StreamId) -> Self {
        Self { store: store.clone(), head: Head::empty(stream) }
    }

    /// Appends the commits as one batch.
    pub(crate) async fn batch(&mut self, commits: Vec<NewCommit>) -> Batch {
        let appended = self.store.append(&self.head, commits).await.unwrap();
        self.head = appended.head;
        appended.batch
    }

    /// Appends one commit.
    pub(crate) async fn append(&mut self, events: Vec<NewEvent>) -> Batch {
        self.batch(vec![commit(events)]).await
    }
}

/// Writes a stream, each event a commit of its own. The batches.
pub(crate) async fn write(
    store: &EventStore,
    stream: &StreamId,
    events: &[&dyn Stored],
) -> Vec<Batch> {
    let mut writer = Writer::new(store, stream);
    let mut batches = Vec::new();
    for event in events {
        batches.push(writer.append(vec![event.stored()]).await);
    }
    batches
}
