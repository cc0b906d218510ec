//! The lines of an order: one for each book.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Isbn, OrderQuantity, UnitPriceMinor};

/// One book of an order. Part of the storage format of `OrderPlaced`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderLine {
    /// The book.
    pub isbn: Isbn,
    /// The number of copies.
    pub quantity: OrderQuantity,
    /// The price of one copy, in minor units of the order's currency.
    pub unit_price_minor: UnitPriceMinor,
}

impl OrderLine {
    /// The price of the whole line in minor units: at most 10¹².
    pub fn total_minor(&self) -> u64 {
        u64::from(self.quantity.get()) * u64::from(self.unit_price_minor.get())
    }
}

/// The lines of an order: 1 to 90, each for another book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "Vec<OrderLine>")]
#[schema(value_type = Vec<OrderLine>, min_items = 1, max_items = 90)]
pub struct OrderLines(Vec<OrderLine>);

/// Why lines are no [`OrderLines`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderLinesError {
    /// None, or more than 90.
    #[error("an order must have 1 to 90 lines, not {given}")]
    WrongCount {
        /// The number of lines.
        given: usize,
    },
    /// Two lines for one book.
    #[error("an order must name a book on one line only, but {isbn} is on two")]
    SameBookTwice {
        /// The book.
        isbn: Isbn,
    },
}

impl OrderLines {
    /// The most lines of an order. A multi-stream read model changes a row for each line in one
    /// transaction, and a transaction has at most 100 writes.
    pub const MAX: usize = 90;

    /// The lines, in their order.
    pub fn as_slice(&self) -> &[OrderLine] {
        &self.0
    }

    /// Iterates over the lines.
    pub fn iter(&self) -> std::slice::Iter<'_, OrderLine> {
        self.0.iter()
    }

    /// The price of all lines in minor units: at most 9 · 10¹³, so it is exact in JavaScript.
    pub fn total_minor(&self) -> u64 {
        self.iter().map(OrderLine::total_minor).sum()
    }
}

impl TryFrom<Vec<OrderLine>> for OrderLines {
    type Error = OrderLinesError;

    fn try_from(lines: Vec<OrderLine>) -> Result<Self, Self::Error> {
        if !(1..=Self::MAX).contains(&lines.len()) {
            return Err(OrderLinesError::WrongCount { given: lines.len() });
        }
        let mut books = BTreeSet::new();
        match lines.iter().find(|line| !books.insert(&line.isbn)) {
            Some(line) => Err(OrderLinesError::SameBookTwice { isbn: line.isbn.clone() }),
            None => Ok(Self(lines)),
        }
    }
}

impl<'a> IntoIterator for &'a OrderLines {
    type Item = &'a OrderLine;
    type IntoIter = std::slice::Iter<'a, OrderLine>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod specs {
    use super::{OrderLines, OrderLinesError};
    use crate::samples::{isbn, line};
    use crate::{OrderQuantity, UnitPriceMinor};

    #[test]
    fn an_order_has_1_to_90_lines() {
        let lines = |count: u32| {
            OrderLines::try_from((0..count).map(|book| line(book, 1, 1)).collect::<Vec<_>>())
        };
        assert_eq!(lines(0), Err(OrderLinesError::WrongCount { given: 0 }));
        assert_eq!(lines(1).unwrap().as_slice().len(), 1);
        assert_eq!(lines(90).unwrap().as_slice().len(), 90);
        assert_eq!(lines(91), Err(OrderLinesError::WrongCount { given: 91 }));
        assert_eq!(lines(91).unwrap_err().to_string(), "an order must have 1 to 90 lines, not 91");
    }

    #[test]
    fn a_book_is_on_one_line_only() {
        let twice =
            OrderLines::try_from(vec![line(1, 1, 1), line(2, 1, 1), line(1, 9, 9)]).unwrap_err();
        assert_eq!(twice, OrderLinesError::SameBookTwice { isbn: isbn(1) });
        assert_eq!(
            twice.to_string(),
            format!("an order must name a book on one line only, but {} is on two", isbn(1))
        );
    }

    #[test]
    fn the_dearest_order_has_an_exact_total() {
        let dearest = (0..90)
            .map(|book| line(book, OrderQuantity::MAX, UnitPriceMinor::MAX))
            .collect::<Vec<_>>();
        let total_minor = OrderLines::try_from(dearest).unwrap().total_minor();
        assert_eq!(total_minor, 90 * 1_000 * 1_000_000_000);
        assert!(total_minor < 1 << 53, "JavaScript would round it");
    }
}
