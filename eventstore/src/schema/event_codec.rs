//! Encodes and decodes the events of a model.

use super::upcaster::{self, Lifted, Upcaster};
use crate::{CodecError, NewEvent, Untranslatable};
use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, IntoDeserializer, MapAccess};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::marker::PhantomData;

/// The codec of an event enum with `#[serde(tag = "type", content = "data")]`. A list of upcasters
/// converts what older programs stored.
pub struct EventCodec<E> {
    upcasters: &'static [Upcaster],
    events: PhantomData<fn(E) -> E>,
}

impl<E> Clone for EventCodec<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for EventCodec<E> {}

impl<E> EventCodec<E> {
    /// A codec with the upcasters of older schemas.
    pub const fn new(upcasters: &'static [Upcaster]) -> Self {
        Self { upcasters, events: PhantomData }
    }

    /// The upcasters.
    pub const fn upcasters(&self) -> &'static [Upcaster] {
        self.upcasters
    }

    /// The schema version in which the type is written.
    pub fn newest_schema(&self, event_type: &str) -> u32 {
        upcaster::newest(self.upcasters, event_type)
    }
}

impl<E: Serialize> EventCodec<E> {
    /// Encodes the event in the newest schema version of its type.
    ///
    /// # Errors
    /// [`CodecError`] when serde does not write it as `{"type": …, "data": …}`, or an upcaster has
    /// renamed its type.
    pub fn encode(&self, event: &E) -> Result<NewEvent, CodecError> {
        let tagged = serde_json::to_string(event).and_then(|json| serde_json::from_str(&json));
        let Tagged { event_type, data } = tagged.map_err(|source| CodecError {
            event_type: std::any::type_name::<E>().to_owned(),
            schema: 0,
            source: source.into(),
        })?;
        let schema = self.newest_schema(&event_type);
        match upcaster::step(self.upcasters, &event_type, schema) {
            Some(&Upcaster { becomes, .. }) => {
                Err(CodecError { event_type, schema, source: Untranslatable::Renamed { becomes } })
            }
            None => Ok(NewEvent { event_type, schema, data }),
        }
    }
}

impl<E: DeserializeOwned> EventCodec<E> {
    /// Whether the type can be read, at least in some schema version.
    pub fn knows(&self, event_type: &str) -> bool {
        self.upcasters.iter().any(|upcaster| upcaster.event_type == event_type)
            || knows::<E>(event_type)
    }

    /// Decodes a stored event, upcasting it if it is of an older schema. Data of the newest schema
    /// is parsed once, directly into the event.
    ///
    /// # Errors
    /// [`CodecError`] for all that [`Untranslatable`] lists.
    pub fn decode(&self, event: &NewEvent) -> Result<E, CodecError> {
        let decoded = upcaster::lift(self.upcasters, event).and_then(|lifted| match lifted {
            None => untag(&event.event_type, &*event.data),
            Some(Lifted { event_type, data }) => untag(event_type, data),
        });
        decoded.map_err(|source| CodecError {
            event_type: event.event_type.clone(),
            schema: event.schema,
            source,
        })
    }
}

/// `{"type": …, "data": …}`: how serde writes an enum with `#[serde(tag = "type", content =
/// "data")]`.
#[derive(Deserialize)]
struct Tagged {
    #[serde(rename = "type")]
    event_type: String,
    data: Box<RawValue>,
}

/// The same for reading, without copying the text.
struct Untagged<'a, D> {
    event_type: Option<&'a str>,
    data: Option<D>,
}

/// Deserialises the variant of the type with the data.
fn untag<'de, E: Deserialize<'de>, D: IntoDeserializer<'de, serde_json::Error>>(
    event_type: &str,
    data: D,
) -> Result<E, Untranslatable> {
    let tagged = Untagged { event_type: Some(event_type), data: Some(data) };
    let event = E::deserialize(MapAccessDeserializer::new(tagged));
    event.map_err(
        |error| if knows::<E>(event_type) { error.into() } else { Untranslatable::UnknownType },
    )
}

/// Whether the enum has a variant for the type. Serde gets the type alone and reports an unknown
/// one.
fn knows<'de, E: Deserialize<'de>>(event_type: &str) -> bool {
    let probe = MapDeserializer::new(std::iter::once(("type", event_type)));
    !matches!(E::deserialize(probe), Err(ProbeError::UnknownVariant))
}

/// The kind of serde's error.
#[derive(Debug, thiserror::Error)]
enum ProbeError {
    #[error("unknown variant")]
    UnknownVariant,
    #[error("another error")]
    Other,
}

impl serde::de::Error for ProbeError {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self::Other
    }

    fn unknown_variant(_: &str, _: &'static [&'static str]) -> Self {
        Self::UnknownVariant
    }
}

impl<'de, D: IntoDeserializer<'de, serde_json::Error>> MapAccess<'de> for Untagged<'_, D> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> serde_json::Result<Option<K::Value>> {
        let key = match (self.event_type, &self.data) {
            (Some(_), _) => "type",
            (None, Some(_)) => "data",
            (None, None) => return Ok(None),
        };
        seed.deserialize(key.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> serde_json::Result<V::Value> {
        match (self.event_type.take(), self.data.take()) {
            (Some(event_type), data) => {
                self.data = data;
                seed.deserialize(event_type.into_deserializer())
            }
            (None, Some(data)) => seed.deserialize(data.into_deserializer()),
            (None, None) => Err(serde_json::Error::custom("a value was requested before its key")),
        }
    }
}
