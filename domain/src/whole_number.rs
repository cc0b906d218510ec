//! A whole number as JSON brings it, before any rule has looked at it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// Up to here a number with a fraction can have one: from here on not every integer has such a number.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Any JSON integer. It is 128 bits wide so that each of them fits and can be named in the refusal.
/// As JSON Schema says, `1.0` is an integer; `1.5` and `"1"` are none.
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
