//! A whole number from JSON, before it is checked.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// Above 2⁵³ an `f64` does not represent every integer.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Any JSON integer. It has 128 bits, so that an error can quote every one.
/// As in JSON Schema, `1.0` is an integer; `1.5` and `"1"` are not.
pub(crate) struct WholeNumber(pub(crate) i128);

impl<'de> Deserialize<'de> for WholeNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(WholeNumberVisitor)
    }
}

struct WholeNumberVisitor;

impl Visitor<'_> for WholeNumberVisitor {
    type Value = WholeNumber;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E>(self, number: i64) -> Result<WholeNumber, E> {
        Ok(WholeNumber(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<WholeNumber, E> {
        Ok(WholeNumber(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<WholeNumber, E> {
        let whole = Some(number).filter(|number| number.fract() == 0.0 && number.abs() < MAX_EXACT);
        let digits = whole.and_then(|number| format!("{number:.0}").parse().ok());
        digits.map(WholeNumber).ok_or_else(|| E::invalid_type(Unexpected::Float(number), &self))
    }
}
