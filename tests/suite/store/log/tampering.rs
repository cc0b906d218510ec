//! A stream of six batches, and the changes that access to the table allows.

use crate::store::{Engine, Process, Table, new_commit, stream};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use eventstore::{Head, Item, StreamId};

/// A stream of nine events in eight commits in six batches: 1 | 2, 3 | 4 | 5-6 | 7 (large, so
/// compressed) | 8, 9.
pub(in crate::store) struct Victim {
    pub(in crate::store) table: Table,
    pub(in crate::store) process: Process,
    pub(in crate::store) stream: StreamId,
}

impl Victim {
    pub(in crate::store) async fn new(engine: &Engine) -> Self {
        let table = engine.table().await;
        let process = table.process();
        Self { table, process, stream: stream("victim") }.written_anew().await
    }

    /// A fresh stream of the same shape in the same table.
    pub(in crate::store) async fn another(self, key: &str) -> Self {
        Self { stream: stream(key), ..self }.written_anew().await
    }

    async fn written_anew(self) -> Self {
        write(&self.process, &self.stream).await;
        self
    }

    /// The item that begins at the version.
    pub(in crate::store) async fn item(&self, version: u64) -> Item {
        let version = AttributeValue::N(version.to_string());
        let items = self.table.items(&self.stream).await;
        items.into_iter().find(|item| item["version"] == version).unwrap()
    }

    /// Writes the item that begins at the version, changed.
    pub(in crate::store) async fn change(&self, version: u64, change: impl FnOnce(&mut Item)) {
        let mut item = self.item(version).await;
        change(&mut item);
        self.table.put(item).await;
    }
}

async fn write(process: &Process, stream: &StreamId) {
    let long = "long ".repeat(2_000);
    let batches = [
        vec![new_commit("a", &["one"])],
        vec![new_commit("b", &["two"]), new_commit("c", &["three"])],
        vec![new_commit("d", &["four"])],
        vec![new_commit("e", &["five", "six"])],
        vec![new_commit("f", &[&long])],
        vec![new_commit("g", &["eight"]), new_commit("h", &["nine"])],
    ];
    let mut head = Head::empty(stream);
    for batch in batches {
        head = process.append(&head, batch).await.head;
    }
    assert_eq!(head.version(), 9);
}

pub(in crate::store) fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(in crate::store) fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(in crate::store) fn bytes(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

/// Replaces text in the uncompressed commits of an item. It must occur exactly once.
pub(in crate::store) fn replace(from: &'static str, to: &'static str) -> impl FnOnce(&mut Item) {
    move |item| {
        let json = item["commits"].as_s().unwrap();
        assert_eq!(json.matches(from).count(), 1, "{from:?} in {json}");
        let changed = json.replace(from, to);
        item.insert("commits".into(), AttributeValue::S(changed));
    }
}

/// Sets or removes an attribute of an item.
pub(in crate::store) fn set(
    name: &'static str,
    value: Option<AttributeValue>,
) -> impl FnOnce(&mut Item) {
    move |item| {
        match value {
            Some(value) => item.insert(name.into(), value),
            None => item.remove(name),
        };
    }
}
