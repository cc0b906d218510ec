//! Compares the fields that the code of an event reads with those in samples. It is a deserializer
//! that records the requests of serde.
//! A derived `Deserialize` also accepts the number of a field as its key. So after the sample's own
//! keys, this tries one number after the other. A field of the sample is refused as a duplicate, a
//! field that the sample lacks is read, and numbers above the last field are ignored.

use serde::de::value::{Error, StrDeserializer, U64Deserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer,
    MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

/// No struct has this many fields, so the type accepts any key.
const MOST_FIELDS: u64 = 200;

/// Parts of the shapes in the code, each with its place.
type Parts = BTreeSet<(String, String)>;

/// The fields in the code, and those in samples.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// The event types that the code knows.
    types: RefCell<BTreeSet<&'static str>>,
    known: RefCell<Parts>,
    shown: RefCell<Parts>,
    /// The objects of the sample that are read as structs: by spot, their place.
    structs: RefCell<BTreeMap<String, String>>,
    /// The object whose fields are asked for, and the number of the field.
    asked: RefCell<Option<(String, u64)>>,
    answer: Cell<Answer>,
}

/// The result of trying a field by its number.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Neither its key nor its value was refused or read: it had been read before.
    #[default]
    Doubled,
    Read,
    None,
}

impl Outline {
    /// Adds what reading the sample as an `E` shows.
    pub(super) fn add<E: DeserializeOwned>(&self, name: &str, sample: &Value) -> Result<(), Error> {
        self.structs.take();
        self.asked.take();
        self.read::<E>(name, sample)?;
        for (spot, place) in self.structs.take() {
            self.ask_for_fields::<E>(name, sample, &spot, &place)?;
        }
        Ok(())
    }

    /// The event types that the code knows; none before a sample was read.
    pub(super) fn types(&self) -> BTreeSet<&'static str> {
        self.types.borrow().clone()
    }

    /// What the code can read and no sample has shown.
    pub(super) fn not_shown(&self) -> Vec<String> {
        let (known, shown) = (self.known.borrow(), self.shown.borrow());
        known.difference(&shown).map(|(place, part)| format!("{place}: {part}")).collect()
    }

    fn read<E: DeserializeOwned>(&self, name: &str, sample: &Value) -> Result<E, Error> {
        E::deserialize(Traced {
            outline: self,
            value: sample,
            place: name.to_owned(),
            spot: String::new(),
        })
    }

    fn ask_for_fields<E: DeserializeOwned>(
        &self,
        name: &str,
        sample: &Value,
        spot: &str,
        place: &str,
    ) -> Result<(), Error> {
        for number in 0..MOST_FIELDS {
            self.asked.replace(Some((spot.to_owned(), number)));
            self.answer.set(Answer::Doubled);
            let read = self.read::<E>(name, sample);
            match self.answer.get() {
                Answer::None => return Ok(()),
                Answer::Read => {}
                Answer::Doubled => {
                    assert!(read.is_err(), "field {number} of {place} was read twice");
                    self.shows(place, &field(number));
                }
            }
        }
        Err(Error::custom(format!("{place} takes any key: flattened fields have no outline")))
    }

    fn knows(&self, place: &str, part: &str) {
        self.known.borrow_mut().insert((place.to_owned(), part.to_owned()));
    }

    fn shows(&self, place: &str, part: &str) {
        self.shown.borrow_mut().insert((place.to_owned(), part.to_owned()));
    }
}

/// A field by its number, counted from 1.
fn field(number: u64) -> String {
    format!("field {}", number + 1)
}

/// A value of the sample. `place` is its place in the code's shape, `spot` its place in this
/// sample.
#[derive(Clone)]
struct Traced<'a> {
    outline: &'a Outline,
    value: &'a Value,
    place: String,
    spot: String,
}

impl<'a> Traced<'a> {
    fn inner(&self, value: &'a Value, place: &str, spot: &str) -> Self {
        let (place, spot) = (format!("{}{place}", self.place), format!("{}{spot}", self.spot));
        Self { outline: self.outline, value, place, spot }
    }

    fn part(&self, part: &str, shown: bool) {
        self.outline.knows(&self.place, part);
        if shown {
            self.outline.shows(&self.place, part);
        }
    }
}

impl<'de> Deserializer<'de> for Traced<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => visitor.visit_u64(number),
                (None, Some(number)) => visitor.visit_i64(number),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap()),
            },
            Value::String(text) => visitor.visit_str(text),
            Value::Array(values) => {
                self.part("an element", !values.is_empty());
                visitor.visit_seq(Elements { list: &self, values, next: 0 })
            }
            Value::Object(fields) => {
                let mut keys: Vec<&str> = fields.keys().map(String::as_str).collect();
                // The tag comes first, because serde buffers the values before it.
                keys.sort_by_key(|key| *key != "type");
                visitor.visit_map(Fields {
                    object: &self,
                    fields,
                    keys,
                    value: Next::None,
                    end: false,
                })
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.part("a value", !self.value.is_null());
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let variant = match self.value {
            Value::String(variant) => Some((variant, &Value::Null)),
            Value::Object(fields) => fields.iter().next(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
        };
        let (variant, content) = variant.ok_or_else(|| Error::custom("no variant"))?;
        if self.spot == ".type" {
            self.outline.types.borrow_mut().extend(variants);
            return visitor.visit_enum(Variant { variant, content: self.clone() });
        }
        for known in variants {
            self.part(&format!("variant {known}"), known == variant);
        }
        let (place, spot) = (format!("::{variant}"), format!(".{variant}"));
        visitor.visit_enum(Variant { variant, content: self.inner(content, &place, &spot) })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

struct Elements<'a> {
    list: &'a Traced<'a>,
    values: &'a [Value],
    next: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(value) = self.values.get(self.next) else { return Ok(None) };
        let spot = format!("[{}]", self.next);
        self.next += 1;
        seed.deserialize(self.list.inner(value, "[]", &spot)).map(Some)
    }
}

struct Variant<'a> {
    variant: &'a str,
    content: Traced<'a>,
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Error;
    type Variant = Traced<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Traced<'a>), Error> {
        let variant: StrDeserializer<'_, Error> = self.variant.into_deserializer();
        Ok((seed.deserialize(variant)?, self.content))
    }
}

impl<'de> VariantAccess<'de> for Traced<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }
}

/// The keys of an object, and then the number of the tried field.
struct Fields<'a> {
    object: &'a Traced<'a>,
    fields: &'a Map<String, Value>,
    keys: Vec<&'a str>,
    value: Next<'a>,
    end: bool,
}

enum Next<'a> {
    None,
    Field { key: &'a str, of_struct: bool },
    Asked(u64),
}

impl Fields<'_> {
    fn asked(&self) -> Option<u64> {
        let asked = self.object.outline.asked.borrow();
        asked.as_ref().filter(|(spot, _)| *spot == self.object.spot).map(|(_, number)| *number)
    }
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let outline = self.object.outline;
        if !self.keys.is_empty() {
            let (key, of_struct) = (self.keys.remove(0), Cell::new(false));
            let read = seed.deserialize(Key { key, of_struct: &of_struct })?;
            self.value = Next::Field { key, of_struct: of_struct.get() };
            return Ok(Some(read));
        }
        if self.end {
            return Ok(None);
        }
        self.end = true;
        let Some(number) = self.asked() else {
            // How the visitor requests an unknown key shows whether this is a struct.
            let of_struct = Cell::new(false);
            let _ = seed.deserialize(Key { key: "\0", of_struct: &of_struct });
            match of_struct.get() {
                true => {
                    outline
                        .structs
                        .borrow_mut()
                        .insert(self.object.spot.clone(), self.object.place.clone());
                }
                false => self.object.part("an entry", !self.fields.is_empty()),
            }
            return Ok(None);
        };
        self.value = Next::Asked(number);
        let number: U64Deserializer<Error> = number.into_deserializer();
        seed.deserialize(number).map(Some).inspect_err(|_| outline.answer.set(Answer::None))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        match self.value {
            Next::Field { key, of_struct } => {
                let place = if of_struct { format!(".{key}") } else { ".*".into() };
                let value = &self.fields[key];
                seed.deserialize(self.object.inner(value, &place, &format!(".{key}")))
            }
            Next::Asked(number) => seed.deserialize(Asked {
                outline: self.object.outline,
                place: &self.object.place,
                number,
            }),
            Next::None => Err(Error::custom("a value without its key")),
        }
    }
}

/// A key, and whether it was requested as the name of a field.
struct Key<'a> {
    key: &'a str,
    of_struct: &'a Cell<bool>,
}

impl<'de> Deserializer<'de> for Key<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom(
            "it is read through a buffer (flattened, untagged, internally tagged) and has no outline",
        ))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.of_struct.set(true);
        visitor.visit_str(self.key)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.key)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.key)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf option unit unit_struct seq tuple
        tuple_struct map struct enum ignored_any
    }
}

/// The value of a field that is tried by number: read if the sample lacks it, ignored if no such
/// field exists.
struct Asked<'a> {
    outline: &'a Outline,
    place: &'a str,
    number: u64,
}

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        self.outline.answer.set(Answer::Read);
        self.outline.knows(self.place, &field(self.number));
        Err(Error::custom("asked"))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        self.outline.answer.set(Answer::None);
        Err(Error::custom("asked"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        newtype_struct tuple tuple_struct map struct enum identifier
    }
}
