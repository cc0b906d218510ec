//! Streams as callers name them.

use domain::{OrderId, order};
use eventstore::{InvalidStreamId, StreamId};
use serde::{Deserialize, Deserializer, de::Error};

/// The stream of that name. An order's id is read in either case, as in the paths of orders; streams have it in lower case.
///
/// # Errors
/// [`InvalidStreamId`] says which rule the text breaks.
pub fn named_stream(text: &str) -> Result<StreamId, InvalidStreamId> {
    let stream = StreamId::new(text)?;
    let order_id = Some(stream.key()).filter(|_| stream.category() == order::CATEGORY);
    match order_id.and_then(|key| OrderId::try_from(key.to_owned()).ok()) {
        Some(order_id) => StreamId::new(order::stream(order_id)),
        None => Ok(stream),
    }
}

/// The same in a body, where it may be left out.
pub(crate) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<StreamId>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| named_stream(&text).map_err(D::Error::custom)).transpose()
}

#[cfg(test)]
mod specs {
    use super::named_stream;

    #[test]
    fn only_an_orders_id_is_read_in_either_case() {
        let order = "order-6f0f7c1e-7a44-5c38-9c1b-0d8a4f1f2e11";
        for (given, named) in [
            (order, order),
            ("order-6F0F7C1E-7A44-5C38-9C1B-0D8A4F1F2E11", order),
            ("order-6F0F7C1E7A445C389C1B0D8A4F1F2E11", "order-6F0F7C1E7A445C389C1B0D8A4F1F2E11"),
            ("order-A", "order-A"),
            ("note-6F0F7C1E-7A44-5C38-9C1B-0D8A4F1F2E11", "note-6F0F7C1E-7A44-5C38-9C1B-0D8A4F1F2E11"),
        ] {
            assert_eq!(named_stream(given).unwrap().as_str(), named);
        }
        assert!(named_stream("Order-6f0f7c1e-7a44-5c38-9c1b-0d8a4f1f2e11").is_err());
    }
}
