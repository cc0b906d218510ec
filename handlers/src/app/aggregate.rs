//! Aggregates: kinds of streams, and the commands that they take.

use super::command::{CommandValue, Misread, read_command};
use super::dispatch::{Handle, Refusal, Typed};
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

/// A kind of stream, as plain functions over its state `S`, commands `C`, events `E` and refusals `R`. Commands and events
/// are enums with `#[serde(tag = "type", content = "data")]`.
pub struct Aggregate<S, C, E, R> {
    /// The category of its streams: what stands before the first `-` in their names.
    pub category: &'static str,
    /// The rest of their names.
    pub key: Key,
    /// How its state comes from events, and how both are stored.
    pub model: Model<S, E>,
    /// How its events are stored; the model stores them so.
    pub events: EventCodec<E>,
    /// The events that follow from a command; none when there is nothing to do.
    pub decide: fn(&S, &C) -> Result<Vec<E>, R>,
    /// Whether the command can only begin a stream: then the stream is not read first.
    pub creates: fn(&C) -> bool,
    /// A refusal's stable word for programs, beside its text for people.
    pub code: fn(&R) -> &'static str,
    /// An example of each command, with all its fields, as JSON: `{"type", "data"}`. They name the commands and stand in the
    /// API's description.
    pub examples: &'static [&'static str],
}

/// The keys of an aggregate's streams, as callers give them in paths.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// What it is, for the API's description.
    pub description: &'static str,
    /// The regular expression of what is taken, for the API's description.
    pub pattern: &'static str,
    /// One of them.
    pub example: &'static str,
    /// The key as streams have it, or the rule that the text breaks.
    pub parse: fn(&str) -> Result<String, String>,
}

impl Key {
    /// Whatever a stream's name can have.
    pub const ANY: Self = Self {
        description: "The id",
        pattern: "^[A-Za-z0-9._:@-]{1,128}$",
        example: "a-17",
        parse: |text| Ok(text.to_owned()),
    };
}

/// An example that cannot be read has no name, which a check tells.
#[derive(Default, Deserialize)]
struct Example {
    #[serde(rename = "type")]
    name: String,
    #[serde(default)]
    data: Map<String, Value>,
}

/// An aggregate whose types are erased.
pub(crate) trait AnyAggregate: Send + Sync {
    fn category(&self) -> &'static str;
    fn key(&self) -> Key;
    /// An example of each command: its name and its data.
    fn examples(&self) -> Vec<(String, Value)>;
    /// The commands' schema, and what it refers to.
    fn schema(&self) -> (RefOr<Schema>, Vec<(String, RefOr<Schema>)>);
    /// A command from the JSON of its data. Fields that it does not have are named.
    fn read(&self, name: &str, data: &[u8], unknown: &mut Vec<String>) -> Result<CommandValue, Misread>;
    /// The command as a queue carries it: `{"type", "data"}`.
    fn write(&self, command: &CommandValue) -> serde_json::Result<Box<RawValue>>;
    fn creates(&self, command: &CommandValue) -> bool;
    /// What handles its commands, over that store.
    fn handler(&self, store: EventStore) -> Arc<dyn Handle>;
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

    fn key(&self) -> Key {
        self.key
    }

    fn examples(&self) -> Vec<(String, Value)> {
        let tagged = |json: &&str| {
            let Example { name, data } = serde_json::from_str(json).unwrap_or_default();
            (name, data.into())
        };
        self.examples.iter().map(tagged).collect()
    }

    fn schema(&self) -> (RefOr<Schema>, Vec<(String, RefOr<Schema>)>) {
        let mut named = Vec::new();
        C::schemas(&mut named);
        (C::schema(), named)
    }

    fn read(&self, name: &str, data: &[u8], unknown: &mut Vec<String>) -> Result<CommandValue, Misread> {
        read_command::<C>(name, data, unknown).map(|command| -> CommandValue { Arc::new(command) })
    }

    fn write(&self, command: &CommandValue) -> serde_json::Result<Box<RawValue>> {
        serde_json::value::to_raw_value(&command.downcast_ref::<C>())
    }

    fn creates(&self, command: &CommandValue) -> bool {
        command.downcast_ref::<C>().is_some_and(self.creates)
    }

    fn handler(&self, store: EventStore) -> Arc<dyn Handle> {
        let handler: CommandHandler<S, E, Refusal> = CommandHandler::new(store, self.model.clone());
        Arc::new(Typed { handler, decide: self.decide, code: self.code })
    }
}

/// The command in its own type. One of another aggregate is a defect: it comes to nothing.
pub(super) fn typed<C: Any>(command: &CommandValue) -> Option<&C> {
    command.downcast_ref()
}
