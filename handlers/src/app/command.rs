//! A command of any aggregate: category, name and data.

use super::App;
use super::aggregate::AnyAggregate;
use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IgnoredAny, IntoDeserializer,
    MapAccess,
};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A command in its aggregate's type.
pub(crate) type CommandValue = Arc<dyn Any + Send + Sync>;

/// The path of an error in JSON, and the error.
pub(crate) type JsonError = (String, serde_json::Error);

/// A command of one of the app's aggregates.
///
/// The command queue stores it as `{category: {"type", "data"}}`. Fields may be added to its data,
/// but none renamed or removed.
#[derive(Clone)]
pub struct Command {
    aggregate: Arc<dyn AnyAggregate>,
    name: String,
    value: CommandValue,
}

impl Command {
    /// Reads a command from the JSON of its data. Adds the fields that it does not have to
    /// `unknown`.
    pub(crate) fn read(
        aggregate: &Arc<dyn AnyAggregate>,
        name: &str,
        data: &[u8],
        unknown: &mut Vec<String>,
    ) -> Result<Self, JsonError> {
        let value = aggregate.read(name, data, unknown)?;
        Ok(Self { aggregate: Arc::clone(aggregate), name: name.to_owned(), value })
    }

    /// The category of the streams that it may address.
    pub(crate) fn category(&self) -> &'static str {
        self.aggregate.category()
    }

    /// Its name. The fingerprint covers it: after a change, retries of older commands do not match.
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

/// A stored command cannot be read: from the command queue, or from a process.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnreadableCommand {
    #[error("this app has no aggregate of category {0:?}")]
    Category(String),
    #[error("the command is missing")]
    Missing,
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// A command as the command queue stores it, within its category.
#[derive(Deserialize)]
struct Tagged {
    #[serde(rename = "type")]
    name: String,
    #[serde(default)]
    data: Option<Box<RawValue>>,
}

impl App {
    /// A process's command to a stream of that category: `{"type", "data"}`.
    pub(crate) fn read_process_command(
        &self,
        category: &str,
        json: &Value,
    ) -> Result<Command, UnreadableCommand> {
        let aggregate = self
            .aggregate_of(category)
            .ok_or_else(|| UnreadableCommand::Category(category.to_owned()))?;
        let name = json.get("type").and_then(Value::as_str).ok_or(UnreadableCommand::Missing)?;
        let data = serde_json::to_vec(json.get("data").unwrap_or(&Value::Object(Map::new())))?;
        Command::read(aggregate, name, &data, &mut Vec::new()).map_err(|(_, error)| error.into())
    }

    /// A command from the command queue: `{category: {"type", "data"}}`.
    pub(crate) fn read_queued_command(
        &self,
        json: &RawValue,
    ) -> Result<Command, UnreadableCommand> {
        let mut of_category: BTreeMap<String, Tagged> = serde_json::from_str(json.get())?;
        let (category, Tagged { name, data }) =
            of_category.pop_first().ok_or(UnreadableCommand::Missing)?;
        let aggregate =
            self.aggregate_of(&category).ok_or(UnreadableCommand::Category(category))?;
        let data = data.as_deref().map_or("{}", RawValue::get);
        Command::read(aggregate, &name, data.as_bytes(), &mut Vec::new())
            .map_err(|(_, error)| error.into())
    }
}

/// The variant of that name with these data.
pub(super) fn read_command<C: DeserializeOwned>(
    name: &str,
    data: &[u8],
    unknown: &mut Vec<String>,
) -> Result<C, JsonError> {
    let whole = data;
    let mut json = serde_json::Deserializer::from_slice(data);
    let mut track = serde_path_to_error::Track::new();
    let mut note = |path: serde_ignored::Path<'_>| unknown.push(path_of(&path));
    let tracked = serde_ignored::Deserializer::new(&mut json, &mut note);
    let data = serde_path_to_error::Deserializer::new(tracked, &mut track);
    let read = C::deserialize(MapAccessDeserializer::new(TypeAndData {
        name: Some(name),
        data: Some(data),
    }));
    let command = match read {
        Ok(command) => command,
        Err(error) => {
            let Ok(command) = C::deserialize(alone(name)) else {
                return Err((place(&track.path()), error));
            };
            // A unit variant takes an object without fields.
            let fields: BTreeMap<String, IgnoredAny> = read_data(whole, &mut Vec::new())?;
            unknown.extend(fields.into_keys());
            return Ok(command);
        }
    };
    json.end().map_err(|error| (String::new(), error))?;
    Ok(command)
}

/// The unit variant of that name.
fn alone(
    name: &str,
) -> MapDeserializer<'_, std::iter::Once<(&'static str, &str)>, serde_json::Error> {
    MapDeserializer::new(std::iter::once(("type", name)))
}

/// A value that is all of the text. Adds the fields that its type does not have to `unknown`.
pub(crate) fn read_data<T: DeserializeOwned>(
    data: &[u8],
    unknown: &mut Vec<String>,
) -> Result<T, JsonError> {
    let mut json = serde_json::Deserializer::from_slice(data);
    let mut note = |path: serde_ignored::Path<'_>| unknown.push(path_of(&path));
    let tracked = serde_ignored::Deserializer::new(&mut json, &mut note);
    let value = serde_path_to_error::deserialize(tracked)
        .map_err(|error| (place(error.path()), error.into_inner()))?;
    json.end().map_err(|error| (String::new(), error))?;
    Ok(value)
}

/// The path of an error; empty for the whole text.
fn place(path: &serde_path_to_error::Path) -> String {
    Some(path.to_string()).filter(|path| path != ".").unwrap_or_default()
}

/// A path as errors name it: `lines[0].item`.
fn path_of(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path as P;
    match path {
        P::Root => String::new(),
        P::Seq { parent, index } => format!("{}[{index}]", path_of(parent)),
        P::Map { parent, key } => {
            let parent = path_of(parent);
            if parent.is_empty() { key.clone() } else { format!("{parent}.{key}") }
        }
        P::Some { parent } | P::NewtypeStruct { parent } | P::NewtypeVariant { parent } => {
            path_of(parent)
        }
    }
}

/// `{"type": …, "data": …}` around data that are not parsed yet, so that the text is parsed once.
struct TypeAndData<'a, D> {
    name: Option<&'a str>,
    data: Option<D>,
}

impl<'de, D: Deserializer<'de, Error = serde_json::Error>> MapAccess<'de> for TypeAndData<'_, D> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> serde_json::Result<Option<K::Value>> {
        let key = match (self.name, &self.data) {
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
        match (self.name.take(), self.data.is_some()) {
            (Some(name), _) => seed.deserialize(name.into_deserializer()),
            (None, true) => match self.data.take() {
                Some(data) => seed.deserialize(data),
                None => Err(serde_json::Error::custom("the data were read already")),
            },
            (None, false) => {
                Err(serde_json::Error::custom("the value was requested before its key"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "type", content = "data")]
    enum AccountCommand {
        Open { owner: String, note: Option<String> },
        Close {},
        Ping,
    }

    fn read(name: &str, data: &str) -> Result<(AccountCommand, Vec<String>), String> {
        let mut unknown = Vec::new();
        let read = read_command(name, data.as_bytes(), &mut unknown);
        read.map(|command| (command, unknown)).map_err(|(path, error)| format!("{path}: {error}"))
    }

    #[test]
    fn a_command_is_read_by_its_name_and_its_data() {
        let open = AccountCommand::Open { owner: "a".into(), note: None };
        assert_eq!(read("Open", r#"{"owner": "a"}"#), Ok((open, vec![])));
        assert_eq!(read("Close", "{}"), Ok((AccountCommand::Close {}, vec![])));
        assert_eq!(
            read("Close", r#"{"why": 1}"#),
            Ok((AccountCommand::Close {}, vec!["why".into()]))
        );
        assert_eq!(
            read("Ping", " {} "),
            Ok((AccountCommand::Ping, vec![])),
            "a command without data"
        );
        assert_eq!(read("Ping", r#"{"why": 1}"#), Ok((AccountCommand::Ping, vec!["why".into()])));
        for (name, data, expected) in [
            ("Open", r#"{"owner": 7}"#, "owner: invalid type"),
            ("Open", "{}", ": missing field `owner`"),
            ("Ping", "7", ": invalid type"),
            ("Burn", "{}", ": unknown variant `Burn`"),
            ("Open", "{", "EOF while parsing"),
        ] {
            let error = read(name, data).unwrap_err();
            assert!(error.contains(expected), "{name} {data}: {error}");
        }
    }
}
