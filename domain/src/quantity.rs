//! Numbers of copies: in an order, and in stock.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::whole_number::WholeNumber;

/// Copies of one book in one order: 1 to 1,000.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(try_from = "WholeNumber")]
#[schema(value_type = u32, minimum = 1, maximum = 1000)]
pub struct OrderQuantity(u32);

/// Why a number is no [`OrderQuantity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an order quantity must be from 1 to 1,000 copies, not {given}")]
pub struct OrderQuantityError {
    /// The input.
    pub given: i128,
}

impl OrderQuantity {
    /// The most copies of one order line.
    pub const MAX: u32 = 1_000;

    /// Checks the number of copies.
    ///
    /// # Errors
    /// If it is not from 1 to 1,000.
    pub fn new(copies: impl Into<i128>) -> Result<Self, OrderQuantityError> {
        let given = copies.into();
        within(given, Self::MAX).map(Self).ok_or(OrderQuantityError { given })
    }

    /// The number of copies.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// Copies of one book in one movement of stock: 1 to 1,000,000.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(try_from = "WholeNumber")]
#[schema(value_type = u32, minimum = 1, maximum = 1_000_000)]
pub struct StockQuantity(u32);

/// Why a number is no [`StockQuantity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a stock quantity must be from 1 to 1,000,000 copies, not {given}")]
pub struct StockQuantityError {
    /// The input.
    pub given: i128,
}

impl StockQuantity {
    /// The most copies of one movement.
    pub const MAX: u32 = 1_000_000;

    /// Checks the number of copies.
    ///
    /// # Errors
    /// If it is not from 1 to 1,000,000.
    pub fn new(copies: impl Into<i128>) -> Result<Self, StockQuantityError> {
        let given = copies.into();
        within(given, Self::MAX).map(Self).ok_or(StockQuantityError { given })
    }

    /// The number of copies.
    pub fn get(self) -> u32 {
        self.0
    }
}

/// The number, if it is from 1 to `max`.
fn within(given: i128, max: u32) -> Option<u32> {
    u32::try_from(given).ok().filter(|copies| (1..=max).contains(copies))
}

impl TryFrom<WholeNumber> for OrderQuantity {
    type Error = OrderQuantityError;

    fn try_from(number: WholeNumber) -> Result<Self, Self::Error> {
        Self::new(number.0)
    }
}

impl TryFrom<WholeNumber> for StockQuantity {
    type Error = StockQuantityError;

    fn try_from(number: WholeNumber) -> Result<Self, Self::Error> {
        Self::new(number.0)
    }
}

/// Every order quantity can be reserved, because its limit is smaller.
impl From<OrderQuantity> for StockQuantity {
    fn from(ordered: OrderQuantity) -> Self {
        Self(ordered.0)
    }
}

impl fmt::Display for OrderQuantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for StockQuantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod specs {
    use super::{OrderQuantity, StockQuantity};
    use crate::samples::{accepted, refused};

    #[test]
    fn an_order_is_for_1_to_1000_copies() {
        accepted::<OrderQuantity>("1");
        accepted::<OrderQuantity>("1000");
        refused::<OrderQuantity>("0", "an order quantity must be from 1 to 1,000 copies, not 0");
        refused::<OrderQuantity>(
            "1001",
            "an order quantity must be from 1 to 1,000 copies, not 1001",
        );
        refused::<OrderQuantity>("-1", "an order quantity must be from 1 to 1,000 copies, not -1");
        refused::<OrderQuantity>(
            "18446744073709551615",
            "an order quantity must be from 1 to 1,000 copies, not 18446744073709551615",
        );
    }

    #[test]
    fn a_movement_of_stock_is_of_1_to_1000000_copies() {
        accepted::<StockQuantity>("1");
        accepted::<StockQuantity>("1000000");
        refused::<StockQuantity>("0", "a stock quantity must be from 1 to 1,000,000 copies, not 0");
        refused::<StockQuantity>(
            "1000001",
            "a stock quantity must be from 1 to 1,000,000 copies, not 1000001",
        );
        refused::<StockQuantity>(
            "-5",
            "a stock quantity must be from 1 to 1,000,000 copies, not -5",
        );
    }

    #[test]
    fn only_whole_numbers_are_quantities() {
        assert_eq!(
            serde_json::from_str::<OrderQuantity>("2.0").unwrap().get(),
            2,
            "as JSON Schema says"
        );
        refused::<OrderQuantity>(
            "1.5",
            "invalid type: floating point `1.5`, expected a whole number",
        );
        refused::<OrderQuantity>(
            "1e30",
            "invalid type: floating point `1e+30`, expected a whole number",
        );
        refused::<OrderQuantity>(
            "-2.0",
            "an order quantity must be from 1 to 1,000 copies, not -2",
        );
        refused::<OrderQuantity>(r#""2""#, "invalid type: string \"2\", expected a whole number");
        refused::<OrderQuantity>("null", "invalid type: null, expected a whole number");
        refused::<StockQuantity>("true", "invalid type: boolean `true`, expected a whole number");
    }

    #[test]
    fn the_largest_order_can_be_reserved() {
        let ordered = OrderQuantity::new(OrderQuantity::MAX).unwrap();
        assert_eq!(StockQuantity::new(ordered.get()), Ok(StockQuantity::from(ordered)));
    }
}
