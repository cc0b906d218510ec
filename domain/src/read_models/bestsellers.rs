//! Bestsellers: copies and revenue of each book a day, over all orders.
//!
//! An order counts on the day it was placed; if it is rejected or cancelled, it counts no more. What an order added is
//! remembered beside its fence, so that it can be taken back without reading the order.

use crate::order::OrderEvent;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A book's sales on one day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BestsellerRow {
    /// The book.
    pub isbn: String,
    /// Copies in orders that stand.
    pub copies: i64,
    /// What they cost, in minor units, by currency.
    pub revenue_minor: BTreeMap<String, i64>,
}

/// What one line of an order adds to a row, or takes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    day: NaiveDate,
    isbn: String,
    copies: i64,
    currency: String,
    revenue_minor: i64,
}

impl Sale {
    fn taken_back(self) -> Self {
        Self { copies: -self.copies, revenue_minor: -self.revenue_minor, ..self }
    }

    /// The key of the row that it changes.
    pub fn row(&self) -> String {
        format!("{}/{}", self.list(), self.isbn)
    }

    /// The list in which that row is.
    pub fn list(&self) -> String {
        day_list(self.day)
    }
}

impl BestsellerRow {
    /// Its rank in the list of its day; none for a book that is not sold in the end.
    pub fn rank(&self) -> Option<String> {
        // Twelve digits keep the order of numbers in the order of texts: more copies than a day can sell.
        (self.copies > 0).then(|| format!("{:012}#{}", self.copies, self.isbn))
    }
}

/// The list of a day's books.
pub fn day_list(day: NaiveDate) -> String {
    format!("day/{day}")
}

/// What the order counts for after the event, and what that changes.
pub fn fold(counted: Vec<Sale>, event: &OrderEvent, day: NaiveDate) -> (Vec<Sale>, Vec<Sale>) {
    match event {
        OrderEvent::OrderPlaced(details) => {
            let sales = details.lines.iter().map(|line| Sale {
                day,
                isbn: line.isbn.to_string(),
                copies: line.quantity.get().into(),
                currency: details.currency.to_string(),
                revenue_minor: i64::try_from(line.total_minor()).unwrap_or(i64::MAX),
            });
            let sales: Vec<Sale> = sales.collect();
            (sales.clone(), sales)
        }
        OrderEvent::OrderRejected { .. } | OrderEvent::OrderCancelled { .. } => {
            (Vec::new(), counted.into_iter().map(Sale::taken_back).collect())
        }
        OrderEvent::OrderConfirmed {} | OrderEvent::OrderShipped { .. } => (counted, Vec::new()),
    }
}

/// The row with what one line of an order adds or takes back.
pub fn merge(row: Option<BestsellerRow>, sale: &Sale) -> BestsellerRow {
    let mut row = row.unwrap_or_else(|| BestsellerRow { isbn: sale.isbn.clone(), ..BestsellerRow::default() });
    row.copies += sale.copies;
    let revenue = row.revenue_minor.entry(sale.currency.clone()).or_default();
    *revenue += sale.revenue_minor;
    row.revenue_minor.retain(|_, revenue| *revenue != 0);
    row
}

#[cfg(test)]
mod specs {
    use super::*;
    use serde_json::{Value, json};

    fn day(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, day).unwrap()
    }

    fn event(event_type: &str, data: Value) -> OrderEvent {
        serde_json::from_value(json!({"type": event_type, "data": data})).unwrap()
    }

    fn placed(copies: u32) -> OrderEvent {
        let line = |isbn, quantity| json!({"isbn": isbn, "quantity": quantity, "unit_price_minor": 1000});
        let lines = [line("9780306406157", copies), line("9781861972712", 1)];
        event("OrderPlaced", json!({"customer_id": "c", "currency": "EUR", "lines": lines}))
    }

    /// Given the histories of orders, each event with its day; then the rows.
    fn given(orders: Vec<Vec<(OrderEvent, NaiveDate)>>) -> BTreeMap<String, BestsellerRow> {
        let mut rows = BTreeMap::new();
        for order in orders {
            let mut counted = Vec::new();
            for (event, day) in order {
                let (next, changes) = fold(counted, &event, day);
                counted = next;
                for sale in changes {
                    let row = merge(rows.remove(&sale.row()), &sale);
                    rows.insert(sale.row(), row);
                }
            }
        }
        rows
    }

    fn book(copies: i64) -> BestsellerRow {
        let revenue_minor = BTreeMap::from([("EUR".to_owned(), copies * 1000)]);
        BestsellerRow { isbn: "9780306406157".into(), copies, revenue_minor }
    }

    #[test]
    fn orders_of_a_day_add_up() {
        let rows = given(vec![vec![(placed(2), day(1))], vec![(placed(3), day(1))], vec![(placed(9), day(2))]]);
        assert_eq!(rows["day/2026-11-01/9780306406157"], book(5));
        assert_eq!(rows["day/2026-11-02/9780306406157"], book(9));
    }

    #[test]
    fn a_cancelled_or_rejected_order_is_taken_back_from_the_day_it_was_placed() {
        for event_type in ["OrderCancelled", "OrderRejected"] {
            let end = event(event_type, json!({"reason": "r"}));
            let rows = given(vec![vec![(placed(2), day(1)), (end, day(2))], vec![(placed(3), day(1))]]);
            assert_eq!(rows["day/2026-11-01/9780306406157"], book(3));
            assert_eq!(rows.len(), 2);
        }
    }

    #[test]
    fn a_book_that_nobody_bought_in_the_end_is_not_listed() {
        let listed = |copies| book(copies).rank().is_some();
        assert_eq!((listed(1), listed(0)), (true, false));
    }
}
