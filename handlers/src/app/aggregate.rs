//! Aggregates, and the commands that they take.

use super::command::{CommandValue, JsonError, read_command};
use super::dispatch::{AggregateHandler, CommandRefusal, ErasedHandler};
use eventstore::{CommandHandler, EventCodec, EventStore, Model};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::any::Any;
use std::fmt::Display;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

/// A kind of stream: plain functions over state `S`, commands `C`, events `E` and rejections `R`.
/// Commands and events are enums with `#[serde(tag = "type", content = "data")]`.
pub struct Aggregate<S, C, E, R> {
    /// The category of its streams: the part of their names before the first `-`.
    pub category: &'static str,
    /// How the keys of its streams are written: the part of their names after the category.
    pub key: KeyFormat,
    /// How events make the state, and how both are stored.
    pub model: Model<S, E>,
    /// The codec of its events. The model uses the same one.
    pub events: EventCodec<E>,
    /// The events that follow from a command. None if there is nothing to do.
    pub decide: fn(&S, &C) -> Result<Vec<E>, R>,
    /// Whether the command can only begin a stream. The store then does not read the stream first.
    pub creates: fn(&C) -> bool,
    /// A stable code for a rejection. Its `Display` is the text for people.
    pub code: fn(&R) -> &'static str,
    /// An example of each command as JSON, `{"type", "data"}`, with all fields. The API's
    /// description shows them, and they list the commands.
    pub examples: &'static [&'static str],
}

/// How callers write the keys of an aggregate's streams in paths.
#[derive(Debug, Clone, Copy)]
pub struct KeyFormat {
    /// What a key is. For the API's description.
    pub description: &'static str,
    /// A regular expression for keys. For the API's description.
    pub pattern: &'static str,
    /// An example of a key.
    pub example: &'static str,
    /// Returns the key as stream names have it, or the rule that the text breaks.
    pub parse: fn(&str) -> Result<String, String>,
}

impl KeyFormat {
    /// Accepts all that a stream's name may contain.
    pub const ANY: Self = Self {
        description: "The id",
        pattern: "^[A-Za-z0-9._:@-]{1,128}$",
        example: "a-17",
        parse: |text| Ok(text.to_owned()),
    };
}

/// One that cannot be read gets an empty name; [`App::checked`](super::App::checked) reports it.
#[derive(Default, Deserialize)]
struct CommandExample {
    #[serde(rename = "type")]
    name: String,
    #[serde(default)]
    data: Map<String, Value>,
}

/// An aggregate whose types are erased.
pub(crate) trait AnyAggregate: Send + Sync {
    fn category(&self) -> &'static str;
    fn key(&self) -> KeyFormat;
    /// An example of each command: its name and its data.
    fn examples(&self) -> Vec<(String, Value)>;
    /// The commands' schema, and what it refers to.
    fn schema(&self) -> (RefOr<Schema>, Vec<(String, RefOr<Schema>)>);
    /// Reads a command from the JSON of its data. Adds the fields that it does not have to
    /// `unknown`.
    fn read(
        &self,
        name: &str,
        data: &[u8],
        unknown: &mut Vec<String>,
    ) -> Result<CommandValue, JsonError>;
    /// The command as the command queue stores it: `{"type", "data"}`.
    fn write(&self, command: &CommandValue) -> serde_json::Result<Box<RawValue>>;
    fn creates(&self, command: &CommandValue) -> bool;
    /// The handler of its commands, over that store.
    fn handler(&self, store: EventStore) -> Arc<dyn ErasedHandler>;
}

impl<S, C, E, R> AnyAggregate for Aggregate<S, C, E, R>
where
    S: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + ToSchema + Send + Sync + 'static,
    E: DeserializeOwned + Send + Sync + 'static,
    R: Display + Send + Sync + 'static,
{
    fn category(&self) -> &'static str {
        self.category
    }

    fn key(&self) -> KeyFormat {
        self.key
    }

    fn examples(&self) -> Vec<(String, Value)> {
        let tagged = |json: &&str| {
            let CommandExample { name, data } = serde_json::from_str(json).unwrap_or_default();
            (name, data.into())
        };
        self.examples.iter().map(tagged).collect()
    }

    fn schema(&self) -> (RefOr<Schema>, Vec<(String, RefOr<Schema>)>) {
        let mut named = Vec::new();
        C::schemas(&mut named);
        (C::schema(), named)
    }

    fn read(
        &self,
        name: &str,
        data: &[u8],
        unknown: &mut Vec<String>,
    ) -> Result<CommandValue, JsonError> {
        read_command::<C>(name, data, unknown).map(|command| -> CommandValue { Arc::new(command) })
    }

    fn write(&self, command: &CommandValue) -> serde_json::Result<Box<RawValue>> {
        serde_json::value::to_raw_value(&command.downcast_ref::<C>())
    }

    fn creates(&self, command: &CommandValue) -> bool {
        command.downcast_ref::<C>().is_some_and(self.creates)
    }

    fn handler(&self, store: EventStore) -> Arc<dyn ErasedHandler> {
        let handler: CommandHandler<S, E, CommandRefusal> =
            CommandHandler::new(store, self.model.clone());
        Arc::new(AggregateHandler { handler, decide: self.decide, code: self.code })
    }
}

/// The command in its own type. A command of another aggregate is a defect, and gives none.
pub(super) fn typed<C: Any>(command: &CommandValue) -> Option<&C> {
    command.downcast_ref()
}
