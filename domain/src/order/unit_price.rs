//! The price of one copy.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::whole_number::WholeNumber;

/// The price of one copy in minor units of the order's currency (cents for EUR): 0 to
/// 1,000,000,000.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(try_from = "WholeNumber")]
#[schema(value_type = u32, minimum = 0, maximum = 1_000_000_000)]
pub struct UnitPriceMinor(u32);

/// Why a number is no [`UnitPriceMinor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a unit price must be from 0 to 1,000,000,000 minor units, not {given}")]
pub struct UnitPriceMinorError {
    /// The input.
    pub given: i128,
}

impl UnitPriceMinor {
    /// The highest price of one copy, in minor units.
    pub const MAX: u32 = 1_000_000_000;

    /// Checks the price.
    ///
    /// # Errors
    /// If it is not from 0 to 1,000,000,000.
    pub fn new(minor_units: impl Into<i128>) -> Result<Self, UnitPriceMinorError> {
        let given = minor_units.into();
        let price = u32::try_from(given).ok().filter(|price| *price <= Self::MAX);
        price.map(Self).ok_or(UnitPriceMinorError { given })
    }

    /// The price in minor units.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<WholeNumber> for UnitPriceMinor {
    type Error = UnitPriceMinorError;

    fn try_from(number: WholeNumber) -> Result<Self, Self::Error> {
        Self::new(number.0)
    }
}

impl fmt::Display for UnitPriceMinor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod specs {
    use super::UnitPriceMinor;
    use crate::samples::{accepted, refused};

    #[test]
    fn a_price_is_from_0_to_a_milliard_of_minor_units() {
        accepted::<UnitPriceMinor>("0");
        accepted::<UnitPriceMinor>("1000000000");
        refused::<UnitPriceMinor>(
            "-1",
            "a unit price must be from 0 to 1,000,000,000 minor units, not -1",
        );
        refused::<UnitPriceMinor>(
            "1000000001",
            "a unit price must be from 0 to 1,000,000,000 minor units, not 1000000001",
        );
        refused::<UnitPriceMinor>(
            "19.99",
            "invalid type: floating point `19.99`, expected a whole number",
        );
    }
}
