//! A row of a read model as one item of the table.

use crate::tables::position::{Position, hash_text, read_hash};
use aws_sdk_dynamodb::types::AttributeValue;
use eventstore::{Hash, StreamId};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) const ROW: &str = "row";
pub(crate) const VERSION: &str = "version";
pub(crate) const HASH: &str = "hash";
pub(crate) const LIST: &str = "list";
pub(crate) const RANK: &str = "rank";
const DATA: &str = "data";

pub(crate) type Item = HashMap<String, AttributeValue>;

/// The content of a row, as a fold returns it.
#[derive(Debug, Clone, PartialEq)]
pub struct RowData {
    /// The data; null before an event has set any.
    pub data: serde_json::Value,
    /// Its place in a list, if it is listed.
    pub listing: Option<Listing>,
}

/// The row's place in a list that can be read in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The list's name within the projection, such as `customer/c-17`.
    pub list: String,
    /// Decides the order, as text; unique in the list.
    pub rank: String,
}

/// A stored row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The whole key: projection, generation and the row's own.
    pub key: String,
    /// The applied version of the stream. For a multi-stream row, how often it was written.
    pub version: u64,
    /// The hash of the commit with that version; none in a multi-stream row.
    pub hash: Option<Hash>,
    /// Its data and its place in a list.
    pub content: RowData,
}

/// An item of the read-model table is not in the form that this library writes.
#[derive(Debug, Clone, thiserror::Error)]
#[error("read-model row {key:?} cannot be read")]
pub struct UnreadableRow {
    /// The row's key.
    pub key: String,
    /// Why not, if its data are no JSON of the expected form.
    #[source]
    pub source: Option<Arc<serde_json::Error>>,
}

/// One generation of a projection: the prefix of all its keys, so that generations share no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Generation {
    pub(crate) projection: &'static str,
    pub(crate) number: u32,
}

impl Generation {
    /// The whole key of a row, or the whole name of a list.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}.{}/{name}", self.projection, self.number)
    }

    /// The name from which [`key`](Self::key) made the key.
    pub(crate) fn name<'a>(&self, key: &'a str) -> Option<&'a str> {
        let rest = key.strip_prefix(self.projection)?.strip_prefix('.')?;
        rest.strip_prefix(&self.number.to_string())?.strip_prefix('/')
    }
}

impl Row {
    /// The generation's row of that name, listed in the generation's own list.
    pub(crate) fn of(
        generation: Generation,
        name: &str,
        version: u64,
        mut content: RowData,
    ) -> Self {
        if let Some(listing) = &mut content.listing {
            listing.list = generation.key(&listing.list);
        }
        Self { key: generation.key(name), version, hash: None, content }
    }

    /// The same for a row with a position in one stream.
    pub(crate) fn at(
        generation: Generation,
        name: &str,
        position: Position,
        content: RowData,
    ) -> Self {
        Self { hash: Some(position.hash), ..Self::of(generation, name, position.version, content) }
    }

    /// The row's position in its stream.
    ///
    /// # Errors
    /// [`UnreadableRow`] if it has no hash: an old program wrote it.
    pub(crate) fn position(&self) -> Result<Position, UnreadableRow> {
        let position = self.hash.map(|hash| Position { version: self.version, hash });
        position.ok_or_else(|| UnreadableRow { key: self.key.clone(), source: None })
    }

    /// The position of a row, or the beginning of the stream without one.
    pub(crate) fn position_in(
        row: Option<&Self>,
        stream: &StreamId,
    ) -> Result<Position, UnreadableRow> {
        row.map_or_else(|| Ok(Position::beginning(stream)), Self::position)
    }

    /// The content, with the name of its list as the fold gave it.
    pub(crate) fn content_in(&self, generation: Generation) -> RowData {
        let mut content = self.content.clone();
        if let Some(listing) = &mut content.listing
            && let Some(list) = generation.name(&listing.list).map(str::to_owned)
        {
            listing.list = list;
        }
        content
    }

    /// The row's data; none if the row has only a position, because the stream's events changed
    /// nothing.
    pub(crate) fn data(&self) -> Option<&serde_json::Value> {
        Some(&self.content.data).filter(|data| !data.is_null())
    }

    /// Decodes the data.
    ///
    /// # Errors
    /// [`UnreadableRow`] if another program wrote them.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, UnreadableRow> {
        let read = serde_json::from_value(self.content.data.clone());
        read.map_err(|error| UnreadableRow { key: self.key.clone(), source: Some(Arc::new(error)) })
    }

    pub(crate) fn to_item(&self) -> Item {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let mut item = Item::from([
            (ROW.to_owned(), text(&self.key)),
            (VERSION.to_owned(), AttributeValue::N(self.version.to_string())),
            (DATA.to_owned(), text(&self.content.data.to_string())),
        ]);
        if let Some(hash) = &self.hash {
            item.insert(HASH.to_owned(), text(&hash_text(hash)));
        }
        if let Some(Listing { list, rank }) = &self.content.listing {
            item.insert(LIST.to_owned(), text(list));
            item.insert(RANK.to_owned(), text(rank));
        }
        item
    }

    pub(crate) fn from_item(item: &Item) -> Result<Self, UnreadableRow> {
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
        let key = text(ROW).unwrap_or_default();
        let version = item
            .get(VERSION)
            .and_then(|value| value.as_n().ok())
            .and_then(|number| number.parse().ok());
        let (Some(version), Some(json)) = (version, text(DATA)) else {
            return Err(UnreadableRow { key, source: None });
        };
        let data = serde_json::from_str(&json);
        let data = data
            .map_err(|error| UnreadableRow { key: key.clone(), source: Some(Arc::new(error)) })?;
        let hash = match item.get(HASH) {
            None => None,
            Some(_) => match text(HASH).as_deref().and_then(read_hash) {
                None => return Err(UnreadableRow { key, source: None }),
                hash => hash,
            },
        };
        let listing = text(LIST).zip(text(RANK)).map(|(list, rank)| Listing { list, rank });
        Ok(Self { key, version, hash, content: RowData { data, listing } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(listing: Option<Listing>) -> Row {
        let content = RowData { data: json!({"a": [1, null]}), listing };
        Row { key: "orders.1/order-1".into(), version: 3, hash: Some(Hash::of(&[b"3"])), content }
    }

    #[test]
    fn a_row_survives_as_an_item() {
        for row in
            [row(None), row(Some(Listing { list: "customer/c".into(), rank: "2026#1".into() }))]
        {
            assert_eq!(Row::from_item(&row.to_item()).unwrap(), row);
            let without = Row { hash: None, ..row };
            assert_eq!(Row::from_item(&without.to_item()).unwrap(), without);
        }
    }

    #[test]
    fn a_row_returns_the_content_that_it_was_made_of() {
        let generation = Generation { projection: "orders", number: 7 };
        for listing in [None, Some(Listing { list: "customer/c".into(), rank: "2026#1".into() })] {
            let content = RowData { data: json!(1), listing };
            let row = Row::of(generation, "order-1", 3, content.clone());
            assert_eq!(row.content_in(generation), content);
        }
    }

    #[test]
    fn a_generation_knows_its_own_keys_only() {
        let generation = Generation { projection: "orders", number: 1 };
        assert_eq!(generation.name(&generation.key("order-1")), Some("order-1"));
        for foreign in
            ["orders.10/order-1", "orders-2.1/order-1", "orders/order-1", "stock.1/order-1"]
        {
            assert_eq!(generation.name(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_hash_adds_47_bytes_to_a_row() {
        let size = |row: Row| {
            let item = row.to_item();
            item.iter()
                .map(|(name, value)| name.len() + value.as_s().map_or(0, String::len))
                .sum::<usize>()
        };
        assert_eq!(size(row(None)) - size(Row { hash: None, ..row(None) }), 47);
    }

    #[test]
    fn a_row_without_a_hash_has_no_position() {
        assert_eq!(row(None).position().unwrap().version, 3);
        assert_eq!(Row { hash: None, ..row(None) }.position().unwrap_err().key, "orders.1/order-1");
    }

    #[test]
    fn an_unreadable_item_is_named() {
        let mut item = row(None).to_item();
        item.insert(DATA.into(), AttributeValue::S("{".into()));
        assert_eq!(Row::from_item(&item).unwrap_err().key, "orders.1/order-1");
        let mut hashless = row(None).to_item();
        hashless.insert(HASH.into(), AttributeValue::S("no hash".into()));
        assert_eq!(Row::from_item(&hashless).unwrap_err().key, "orders.1/order-1");
        item.remove(VERSION);
        assert!(Row::from_item(&item).unwrap_err().source.is_none());
    }
}
