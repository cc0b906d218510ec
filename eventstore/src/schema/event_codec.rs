//! Between the events of a model and those of the store.

use crate::command::refusal::OF_STORE;
use crate::schema::upcaster::{self, Lifted, Upcaster};
use crate::{Commit, Event, NewEvent, SnapshotCodec, StreamId};
use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, IntoDeserializer, MapAccess};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::marker::PhantomData;

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

impl<S, E> Clone for Model<S, E> {
    fn clone(&self) -> Self {
        let Self { initial, evolve, encode, decode, snapshot } = self;
        Self { initial: *initial, evolve: *evolve, encode: *encode, decode: *decode, snapshot: snapshot.clone() }
    }
}

impl<S, E> Model<S, E> {
    /// The event as it is stored; none of the store's own.
    pub(crate) fn write(&self, event: &E) -> Result<NewEvent, CodecError> {
        let event = (self.encode)(event)?;
        if event.is_of_store() {
            let NewEvent { event_type, schema, .. } = event;
            return Err(CodecError { event_type, schema, source: Untranslatable::OfStore });
        }
        Ok(event)
    }

    /// The events of a commit of the stream, without those of the store.
    pub(crate) fn read<'a>(
        &'a self,
        stream: &'a StreamId,
        commit: &'a Commit,
    ) -> impl Iterator<Item = Result<E, Unreadable>> + 'a {
        let of_model = commit.events.iter().filter(|event| !event.body.is_of_store());
        of_model.map(move |Event { version, body }| {
            (self.decode)(body).map_err(|source| Unreadable { stream: stream.clone(), version: *version, source })
        })
    }
}

/// How the events of a kind of stream are stored, said once for all who write or read them: `E` is an enum that has
/// `#[serde(tag = "type", content = "data")]`, and a list of upcasters lifts what older programs stored.
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

/// An event that stands in a stream cannot be translated: nothing is decided on what is not understood.
#[derive(Debug, thiserror::Error)]
#[error("stream {stream} cannot be read at version {version}")]
pub struct Unreadable {
    /// The stream.
    pub stream: StreamId,
    /// The event's version.
    pub version: u64,
    /// Why not.
    pub source: CodecError,
}

/// An event cannot be written, or was written by something that this program does not know.
#[derive(Debug, thiserror::Error)]
#[error("event {event_type:?} of schema {schema} cannot be translated")]
pub struct CodecError {
    /// The event's type; the name of the Rust type where serde did not write one.
    pub event_type: String,
    /// Its schema version; 0 where it has none.
    pub schema: u32,
    /// What the translation stumbled over.
    #[source]
    pub source: Untranslatable,
}

/// Why an event cannot be translated.
#[derive(Debug, thiserror::Error)]
pub enum Untranslatable {
    /// A newer program wrote it: it waits for that program.
    #[error("it is newer than schema {newest}, the newest that this program knows of the type")]
    Newer {
        /// The newest schema version of the type that this program knows.
        newest: u32,
    },
    /// No program writes it.
    #[error("schema versions begin at 1")]
    SchemaZero,
    /// The chain of upcasters has a gap.
    #[error("no upcaster lifts {event_type:?} from schema {schema}, but {newest} is the newest")]
    NoUpcaster {
        /// The type where the chain ends.
        event_type: String,
        /// The schema version where it ends.
        schema: u32,
        /// The newest schema version of that type.
        newest: u32,
    },
    /// An upcaster was given data that it does not know.
    #[error("the upcaster of {event_type:?} from schema {schema} failed")]
    Upcaster {
        /// The type that it lifts.
        event_type: &'static str,
        /// The schema version that it lifts from.
        schema: u32,
        /// What it stumbled over.
        #[source]
        source: serde_json::Error,
    },
    /// An event to be written has a type that is only read, because an upcaster renames it.
    #[error("events of this type are no longer written, they become {becomes:?}")]
    Renamed {
        /// The type's name today.
        becomes: &'static str,
    },
    /// An event to be written has a type that only the store itself writes.
    #[error("types that begin with {OF_STORE:?} are the store's own")]
    OfStore,
    /// The program knows no event of that type, and it is the type's first schema version. (With a later one it is `Newer`: a
    /// type that this program knows may have been renamed.)
    #[error("the type is not known here")]
    UnknownType,
    /// Its data are of another shape.
    #[error("it is not of the shape of its schema")]
    Shape(#[from] serde_json::Error),
}

impl<E> EventCodec<E> {
    /// Events that are stored as serde writes them, and were stored in other shapes before.
    pub const fn new(upcasters: &'static [Upcaster]) -> Self {
        Self { upcasters, events: PhantomData }
    }

    /// The steps from older shapes to today's.
    pub const fn upcasters(&self) -> &'static [Upcaster] {
        self.upcasters
    }

    /// The schema version in which events of the type are written.
    pub fn newest_schema(&self, event_type: &str) -> u32 {
        upcaster::newest(self.upcasters, event_type)
    }
}

impl<E: Serialize> EventCodec<E> {
    /// The event as it is stored: of the newest schema version of its type.
    ///
    /// # Errors
    /// [`CodecError`] when serde does not write it as `{"type": …, "data": …}`, or an upcaster has renamed its type.
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
    /// Whether events of the type can be read, in some schema version at least.
    pub fn knows(&self, event_type: &str) -> bool {
        self.upcasters.iter().any(|upcaster| upcaster.event_type == event_type) || knows::<E>(event_type)
    }

    /// The event from what was stored, lifted to today's shape if it is of an older one. Data of the newest schema
    /// version are parsed once, right into the event.
    ///
    /// # Errors
    /// [`CodecError`] for all that [`Untranslatable`] lists.
    pub fn decode(&self, event: &NewEvent) -> Result<E, CodecError> {
        let decoded = upcaster::lift(self.upcasters, event).and_then(|lifted| match lifted {
            None => untag(&event.event_type, &*event.data),
            Some(Lifted { event_type, data }) => untag(event_type, data),
        });
        decoded.map_err(|source| CodecError { event_type: event.event_type.clone(), schema: event.schema, source })
    }
}

/// `{"type": …, "data": …}`: how serde writes an enum with `#[serde(tag = "type", content = "data")]`.
#[derive(Deserialize)]
struct Tagged {
    #[serde(rename = "type")]
    event_type: String,
    data: Box<RawValue>,
}

/// The same to read from, without a text of it.
struct Untagged<'a, D> {
    event_type: Option<&'a str>,
    data: Option<D>,
}

/// The variant of the type, of these data.
fn untag<'de, E: Deserialize<'de>, D: IntoDeserializer<'de, serde_json::Error>>(
    event_type: &str,
    data: D,
) -> Result<E, Untranslatable> {
    let tagged = Untagged { event_type: Some(event_type), data: Some(data) };
    let event = E::deserialize(MapAccessDeserializer::new(tagged));
    event.map_err(|error| if knows::<E>(event_type) { error.into() } else { Untranslatable::UnknownType })
}

/// Whether there is a variant for the type: serde is given the type alone, and asked what it stumbles over.
fn knows<'de, E: Deserialize<'de>>(event_type: &str) -> bool {
    let probe = MapDeserializer::new(std::iter::once(("type", event_type)));
    !matches!(E::deserialize(probe), Err(Stumble::UnknownVariant))
}

/// What serde stumbled over.
#[derive(Debug, thiserror::Error)]
enum Stumble {
    #[error("no variant of that name")]
    UnknownVariant,
    #[error("something else")]
    Other,
}

impl serde::de::Error for Stumble {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self::Other
    }

    fn unknown_variant(_: &str, _: &'static [&'static str]) -> Self {
        Self::UnknownVariant
    }
}

impl<'de, D: IntoDeserializer<'de, serde_json::Error>> MapAccess<'de> for Untagged<'_, D> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> serde_json::Result<Option<K::Value>> {
        let key = match (self.event_type, &self.data) {
            (Some(_), _) => "type",
            (None, Some(_)) => "data",
            (None, None) => return Ok(None),
        };
        seed.deserialize(key.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> serde_json::Result<V::Value> {
        match (self.event_type.take(), self.data.take()) {
            (Some(event_type), data) => {
                self.data = data;
                seed.deserialize(event_type.into_deserializer())
            }
            (None, Some(data)) => seed.deserialize(data.into_deserializer()),
            (None, None) => Err(serde_json::Error::custom("a value was asked for without its key")),
        }
    }
}
