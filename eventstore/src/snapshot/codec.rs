//! How the state of a model is kept as a snapshot.

use crate::Hash;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How a model's state is kept as a snapshot.
pub struct SnapshotCodec<S> {
    /// A name for the state's shape and for what `evolve` makes of events, like `order/1`: change it when either changes
    /// its meaning. A snapshot of another name is passed over; a stream has one, so only one model with snapshots may handle
    /// its commands.
    pub shape: &'static str,
    /// The state as JSON text: the same state, the same JSON (so no `HashMap` as a list).
    pub encode: fn(&S) -> serde_json::Result<String>,
    /// The state from what `encode` wrote.
    pub decode: fn(&str) -> serde_json::Result<S>,
}

impl<S> Clone for SnapshotCodec<S> {
    fn clone(&self) -> Self {
        let Self { shape, encode, decode } = self;
        Self { shape, encode: *encode, decode: *decode }
    }
}

impl<S: Serialize + DeserializeOwned> SnapshotCodec<S> {
    /// The state as serde writes it.
    pub const fn json(shape: &'static str) -> Self {
        Self { shape, encode: |state| serde_json::to_string(state), decode: |text| serde_json::from_str(text) }
    }
}

impl<S> SnapshotCodec<S> {
    /// What snapshots of this program bear: the shape's name, and a hash of the JSON of the state of the empty stream,
    /// which changes with the fields of a struct though nobody thinks of the name.
    pub(crate) fn fingerprint(&self, initial: &S) -> Option<String> {
        let empty = (self.encode)(initial).ok()?;
        let hash: String = Hash::of(&[empty.as_bytes()]).to_string().chars().take(16).collect();
        Some(format!("{}:{hash}", self.shape))
    }

    /// The state, if it is written again as it was read: a field that this program does not know, or has to make up, is
    /// another shape that somebody forgot to name.
    pub(crate) fn read(&self, text: &str) -> Option<S> {
        let state = (self.decode)(text).ok()?;
        same_json(text, &(self.encode)(&state).ok()?).then_some(state)
    }
}

/// Whether the texts are the same JSON, in whatever order their objects are.
pub(crate) fn same_json(one: &str, other: &str) -> bool {
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    one == other || value(one).is_some_and(|one| value(other) == Some(one))
}
