//! The pure fold: the expected read models, computed from the store by other code than the
//! projector's.

use chrono::{DateTime, NaiveDate, Utc};
use domain::order::{self, Order, OrderEvent};
use domain::read_models::bestsellers::BestsellerRow;
use domain::read_models::orders::OrderRow;
use domain::read_models::stock::StockRow;
use domain::stock::{self, Stock, StockEvent};
use eventstore::{Commit, Consistency, EventStore, Item, StreamId, time_text};
use serde_json::json;
use std::collections::BTreeMap;

/// The read models of the shop.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct ReadModel {
    /// By stream: version, order and place in its list.
    orders: BTreeMap<String, (u64, OrderRow, Place)>,
    /// By stream.
    stock: BTreeMap<String, (u64, StockRow)>,
    /// By day and book; books without sales are left out.
    sales: BTreeMap<(NaiveDate, String), (BestsellerRow, Place)>,
    /// The version of every order stream that sales have counted.
    fences: BTreeMap<String, u64>,
}

/// A list and a rank in it.
type Place = (String, String);

impl ReadModel {
    /// The fold of whole streams.
    pub(crate) async fn of_streams<'a>(
        store: &EventStore,
        streams: impl IntoIterator<Item = &'a StreamId>,
    ) -> Self {
        let mut model = Self::default();
        for stream in streams {
            let loaded = store.load(stream, Consistency::Strong).await.unwrap();
            let commits: Vec<Commit> =
                loaded.batches.into_iter().flat_map(|batch| batch.commits).collect();
            model.add(stream, &commits, u64::MAX);
        }
        model
    }

    /// Adds the fold of a stream's events up to a version.
    pub(crate) fn add(&mut self, stream: &StreamId, commits: &[Commit], up_to: u64) {
        match stream.category() {
            order::CATEGORY => self.add_order(stream, commits, up_to),
            stock::CATEGORY => self.add_stock(stream, commits, up_to),
            other => panic!("no read model follows {other}"),
        }
    }

    fn add_order(&mut self, stream: &StreamId, commits: &[Commit], up_to: u64) {
        let events: Vec<(u64, DateTime<Utc>, OrderEvent)> = decoded(commits, up_to);
        let Some(version) = reached(commits, up_to) else { return };
        self.fences.insert(stream.to_string(), version);
        let Some((_, updated_at, _)) = events.last().cloned() else { return };
        let placed_at = events[0].1;
        let order = events
            .iter()
            .fold(Order::default(), |order, (_, _, event)| order::evolve(order, event));
        let details = order.details().unwrap().clone();
        let place = (
            format!("customer/{}", details.customer_id.as_str()),
            format!("{}#{}", time_text(placed_at), stream.key()),
        );
        let row = OrderRow {
            status: order.status().unwrap(),
            details: details.clone(),
            reason: order.reason().cloned(),
            tracking_code: order.tracking_code().cloned(),
            placed_at,
            updated_at,
        };
        self.orders.insert(stream.to_string(), (version, row, place));
        if !matches!(order, Order::Rejected { .. } | Order::Cancelled { .. }) {
            for line in &details.lines {
                self.sell(placed_at.date_naive(), line, details.currency.as_str());
            }
        }
    }

    fn sell(&mut self, day: NaiveDate, line: &domain::OrderLine, currency: &str) {
        let isbn = line.isbn.to_string();
        let (row, place) = self.sales.entry((day, isbn.clone())).or_default();
        row.isbn.clone_from(&isbn);
        row.copies += i64::from(line.quantity.get());
        *row.revenue_minor.entry(currency.to_owned()).or_default() +=
            i64::try_from(line.total_minor()).unwrap();
        row.revenue_minor.retain(|_, revenue| *revenue != 0);
        *place = (format!("day/{day}"), format!("{:012}#{isbn}", row.copies));
    }

    fn add_stock(&mut self, stream: &StreamId, commits: &[Commit], up_to: u64) {
        let events: Vec<(u64, DateTime<Utc>, StockEvent)> = decoded(commits, up_to);
        let Some(version) = reached(commits, up_to).filter(|_| !events.is_empty()) else { return };
        let stock = events
            .iter()
            .fold(Stock::default(), |stock, (_, _, event)| stock::evolve(stock, event));
        let row = StockRow { on_hand: stock.on_hand().into(), reserved: stock.reserved().into() };
        self.stock.insert(stream.to_string(), (version, row));
    }

    /// Reads the rows of the projections with that suffix.
    pub(crate) fn of_rows(rows: &[Item], suffix: &str) -> Self {
        let mut model = Self::default();
        for item in rows {
            let (projection, row) = text(item, "row").unwrap().split_once('/').unwrap();
            let (name, _generation) = projection.rsplit_once('.').unwrap();
            if text(item, "data") == Some("null") && !row.starts_with("fence/") {
                // A stream whose events are all the store's own.
                continue;
            }
            match name.strip_suffix(suffix) {
                Some("orders") => model.take_order(row, item),
                Some("stock") => {
                    model.stock.insert(row.to_owned(), (version(item), data(item)));
                }
                Some("bestsellers") => model.take_bestsellers(row, item),
                _ => {}
            }
        }
        model
    }

    fn take_order(&mut self, row: &str, item: &Item) {
        let place = place(item).expect("every order is listed");
        self.orders.insert(row.to_owned(), (version(item), data(item), place));
    }

    fn take_bestsellers(&mut self, row: &str, item: &Item) {
        if let Some(stream) = row.strip_prefix("fence/") {
            self.fences.insert(stream.to_owned(), version(item));
            return;
        }
        let (day, isbn) = row.strip_prefix("day/").unwrap().split_once('/').unwrap();
        let book: BestsellerRow = data(item);
        match place(item) {
            Some(place) => {
                drop(self.sales.insert((day.parse().unwrap(), isbn.to_owned()), (book, place)))
            }
            None => {
                assert!(book.copies == 0 && book.revenue_minor.is_empty(), "{book:?} is not listed")
            }
        }
    }

    /// Its size, to distinguish a full read model from an empty one.
    pub(crate) fn len(&self) -> usize {
        self.orders.len() + self.stock.len() + self.sales.len()
    }

    /// The version that the projection has applied of the stream.
    pub(crate) fn applied(&self, projection: &str, stream: &StreamId) -> Option<u64> {
        match projection {
            "orders" => self.orders.get(stream.as_str()).map(|(version, ..)| *version),
            "stock" => self.stock.get(stream.as_str()).map(|(version, _)| *version),
            _ => self.fences.get(stream.as_str()).copied(),
        }
    }

    /// How many copies are on hand and reserved.
    pub(crate) fn stock_of(&self, stream: &StreamId) -> Option<(u64, u64)> {
        let (_, row) = self.stock.get(stream.as_str())?;
        Some((row.on_hand, row.reserved))
    }

    /// Without a stream's rows; its sales stay.
    pub(crate) fn without(mut self, stream: &StreamId) -> Self {
        self.orders.remove(stream.as_str());
        self.stock.remove(stream.as_str());
        self
    }

    /// Only the rows of one projection.
    pub(crate) fn only(self, projection: &str) -> Self {
        match projection {
            "orders" => Self { orders: self.orders, ..Self::default() },
            "stock" => Self { stock: self.stock, ..Self::default() },
            _ => Self { sales: self.sales, fences: self.fences, ..Self::default() },
        }
    }
}

/// The version of the last event up to that version, of any type.
fn reached(commits: &[Commit], up_to: u64) -> Option<u64> {
    let events = commits.iter().flat_map(|commit| &commit.events);
    events.map(|event| event.version).filter(|version| *version <= up_to).max()
}

/// The events up to that version, without the store's own.
fn decoded<E: serde::de::DeserializeOwned>(
    commits: &[Commit],
    up_to: u64,
) -> Vec<(u64, DateTime<Utc>, E)> {
    let events = commits
        .iter()
        .flat_map(|commit| commit.events.iter().map(|event| (commit.recorded_at, event)));
    let events = events.filter(|(_, event)| event.version <= up_to && !event.body.is_of_store());
    let decoded = events.map(|(at, event)| {
        let json = json!({"type": event.body.event_type, "data": event.body.data});
        (event.version, at, serde_json::from_value(json).unwrap())
    });
    decoded.collect()
}

fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name).map(|value| value.as_s().unwrap().as_str())
}

fn version(item: &Item) -> u64 {
    item["version"].as_n().unwrap().parse().unwrap()
}

fn data<T: serde::de::DeserializeOwned>(item: &Item) -> T {
    serde_json::from_str(text(item, "data").unwrap()).unwrap()
}

/// Where the item is listed, without the projection's own prefix.
fn place(item: &Item) -> Option<Place> {
    let (_, list) = text(item, "list")?.split_once('/').unwrap();
    Some((list.to_owned(), text(item, "rank").unwrap().to_owned()))
}
