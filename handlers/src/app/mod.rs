//! What a team registers: one value, from which the whole system follows.
//!
//! ```
//! use eventstore::{EventCodec, Model, SnapshotCodec};
//! use handlers::app::{Aggregate, App, Key, ReadModel, command, row};
//! use projections::Row;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, utoipa::ToSchema)]
//! #[serde(tag = "type", content = "data")]
//! enum Ask {
//!     /// Count so many more.
//!     Count { more: u32 },
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! #[serde(tag = "type", content = "data")]
//! enum Event {
//!     Counted { more: u32 },
//! }
//!
//! const EVENTS: EventCodec<Event> = EventCodec::new(&[]);
//!
//! /// A refusal is anything that can be shown; this one is its own code.
//! const COUNTER: Aggregate<u64, Ask, Event, &str> = Aggregate {
//!     category: "counter",
//!     key: Key::ANY,
//!     model: Model {
//!         initial: u64::default,
//!         evolve: |sum, Event::Counted { more }| sum + u64::from(*more),
//!         encode: |event| EVENTS.encode(event),
//!         decode: |event| EVENTS.decode(event),
//!         snapshot: Some(SnapshotCodec::json("counter/1")),
//!     },
//!     events: EVENTS,
//!     decide: |sum, Ask::Count { more }| match sum + u64::from(*more) {
//!         0..=100 => Ok(vec![Event::Counted { more: *more }]),
//!         _ => Err("full"),
//!     },
//!     creates: |_| false,
//!     code: |refusal| refusal,
//!     examples: &[r#"{"type": "Count", "data": {"more": 3}}"#],
//! };
//!
//! let counters = ReadModel::of_stream(
//!     "counters",
//!     "counters/1",
//!     &COUNTER,
//!     |row: Option<u64>, Event::Counted { more }, _| Some(row.unwrap_or(0) + u64::from(*more)),
//!     |_, _| None,
//! );
//! let app = App::new("counting").aggregate(COUNTER).read_model(counters).routes([
//!     command("/counters/{id}/count", "counter", "Count"),
//!     row("/counters/{id}", "counters", Row::read::<u64>),
//! ]);
//! assert!(app.checked().is_ok());
//! ```

mod across;
mod aggregate;
pub(crate) mod canonical_json;
mod check;
mod command;
pub(crate) mod command_id;
mod dispatch;
mod identity;
mod read_model;
mod route;
pub(crate) mod schema;

pub use across::{Across, DecidedForAll, DecidedForPair, Pair};
pub use aggregate::{Aggregate, Key};
pub use command::Command;
pub use dispatch::{Dispatcher, Refusal};
pub use read_model::{Addition, FoldOfMany, ReadModel, Told};
pub use route::{Route, across, command, creation, list, row};

pub(crate) use across::AcrossError;
pub(crate) use aggregate::AnyAggregate;
pub(crate) use command::{CommandValue, Misread, read_data};
pub(crate) use dispatch::{CommandError, is_final, is_from_the_future, is_unreadable};
pub(crate) use identity::identity;
pub(crate) use route::{CommandRoute, ListRoute, RowRoute, Target};

use crate::http::Api;
use crate::process::Process;
use command::Tagged;
use eventstore::{InvalidStreamId, StreamId};
use projections::{Projection, audit_index};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

/// Aggregates, read models, processes and routes of one system, and how it is called. The audit index is part of every app.
/// Cheap to clone.
#[derive(Clone)]
pub struct App {
    name: &'static str,
    stored_name: &'static str,
    problems: Option<&'static str>,
    description: &'static str,
    aggregates: Vec<Arc<dyn AnyAggregate>>,
    across: Vec<Arc<Across>>,
    consumers: Vec<Projection>,
    processes: Vec<Process>,
    routes: Vec<Route>,
    extra: Vec<fn() -> OpenApiRouter<Arc<Api>>>,
    /// The first segments of its paths.
    segments: BTreeSet<String>,
}

/// Registrations that contradict each other, all of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the app {app} cannot run: {}", .wrong.join("; "))]
pub struct BadApp {
    /// The app's name.
    pub app: &'static str,
    /// A sentence for each mistake.
    pub wrong: Vec<String>,
}

/// A command that a queue carries cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnreadableCommand {
    #[error("it is for streams of category {0:?}, and this app has no such aggregate")]
    Category(String),
    #[error("it has no command")]
    Nothing,
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl App {
    /// An app in which nothing is registered.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            stored_name: name,
            problems: None,
            description: "",
            aggregates: Vec::new(),
            across: Vec::new(),
            consumers: vec![audit_index::PROJECTION],
            processes: Vec::new(),
            routes: Vec::new(),
            extra: Vec::new(),
            segments: BTreeSet::new(),
        }
    }

    /// The same, and what it stores, and its program, have that name: tables and queues begin with it.
    #[must_use]
    pub fn named(self, stored_name: &'static str) -> Self {
        Self { stored_name, ..self }
    }

    /// The same, and the types of its problems are described there: a slug follows the address.
    #[must_use]
    pub fn problems_at(self, address: &'static str) -> Self {
        Self { problems: Some(address), ..self }
    }

    /// The same, and its API's description begins with that text.
    #[must_use]
    pub fn described(self, description: &'static str) -> Self {
        Self { description, ..self }
    }

    /// The same without the audit index: streams have their history, and nothing is searched over all of them. Commands that
    /// are too old for a snapshot are looked for in their stream.
    #[must_use]
    pub fn without_audit_index(mut self) -> Self {
        self.consumers.retain(|known| known.name != audit_index::PROJECTION.name);
        self
    }

    /// Whether it has the audit index.
    pub fn has_audit_index(&self) -> bool {
        self.consumer(audit_index::PROJECTION.name).is_some()
    }

    /// The same with an aggregate.
    #[must_use]
    pub fn aggregate<S, C, E, R>(mut self, aggregate: Aggregate<S, C, E, R>) -> Self
    where
        S: Clone + Send + Sync + 'static,
        C: Serialize + DeserializeOwned + ToSchema + Send + Sync + 'static,
        E: DeserializeOwned + Send + Sync + 'static,
        R: fmt::Display + Send + Sync + 'static,
    {
        self.aggregates.push(Arc::new(aggregate));
        self
    }

    /// The same with a command over several streams.
    #[must_use]
    pub fn across(mut self, command: Across) -> Self {
        self.across.push(Arc::new(command));
        self
    }

    /// The same with routes.
    #[must_use]
    pub fn routes(mut self, routes: impl IntoIterator<Item = Route>) -> Self {
        for route in routes {
            self.segments.extend(first_segment(route.path));
            self.routes.push(route);
        }
        self
    }

    /// The same with a router for what no [`Route`] can say.
    #[must_use]
    pub fn merge(mut self, router: fn() -> OpenApiRouter<Arc<Api>>) -> Self {
        self.segments.extend(router().get_openapi().paths.paths.keys().filter_map(|path| first_segment(path)));
        self.extra.push(router);
        self
    }

    /// The same with a read model.
    #[must_use]
    pub fn read_model(mut self, projection: Projection) -> Self {
        // The audit index stays behind the read models, processes come last: so lists show them.
        let is_behind = |known: &Projection| known.name == audit_index::PROJECTION.name || !known.is_read_model();
        let place = self.consumers.iter().position(is_behind).unwrap_or(self.consumers.len());
        self.consumers.insert(place, projection);
        self
    }

    /// The same with a process.
    #[must_use]
    pub fn process(mut self, process: Process) -> Self {
        self.consumers.push(process.projection());
        self.processes.push(process);
        self
    }

    /// How the app is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What the names of its tables and queues begin with, and how its program is called.
    pub fn stored_name(&self) -> &'static str {
        self.stored_name
    }

    /// What it is, in a sentence.
    pub fn description(&self) -> &'static str {
        self.description
    }

    /// The name of a stream of each aggregate, as an example.
    pub fn example_streams(&self) -> Vec<String> {
        let name = |aggregate: &Arc<dyn AnyAggregate>| format!("{}-{}", aggregate.category(), aggregate.key().example);
        self.aggregates.iter().map(name).collect()
    }

    /// The path and the body of a command to try first: one that begins a stream, or else the first.
    pub fn example_call(&self) -> Option<(String, String)> {
        let commands = || {
            self.routes.iter().filter_map(|route| match &route.to {
                Target::Command(to) => Some((route, to)),
                Target::Across(_) | Target::Row(_) | Target::List(_) => None,
            })
        };
        let (route, to) = commands().find(|(_, to)| to.creates.is_some()).or_else(|| commands().next())?;
        let aggregate = self.aggregate_of(to.category)?;
        let (_, example) = aggregate.examples().into_iter().find(|(name, _)| name == to.command)?;
        let parameter = format!("{{{}}}", route.parameter().unwrap_or_default());
        Some((route.path.replace(&parameter, aggregate.key().example), example.to_string()))
    }

    pub(crate) fn aggregates(&self) -> &[Arc<dyn AnyAggregate>] {
        &self.aggregates
    }

    pub(crate) fn commands_across(&self) -> &[Arc<Across>] {
        &self.across
    }

    /// The aggregate of that category.
    pub(crate) fn aggregate_of(&self, category: &str) -> Option<&Arc<dyn AnyAggregate>> {
        self.aggregates.iter().find(|aggregate| aggregate.category() == category)
    }

    pub(crate) fn table_of_routes(&self) -> &[Route] {
        &self.routes
    }

    /// Whether paths of the app begin with that segment.
    pub(crate) fn serves(&self, segment: &str) -> bool {
        self.segments.contains(segment)
    }

    pub(crate) fn extra_routes(&self) -> impl Iterator<Item = OpenApiRouter<Arc<Api>>> {
        self.extra.iter().map(|router| router())
    }

    /// The stream of that name, as callers write it: its aggregate may know several ways to write one key.
    ///
    /// # Errors
    /// [`InvalidStreamId`] says which rule the text breaks.
    pub fn stream(&self, text: &str) -> Result<StreamId, InvalidStreamId> {
        let stream = StreamId::new(text)?;
        let aggregate = self.aggregate_of(stream.category());
        match aggregate.and_then(|aggregate| (aggregate.key().parse)(stream.key()).ok()) {
            Some(key) => StreamId::new(format!("{}-{key}", stream.category())),
            None => Ok(stream),
        }
    }

    /// A command to a stream of that category, as a process asks for it: `{"type", "data"}`.
    pub(crate) fn read_asked(&self, category: &str, json: &Value) -> Result<Command, UnreadableCommand> {
        let aggregate = self.aggregate_of(category).ok_or_else(|| UnreadableCommand::Category(category.to_owned()))?;
        let name = json.get("type").and_then(Value::as_str).ok_or(UnreadableCommand::Nothing)?;
        let data = serde_json::to_vec(json.get("data").unwrap_or(&Value::Object(Map::new())))?;
        Command::read(aggregate, name, &data, &mut Vec::new()).map_err(|(_, error)| error.into())
    }

    /// A command as a queue carries it: `{category: {"type", "data"}}`.
    pub(crate) fn read_command(&self, json: &RawValue) -> Result<Command, UnreadableCommand> {
        let mut of_category: BTreeMap<String, Tagged> = serde_json::from_str(json.get())?;
        let (category, Tagged { name, data }) = of_category.pop_first().ok_or(UnreadableCommand::Nothing)?;
        let aggregate = self.aggregate_of(&category).ok_or(UnreadableCommand::Category(category))?;
        let data = data.as_deref().map_or("{}", RawValue::get);
        Command::read(aggregate, &name, data.as_bytes(), &mut Vec::new()).map_err(|(_, error)| error.into())
    }

    /// Everything that has a queue and can be operated: read models, the audit index, processes.
    pub fn consumers(&self) -> &[Projection] {
        &self.consumers
    }

    /// The one of that name.
    pub fn consumer(&self, name: &str) -> Option<&Projection> {
        self.consumers.iter().find(|projection| projection.name == name)
    }

    /// The names of its processes.
    pub fn processes(&self) -> impl Iterator<Item = &'static str> {
        self.processes.iter().map(|process| process.projection().name)
    }

    /// The process of that name.
    pub(crate) fn process_named(&self, name: &str) -> Option<&Process> {
        self.processes.iter().find(|process| process.projection().name == name)
    }

    /// What can be rebuilt: read models and the audit index.
    pub fn read_models(&self) -> impl Iterator<Item = &Projection> {
        self.consumers.iter().filter(|projection| projection.is_read_model())
    }

    /// Checks the registrations. From then on, the names of this process's scopes, problems and metrics are the app's.
    ///
    /// # Errors
    /// [`BadApp`], with every mistake.
    pub fn checked(self) -> Result<Self, BadApp> {
        let wrong = self.wrong();
        if !wrong.is_empty() {
            return Err(BadApp { app: self.name, wrong });
        }
        identity::take(&self);
        Ok(self)
    }
}

fn first_segment(path: &str) -> Option<String> {
    path.split('/').nth(1).map(str::to_owned)
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let categories: Vec<&str> = self.aggregates.iter().map(|aggregate| aggregate.category()).collect();
        let consumers: Vec<&str> = self.consumers.iter().map(|projection| projection.name).collect();
        write!(f, "{} of {categories:?}, read by {consumers:?}", self.name)
    }
}
