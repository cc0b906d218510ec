//! Between the events of a model and those of the store.

use crate::{NewEvent, SnapshotCodec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The functions that the command loop needs to know of a kind of stream: plain functions, no trait.
pub struct Model<S, E> {
    /// The state of the empty stream.
    pub initial: fn() -> S,
    /// The state after an event. Cannot fail: what was decided has happened.
    pub evolve: fn(S, &E) -> S,
    /// The event as it is stored.
    pub encode: fn(&E) -> Result<NewEvent, CodecError>,
    /// The event from what was stored.
    pub decode: fn(&NewEvent) -> Result<E, CodecError>,
    /// How the state is kept as a snapshot; without, every command that finds nothing cached reads its stream whole.
    pub snapshot: Option<SnapshotCodec<S>>,
}

/// An event cannot be written, or was written by something that this program does not know.
#[derive(Debug, thiserror::Error)]
#[error("event {event_type:?} of schema {schema} cannot be translated")]
pub struct CodecError {
    /// The event's type.
    pub event_type: String,
    /// Its schema version.
    pub schema: u32,
    /// What the translation stumbled over.
    #[source]
    pub source: serde_json::Error,
}

/// `{"type": …, "data": …}`: how serde writes an enum with `#[serde(tag = "type", content = "data")]`.
#[derive(Serialize, Deserialize)]
struct Tagged {
    #[serde(rename = "type")]
    event_type: String,
    data: Box<RawValue>,
}

/// Stores an event of an enum that has `#[serde(tag = "type", content = "data")]`.
///
/// # Errors
/// [`CodecError`] when serde writes it in another form.
pub fn encode_tagged<E: Serialize>(event: &E, schema: u32) -> Result<NewEvent, CodecError> {
    let tagged = serde_json::to_string(event).and_then(|json| serde_json::from_str(&json));
    let Tagged { event_type, data } =
        tagged.map_err(|source| CodecError { event_type: std::any::type_name::<E>().to_owned(), schema, source })?;
    Ok(NewEvent { event_type, schema, data })
}

/// Reads an event of an enum that has `#[serde(tag = "type", content = "data")]`, up to the schema version `newest`.
///
/// # Errors
/// [`CodecError`] when the enum has no such variant, its data have another shape, or a newer program wrote it.
pub fn decode_tagged<E: DeserializeOwned>(event: &NewEvent, newest: u32) -> Result<E, CodecError> {
    let NewEvent { event_type, schema, data } = event;
    let failed = |source| CodecError { event_type: event_type.clone(), schema: *schema, source };
    if *schema > newest {
        let newer = format!("schema {schema} is newer than {newest}, the newest that this program knows");
        return Err(failed(serde::de::Error::custom(newer)));
    }
    let tagged = Tagged { event_type: event_type.clone(), data: data.clone() };
    serde_json::to_string(&tagged).and_then(|json| serde_json::from_str(&json)).map_err(failed)
}
