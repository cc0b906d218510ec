//! A command of any aggregate: its category, its name and its data.

use super::aggregate::AnyAggregate;
use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IgnoredAny, IntoDeserializer, MapAccess};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A command in the type of its aggregate.
pub(crate) type CommandValue = Arc<dyn Any + Send + Sync>;

/// Where in the data an error is, and which.
pub(crate) type Misread = (String, serde_json::Error);

/// A command that was read, of an aggregate of the app.
///
/// Messages of the command queue carry it as `{category: {"type", "data"}}`: of what it holds, fields may be added, none
/// renamed or dropped.
#[derive(Clone)]
pub struct Command {
    aggregate: Arc<dyn AnyAggregate>,
    name: String,
    value: CommandValue,
}

impl Command {
    /// A command from the JSON of its data. Fields that it does not have are named in `unknown`.
    pub(crate) fn read(
        aggregate: &Arc<dyn AnyAggregate>,
        name: &str,
        data: &[u8],
        unknown: &mut Vec<String>,
    ) -> Result<Self, Misread> {
        let value = aggregate.read(name, data, unknown)?;
        Ok(Self { aggregate: Arc::clone(aggregate), name: name.to_owned(), value })
    }

    /// The category of the streams that it may address.
    pub(crate) fn category(&self) -> &'static str {
        self.aggregate.category()
    }

    /// What it is called. Its fingerprint covers the name: to change it makes retries of older commands unknown.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it can only begin its stream.
    pub(crate) fn creates(&self) -> bool {
        self.aggregate.creates(&self.value)
    }

    pub(super) fn value(&self) -> &CommandValue {
        &self.value
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.name, self.category())
    }
}

impl Serialize for Command {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tagged = self.aggregate.write(&self.value).map_err(serde::ser::Error::custom)?;
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.category(), &tagged)?;
        map.end()
    }
}

/// A command as a queue carries it, within its category.
#[derive(Deserialize)]
pub(super) struct Tagged {
    #[serde(rename = "type")]
    pub(super) name: String,
    #[serde(default)]
    pub(super) data: Option<Box<RawValue>>,
}

/// The variant of that name with these data.
pub(super) fn read_command<C: DeserializeOwned>(
    name: &str,
    data: &[u8],
    unknown: &mut Vec<String>,
) -> Result<C, Misread> {
    let whole = data;
    let mut json = serde_json::Deserializer::from_slice(data);
    let mut track = serde_path_to_error::Track::new();
    let mut note = |path: serde_ignored::Path<'_>| unknown.push(path_of(&path));
    let watched = serde_ignored::Deserializer::new(&mut json, &mut note);
    let data = serde_path_to_error::Deserializer::new(watched, &mut track);
    let read = C::deserialize(MapAccessDeserializer::new(Variant { name: Some(name), data: Some(data) }));
    let command = match read {
        Ok(command) => command,
        Err(error) => {
            let Ok(command) = C::deserialize(alone(name)) else { return Err((place(&track.path()), error)) };
            // A command that is its name alone takes an object without fields.
            let fields: BTreeMap<String, IgnoredAny> = read_data(whole, &mut Vec::new())?;
            unknown.extend(fields.into_keys());
            return Ok(command);
        }
    };
    json.end().map_err(|error| (String::new(), error))?;
    Ok(command)
}

/// The variant of that name, which has no data.
fn alone(name: &str) -> MapDeserializer<'_, std::iter::Once<(&'static str, &str)>, serde_json::Error> {
    MapDeserializer::new(std::iter::once(("type", name)))
}

/// A value that is all of the text, with the paths of the fields that its type does not have.
pub(crate) fn read_data<T: DeserializeOwned>(data: &[u8], unknown: &mut Vec<String>) -> Result<T, Misread> {
    let mut json = serde_json::Deserializer::from_slice(data);
    let mut note = |path: serde_ignored::Path<'_>| unknown.push(path_of(&path));
    let watched = serde_ignored::Deserializer::new(&mut json, &mut note);
    let value = serde_path_to_error::deserialize(watched).map_err(|error| (place(error.path()), error.into_inner()))?;
    json.end().map_err(|error| (String::new(), error))?;
    Ok(value)
}

/// Where an error is; nothing for the whole text.
fn place(path: &serde_path_to_error::Path) -> String {
    Some(path.to_string()).filter(|path| path != ".").unwrap_or_default()
}

/// A path as errors tell it: `lines[0].item`.
fn path_of(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path as P;
    match path {
        P::Root => String::new(),
        P::Seq { parent, index } => format!("{}[{index}]", path_of(parent)),
        P::Map { parent, key } => {
            let parent = path_of(parent);
            if parent.is_empty() { key.clone() } else { format!("{parent}.{key}") }
        }
        P::Some { parent } | P::NewtypeStruct { parent } | P::NewtypeVariant { parent } => path_of(parent),
    }
}

/// `{"type": …, "data": …}`, of which the data are still to be parsed: the text is read once, right into the command.
struct Variant<'a, D> {
    name: Option<&'a str>,
    data: Option<D>,
}

impl<'de, D: Deserializer<'de, Error = serde_json::Error>> MapAccess<'de> for Variant<'_, D> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> serde_json::Result<Option<K::Value>> {
        let key = match (self.name, &self.data) {
            (Some(_), _) => "type",
            (None, Some(_)) => "data",
            (None, None) => return Ok(None),
        };
        seed.deserialize(key.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> serde_json::Result<V::Value> {
        match (self.name.take(), self.data.is_some()) {
            (Some(name), _) => seed.deserialize(name.into_deserializer()),
            (None, true) => match self.data.take() {
                Some(data) => seed.deserialize(data),
                None => Err(serde_json::Error::custom("the data were read already")),
            },
            (None, false) => Err(serde_json::Error::custom("a value was asked for without its key")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "type", content = "data")]
    enum Asked {
        Open { owner: String, note: Option<String> },
        Close {},
        Ping,
    }

    fn read(name: &str, data: &str) -> Result<(Asked, Vec<String>), String> {
        let mut unknown = Vec::new();
        let read = read_command(name, data.as_bytes(), &mut unknown);
        read.map(|command| (command, unknown)).map_err(|(path, error)| format!("{path}: {error}"))
    }

    #[test]
    fn a_command_is_read_by_its_name_and_its_data() {
        let open = Asked::Open { owner: "a".into(), note: None };
        assert_eq!(read("Open", r#"{"owner": "a"}"#), Ok((open, vec![])));
        assert_eq!(read("Close", "{}"), Ok((Asked::Close {}, vec![])));
        assert_eq!(read("Close", r#"{"why": 1}"#), Ok((Asked::Close {}, vec!["why".into()])));
        assert_eq!(read("Ping", " {} "), Ok((Asked::Ping, vec![])), "a command without data");
        assert_eq!(read("Ping", r#"{"why": 1}"#), Ok((Asked::Ping, vec!["why".into()])));
        for (name, data, told) in [
            ("Open", r#"{"owner": 7}"#, "owner: invalid type"),
            ("Open", "{}", ": missing field `owner`"),
            ("Ping", "7", ": invalid type"),
            ("Burn", "{}", ": unknown variant `Burn`"),
            ("Open", "{", "EOF while parsing"),
        ] {
            let error = read(name, data).unwrap_err();
            assert!(error.contains(told), "{name} {data}: {error}");
        }
    }
}
