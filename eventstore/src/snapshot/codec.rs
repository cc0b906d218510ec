//! How the state of a model is stored as a snapshot.

use crate::Hash;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How the state of a model is stored as a snapshot.
pub struct SnapshotCodec<S> {
    /// A name for the shape of the state and the meaning of `evolve`, such as `order/1`. Change it
    /// when either changes. Snapshots of another shape are ignored. A stream has one snapshot, so
    /// only one model with snapshots may handle its commands.
    pub shape: &'static str,
    /// The state as JSON text. The same state must give the same JSON (so no `HashMap` as a list).
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
    /// A codec that uses serde.
    pub const fn json(shape: &'static str) -> Self {
        Self {
            shape,
            encode: |state| serde_json::to_string(state),
            decode: |text| serde_json::from_str(text),
        }
    }
}

impl<S> SnapshotCodec<S> {
    /// The shape in snapshots of this program: its name, and a hash of the empty state's JSON. The
    /// hash changes with the fields of a struct, even if the name does not.
    pub(crate) fn fingerprint(&self, initial: &S) -> Option<String> {
        let empty = (self.encode)(initial).ok()?;
        let hash: String = Hash::of(&[empty.as_bytes()]).to_string().chars().take(16).collect();
        Some(format!("{}:{hash}", self.shape))
    }

    /// The state, if encoding it gives the same JSON again. A field that is unknown here or has a
    /// default is another shape, under a forgotten name.
    pub(crate) fn read(&self, text: &str) -> Option<S> {
        let state = (self.decode)(text).ok()?;
        same_json(text, &(self.encode)(&state).ok()?).then_some(state)
    }
}

/// Whether the texts are the same JSON, in any order of members.
pub(crate) fn same_json(one: &str, other: &str) -> bool {
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    one == other || value(one).is_some_and(|one| value(other) == Some(one))
}
