//! A whole number as JSON brings it, before any rule has looked at it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};

/// Any JSON integer. It is 128 bits wide so that each of them fits and can be named in the refusal;
/// `1.5`, `1.0` and `"1"` are no whole numbers here.
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
}
