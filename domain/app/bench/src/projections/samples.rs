//! Sample streams of the bookshop: orders with three events each, and books with many.

use bookshop::events;
use domain::order::{self, OrderDetails, OrderEvent};
use domain::stock::{self, StockEvent};
use domain::{Isbn, OrderId, OrderLine, OrderLines, OrderQuantity, StockQuantity, UnitPriceMinor};
use eventstore::{NewEvent, StreamId};
use std::error::Error;
use std::iter::zip;
use uuid::Uuid;

/// Titles. Each order has two of them.
const TITLES: u32 = 200;
const CUSTOMERS: u32 = 1_000;

/// Why a sample is not valid.
type SampleError = Box<dyn Error + Send + Sync>;

/// An order: placed, confirmed, shipped. Each call creates another stream.
pub(super) fn order(number: u32) -> Result<(StreamId, Vec<NewEvent>), SampleError> {
    let placed = OrderEvent::OrderPlaced(OrderDetails {
        customer_id: format!("customer-{}", number % CUSTOMERS).try_into()?,
        currency: "EUR".to_owned().try_into()?,
        lines: OrderLines::try_from(vec![line(number % TITLES)?, line((number + 1) % TITLES)?])?,
    });
    let shipped = OrderEvent::OrderShipped { tracking_code: format!("1Z{number:010}").try_into()? };
    let events = [placed, OrderEvent::OrderConfirmed {}, shipped];
    let stream = StreamId::new(order::stream(OrderId::new(Uuid::now_v7())))?;
    Ok((stream, events.iter().map(|event| events::ORDER.encode(event)).collect::<Result<_, _>>()?))
}

/// The stream of a book, the same in each call.
pub(super) fn book(number: u32) -> Result<StreamId, SampleError> {
    Ok(StreamId::new(stock::stream(&isbn(number)?))?)
}

/// An event of a book: copies are received, or reserved for an order.
pub(super) fn movement(book: u32, number: u64) -> Result<NewEvent, SampleError> {
    let quantity = StockQuantity::new(u32::try_from(1 + number % 5)?)?;
    let order_id = OrderId::new(Uuid::from_u128(u128::from(book) << 64 | u128::from(number)));
    let event = match number % 2 {
        0 => StockEvent::StockReceived { quantity },
        _ => StockEvent::StockReserved { order_id, quantity },
    };
    Ok(events::STOCK.encode(&event)?)
}

fn line(title: u32) -> Result<OrderLine, SampleError> {
    Ok(OrderLine {
        isbn: isbn(title)?,
        quantity: OrderQuantity::new(1 + title % 3)?,
        unit_price_minor: UnitPriceMinor::new(1_000 + title)?,
    })
}

/// The ISBN of the n-th title, check digit included.
fn isbn(title: u32) -> Result<Isbn, SampleError> {
    let digits = format!("978{title:09}");
    let weighted = zip(digits.bytes(), [1, 3].into_iter().cycle());
    let sum: u32 = weighted.map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    Ok(Isbn::try_from(format!("{digits}{}", (10 - sum % 10) % 10))?)
}
