//! Bestsellers: copies and revenue of each book on each day, over all orders.
//!
//! An order counts on the day it was placed, until it is rejected or cancelled. Its contribution is
//! stored with its position, so that it can be subtracted without reading the order.

use crate::order::OrderEvent;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A book's sales on one day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BestsellerRow {
    /// The book.
    pub isbn: String,
    /// Copies in orders that are not rejected or cancelled.
    pub copies: i64,
    /// Their price in minor units, by currency.
    pub revenue_minor: BTreeMap<String, i64>,
}

/// What one order line adds to a row or subtracts from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    day: NaiveDate,
    isbn: String,
    copies: i64,
    currency: String,
    revenue_minor: i64,
}

impl Sale {
    fn negated(self) -> Self {
        Self { copies: -self.copies, revenue_minor: -self.revenue_minor, ..self }
    }

    /// The key of its row.
    pub fn row(&self) -> String {
        format!("{}/{}", self.list(), self.isbn)
    }

    /// The list of that row.
    pub fn list(&self) -> String {
        day_list(self.day)
    }
}

impl BestsellerRow {
    /// Its rank in the list of its day; none without sold copies.
    pub fn rank(&self) -> Option<String> {
        // With twelve digits, texts sort as the numbers do. No day sells more copies.
        (self.copies > 0).then(|| format!("{:012}#{}", self.copies, self.isbn))
    }
}

/// The list of a day.
pub fn day_list(day: NaiveDate) -> String {
    format!("day/{day}")
}

/// The contribution of the order after the event, and the change to the rows.
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
            (Vec::new(), counted.into_iter().map(Sale::negated).collect())
        }
        OrderEvent::OrderConfirmed {} | OrderEvent::OrderShipped { .. } => (counted, Vec::new()),
    }
}

/// The row after a change.
pub fn merge(row: Option<BestsellerRow>, sale: &Sale) -> BestsellerRow {
    let mut row = row
        .unwrap_or_else(|| BestsellerRow { isbn: sale.isbn.clone(), ..BestsellerRow::default() });
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
        let line =
            |isbn, quantity| json!({"isbn": isbn, "quantity": quantity, "unit_price_minor": 1000});
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
        let rows = given(vec![
            vec![(placed(2), day(1))],
            vec![(placed(3), day(1))],
            vec![(placed(9), day(2))],
        ]);
        assert_eq!(rows["day/2026-11-01/9780306406157"], book(5));
        assert_eq!(rows["day/2026-11-02/9780306406157"], book(9));
    }

    #[test]
    fn a_cancelled_or_rejected_order_is_subtracted_from_its_day() {
        for event_type in ["OrderCancelled", "OrderRejected"] {
            let end = event(event_type, json!({"reason": "r"}));
            let rows =
                given(vec![vec![(placed(2), day(1)), (end, day(2))], vec![(placed(3), day(1))]]);
            assert_eq!(rows["day/2026-11-01/9780306406157"], book(3));
            assert_eq!(rows.len(), 2);
        }
    }

    #[test]
    fn a_book_without_sold_copies_is_not_listed() {
        let listed = |copies| book(copies).rank().is_some();
        assert_eq!((listed(1), listed(0)), (true, false));
    }
}
