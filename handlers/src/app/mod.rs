//! What a team registers: one value, [`App`]. Tables, queues, routes and functions follow from it.
//!
//! ```
//! use eventstore::{EventCodec, Model, SnapshotCodec};
//! use handlers::app::{Aggregate, App, KeyFormat, ReadModel, command, row};
//! use projections::Row;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, utoipa::ToSchema)]
//! #[serde(tag = "type", content = "data")]
//! enum Command {
//!     /// Add to the sum.
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
//! /// A rejection is any type with `Display`. Here it is a text, which is its own code.
//! const COUNTER: Aggregate<u64, Command, Event, &str> = Aggregate {
//!     category: "counter",
//!     key: KeyFormat::ANY,
//!     model: Model {
//!         initial: u64::default,
//!         evolve: |sum, Event::Counted { more }| sum + u64::from(*more),
//!         encode: |event| EVENTS.encode(event),
//!         decode: |event| EVENTS.decode(event),
//!         snapshot: Some(SnapshotCodec::json("counter/1")),
//!     },
//!     events: EVENTS,
//!     decide: |sum, Command::Count { more }| match sum + u64::from(*more) {
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
mod check_routes;
mod command;
pub(crate) mod command_id;
mod dispatch;
mod identity;
mod read_model;
mod route;
pub(crate) mod schema;

pub use across::{Across, DecidedForAll, DecidedForPair, Pair};
pub use aggregate::{Aggregate, KeyFormat};
pub use command::Command;
pub use dispatch::{CommandRefusal, Dispatcher};
pub use read_model::{Addition, EventContext, FoldOfMany, ReadModel};
pub use route::{Route, across, command, creation, list, row};

pub(crate) use across::AcrossError;
pub(crate) use aggregate::AnyAggregate;
pub(crate) use command::{CommandValue, JsonError, UnreadableCommand, read_data};
pub(crate) use dispatch::{CommandError, is_clock_skew, is_final, is_unreadable};
pub(crate) use identity::identity;
pub(crate) use route::{CommandRoute, ListRoute, RowRoute, Target};

use crate::audit::access;
use crate::process::Process;
use eventstore::{InvalidStreamId, StreamId};
use projections::{Projection, Projector, audit_index, journal};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

/// The aggregates, read models, processes and routes of one system, and its names. Every app starts
/// with the audit index and the journal. Cheap to clone.
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
    extra: Vec<fn() -> OpenApiRouter<Projector>>,
    /// The first segments of its paths.
    segments: BTreeSet<String>,
}

/// Registrations that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the app {app} cannot run: {}", .mistakes.join("; "))]
pub struct InvalidApp {
    /// The app's name.
    pub app: &'static str,
    /// A sentence for each mistake.
    pub mistakes: Vec<String>,
}

impl App {
    /// An app with the audit index, the journal and nothing else.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            stored_name: name,
            problems: None,
            description: "",
            aggregates: Vec::new(),
            across: Vec::new(),
            consumers: vec![audit_index::PROJECTION, journal::PROJECTION],
            processes: Vec::new(),
            routes: Vec::new(),
            extra: Vec::new(),
            segments: BTreeSet::new(),
        }
    }

    /// Sets the name that its tables and queues begin with, and that its program has. Without it,
    /// that is the app's name.
    #[must_use]
    pub fn named(self, stored_name: &'static str) -> Self {
        Self { stored_name, ..self }
    }

    /// Sets the address at which the types of its problems are described. A slug follows it.
    #[must_use]
    pub fn problems_at(self, address: &'static str) -> Self {
        Self { problems: Some(address), ..self }
    }

    /// Sets the text that the API's description begins with.
    #[must_use]
    pub fn described(self, description: &'static str) -> Self {
        Self { description, ..self }
    }

    /// Leaves out the audit index. Audit queries then read one stream each. The store finds ids of
    /// commands older than its snapshot by reading the stream.
    #[must_use]
    pub fn without_audit_index(mut self) -> Self {
        self.consumers.retain(|known| known.name != audit_index::PROJECTION.name);
        self
    }

    /// Whether it has the audit index.
    pub fn has_audit_index(&self) -> bool {
        self.consumer(audit_index::PROJECTION.name).is_some()
    }

    /// Leaves out the journal. Then there is no order over all streams, so that nothing can follow
    /// all commits from a position, and streams cannot be listed.
    #[must_use]
    pub fn without_journal(mut self) -> Self {
        self.consumers.retain(|known| known.name != journal::PROJECTION.name);
        self
    }

    /// Whether it has the journal.
    pub fn has_journal(&self) -> bool {
        self.consumer(journal::PROJECTION.name).is_some()
    }

    /// Adds an aggregate.
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

    /// Adds a command over several streams.
    #[must_use]
    pub fn across(mut self, command: Across) -> Self {
        self.across.push(Arc::new(command));
        self
    }

    /// Adds routes.
    #[must_use]
    pub fn routes(mut self, routes: impl IntoIterator<Item = Route>) -> Self {
        for route in routes {
            self.segments.extend(first_segment(route.path));
            self.routes.push(route);
        }
        self
    }

    /// Adds a router, for what no [`Route`] can express. Its handlers take `State<Projector>`,
    /// which reads rows and lists.
    #[must_use]
    pub fn merge(mut self, router: fn() -> OpenApiRouter<Projector>) -> Self {
        self.segments.extend(
            router().get_openapi().paths.paths.keys().filter_map(|path| first_segment(path)),
        );
        self.extra.push(router);
        self
    }

    /// Adds a read model.
    #[must_use]
    pub fn read_model(mut self, projection: Projection) -> Self {
        // Lists show read models first, then the audit index and the journal, then processes.
        let of_machine = [audit_index::PROJECTION.name, journal::PROJECTION.name];
        let is_later =
            |known: &Projection| of_machine.contains(&known.name) || !known.is_read_model();
        let place = self.consumers.iter().position(is_later).unwrap_or(self.consumers.len());
        self.consumers.insert(place, projection);
        self
    }

    /// Adds a process.
    #[must_use]
    pub fn process(mut self, process: Process) -> Self {
        self.consumers.push(process.projection());
        self.processes.push(process);
        self
    }

    /// The app's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What the names of its tables and queues begin with. Its program has this name, too.
    pub fn stored_name(&self) -> &'static str {
        self.stored_name
    }

    /// What the app is, in a sentence.
    pub fn description(&self) -> &'static str {
        self.description
    }

    /// An example of a stream's name for each aggregate.
    pub fn example_streams(&self) -> Vec<String> {
        let name = |aggregate: &Arc<dyn AnyAggregate>| {
            format!("{}-{}", aggregate.category(), aggregate.key().example)
        };
        self.aggregates.iter().map(name).collect()
    }

    /// Path and body of a command to try first: a command that creates a stream, or else any.
    pub fn example_call(&self) -> Option<(String, String)> {
        let commands = || {
            self.routes.iter().filter_map(|route| match &route.to {
                Target::Command(to) => Some((route, to)),
                Target::Across(_) | Target::Row(_) | Target::List(_) => None,
            })
        };
        let (route, to) =
            commands().find(|(_, to)| to.creates.is_some()).or_else(|| commands().next())?;
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

    /// The categories of its streams by name, with that of the readings of the audit trail.
    pub fn categories(&self) -> Vec<String> {
        let own = self.aggregates.iter().map(|aggregate| aggregate.category());
        let all: BTreeSet<&str> = own.chain([access::CATEGORY]).collect();
        all.into_iter().map(str::to_owned).collect()
    }

    /// The aggregate of that category.
    pub(crate) fn aggregate_of(&self, category: &str) -> Option<&Arc<dyn AnyAggregate>> {
        self.aggregates.iter().find(|aggregate| aggregate.category() == category)
    }

    pub(crate) fn registered_routes(&self) -> &[Route] {
        &self.routes
    }

    /// Whether paths of the app begin with that segment.
    pub(crate) fn has_paths_under(&self, segment: &str) -> bool {
        self.segments.contains(segment)
    }

    pub(crate) fn extra_routes(&self) -> impl Iterator<Item = OpenApiRouter<Projector>> {
        self.extra.iter().map(|router| router())
    }

    /// The stream of that name, as a caller writes it. The aggregate may accept several forms of
    /// one key.
    ///
    /// # Errors
    /// [`InvalidStreamId`], with the rule that the text breaks.
    pub fn stream(&self, text: &str) -> Result<StreamId, InvalidStreamId> {
        let stream = StreamId::new(text)?;
        let aggregate = self.aggregate_of(stream.category());
        match aggregate.and_then(|aggregate| (aggregate.key().parse)(stream.key()).ok()) {
            Some(key) => StreamId::new(format!("{}-{key}", stream.category())),
            None => Ok(stream),
        }
    }

    /// All projections: read models, the audit index and processes. Each has a queue.
    pub fn consumers(&self) -> &[Projection] {
        &self.consumers
    }

    /// The projection of that name.
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

    /// What can be rebuilt: read models, the audit index and the journal.
    pub fn read_models(&self) -> impl Iterator<Item = &Projection> {
        self.consumers.iter().filter(|projection| projection.is_read_model())
    }

    /// Checks all registrations. After that, this process names scopes, problems and metrics after
    /// the app.
    ///
    /// # Errors
    /// [`InvalidApp`], with all mistakes.
    pub fn checked(self) -> Result<Self, InvalidApp> {
        let mistakes = self.mistakes();
        if !mistakes.is_empty() {
            return Err(InvalidApp { app: self.name, mistakes });
        }
        identity::set(&self);
        Ok(self)
    }
}

fn first_segment(path: &str) -> Option<String> {
    path.split('/').nth(1).map(str::to_owned)
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let categories: Vec<&str> =
            self.aggregates.iter().map(|aggregate| aggregate.category()).collect();
        let consumers: Vec<&str> =
            self.consumers.iter().map(|projection| projection.name).collect();
        write!(f, "{} of {categories:?}, read by {consumers:?}", self.name)
    }
}
