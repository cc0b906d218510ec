//! Processes: events of some streams lead to commands to other streams.
//!
//! An author writes two pure functions. `key` names the instance that an event concerns, such as an
//! order's id. `react` returns the instance's next state and its asks, for an event or for the
//! answer to an earlier ask. For each event the runner ([`ProcessHandler`]) does the rest, in this
//! order:
//!
//! 1. It stores the decision in the instance's row: state, position in the event's stream, and
//!    asks.
//! 2. It sends the open asks, each as a command whose id is computed from the ask.
//! 3. It stores the answers with the asks that follow, and sends those, until no ask is open.
//! 4. It advances its position in the stream.
//!
//! If a runner dies, its asks are in the row: the event is redelivered, and they are sent again
//! under the same ids. Each write of the row is conditional: of two runners one succeeds, and the
//! other reads again. An instance does not react again to an event at or before its position. A
//! refusal is recorded in the stream that refused, so the same ask is always refused.
//!
//! ```
//! use eventstore::EventCodec;
//! use handlers::process::{AskAnswer, Ask, Input, Process, FollowedCategory, EventOrigin, ask};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! #[serde(tag = "type", content = "data")]
//! enum Event {
//!     RenewalDue { account: String },
//!     Suspended {},
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! #[serde(tag = "type", content = "data")]
//! enum Command {
//!     Withdraw { minor: u64 },
//!     Suspend {},
//! }
//!
//! /// A renewal withdraws its price; without enough money the subscription is suspended. The state is its stream.
//! fn pay(known: String, input: Input<'_, Event>) -> (String, Vec<Ask>) {
//!     match input {
//!         Input::Event(origin, Event::RenewalDue { account }) => {
//!             let withdraw = ask("withdraw", format!("account-{account}"), &Command::Withdraw { minor: 995 });
//!             (origin.stream.to_string(), vec![withdraw])
//!         }
//!         Input::Answer { ask: asked, answer: AskAnswer::Refused { .. } } if asked.name == "withdraw" => {
//!             let suspend = ask("suspend", &*known, &Command::Suspend {});
//!             (known, vec![suspend])
//!         }
//!         Input::Event(..) | Input::Answer { .. } => (known, Vec::new()),
//!     }
//! }
//!
//! let subscriptions = FollowedCategory::of("subscription", EventCodec::<Event>::new(&[]), std::convert::identity);
//! let key = |origin: &EventOrigin, _: &Event| Ok(Some(origin.stream.key().to_owned()));
//! let payments = Process::named("payments", "payments/1", [subscriptions], key, pay);
//! assert_eq!(payments.projection().name, "payments");
//! ```

mod ask;
mod error;
mod handler;
mod instance;
mod instance_events;
mod runner;

pub use ask::{Ask, AskAnswer, EventOrigin, ask};
pub use error::{AskError, ProcessError};
pub use handler::ProcessHandler;

use eventstore::{CodecError, CommandRequest, EventCodec, NewEvent};
use futures::future::BoxFuture;
use projections::{Follows, Kind, Knows, Projection};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::error::Error;
use std::sync::Arc;

/// Why a stream or an event does not belong to the process: an error of the author's types.
pub type ProcessFailure = Box<dyn Error + Send + Sync>;

/// The key of the instance that an event concerns; none if it concerns no instance.
pub type InstanceKey = Result<Option<String>, ProcessFailure>;

/// Handles a command, `{"type", "data"}`. A refusal is an answer, and must be recorded in the
/// stream: see
/// [`handle_recording_refusals`](eventstore::CommandHandler::handle_recording_refusals).
pub type SendCommand = Arc<
    dyn Fn(CommandRequest, Value) -> BoxFuture<'static, Result<AskAnswer, AskError>> + Send + Sync,
>;

type DecodeEvent<E> = dyn Fn(&NewEvent) -> Result<E, CodecError> + Send + Sync;
type KeyOf = dyn Fn(&EventOrigin, &NewEvent) -> Result<Option<String>, ProcessError> + Send + Sync;
type React = dyn Fn(Option<&Value>, RawInput<'_>) -> Result<Reaction, ProcessError> + Send + Sync;
type LiftRow = dyn Fn(Value) -> serde_json::Result<Reaction> + Send + Sync;

/// What an instance reacts to.
#[derive(Debug)]
pub enum Input<'a, E> {
    /// An event.
    Event(&'a EventOrigin, E),
    /// The answer to one of its asks.
    Answer {
        /// The ask.
        ask: &'a Ask,
        /// Its answer.
        answer: &'a AskAnswer,
    },
}

/// A category that a process follows, and how its events are decoded.
pub struct FollowedCategory<E> {
    category: &'static str,
    read: Arc<DecodeEvent<E>>,
    knows: Arc<Knows>,
}

impl<E: 'static> FollowedCategory<E> {
    /// The streams of that category. `map` turns their events into the process's event type: with
    /// several categories into a variant of an enum; with one, use [`std::convert::identity`].
    pub fn of<S: DeserializeOwned + 'static>(
        category: &'static str,
        events: EventCodec<S>,
        map: fn(S) -> E,
    ) -> Self {
        let knows = Arc::new(move |event_type: &str| events.knows(event_type));
        Self { category, read: Arc::new(move |event| events.decode(event).map(map)), knows }
    }
}

/// A process: the streams that it follows, the instance of each event, and its reactions.
#[derive(Clone)]
pub struct Process {
    pub(crate) projection: Projection,
    key: Arc<KeyOf>,
    react: Arc<React>,
    lift: Option<Arc<LiftRow>>,
}

/// What an instance reacts to, not decoded yet.
#[derive(Debug, Clone, Copy)]
enum RawInput<'a> {
    Event(&'a EventOrigin, &'a NewEvent),
    Answer(&'a Ask, &'a AskAnswer),
}

/// The next state, and the new asks.
#[derive(Debug)]
struct Reaction {
    state: Value,
    asks: Vec<Ask>,
}

impl Process {
    /// A process of that name, which follows those categories. `shape` is the name of its states'
    /// shape, such as `payments/1`.
    ///
    /// `react` must be pure: after a conflict with another runner it is called again.
    pub fn named<S, E>(
        name: &'static str,
        shape: &'static str,
        sources: impl IntoIterator<Item = FollowedCategory<E>>,
        key: fn(&EventOrigin, &E) -> InstanceKey,
        react: fn(S, Input<'_, E>) -> (S, Vec<Ask>),
    ) -> Self
    where
        S: Default + Serialize + DeserializeOwned + 'static,
        E: 'static,
    {
        let sources: Arc<[FollowedCategory<E>]> = sources.into_iter().collect();
        let categories: Vec<&'static str> = sources.iter().map(|source| source.category).collect();
        let known: Vec<Arc<Knows>> =
            sources.iter().map(|source| Arc::clone(&source.knows)).collect();
        // Leaked: made once at start, and used as long as the program runs.
        let projection = Projection {
            name,
            shape,
            follows: Follows::Categories(Vec::leak(categories)),
            knows: Box::leak(Box::new(move |event_type: &str| {
                known.iter().any(|knows| knows(event_type))
            })),
            ignored: &[],
            kind: Kind::Process,
        };
        let read = move |origin: &EventOrigin, event: &NewEvent| {
            let source = sources.iter().find(|source| source.category == origin.stream.category());
            source.map(|source| (source.read)(event)).transpose().map_err(ProcessError::from)
        };
        let read = Arc::new(read);
        let decode = Arc::clone(&read);
        let key = move |origin: &EventOrigin, event: &NewEvent| match read(origin, event)? {
            Some(event) => key(origin, &event).map_err(ProcessError::Foreign),
            None => Ok(None),
        };
        let react = move |state: Option<&Value>, input: RawInput<'_>| {
            let state: S = state
                .map(S::deserialize)
                .transpose()
                .map_err(ProcessError::State)?
                .unwrap_or_default();
            let (state, asks) = match input {
                RawInput::Event(origin, event) => match decode(origin, event)? {
                    Some(event) => react(state, Input::Event(origin, event)),
                    None => (state, Vec::new()),
                },
                RawInput::Answer(ask, answer) => react(state, Input::Answer { ask, answer }),
            };
            Ok(Reaction { state: serde_json::to_value(state).map_err(ProcessError::State)?, asks })
        };
        Self { projection, key: Arc::new(key), react: Arc::new(react), lift: None }
    }

    /// The projection by which it gets notifications, and is parked and resumed.
    pub fn projection(&self) -> Projection {
        self.projection
    }

    /// The same, and `lift` reads rows that are older than the runner's own format: it returns the
    /// instance's state and its open asks. Each of these asks must name its cause.
    #[must_use]
    pub fn lifting<S: Serialize + 'static>(
        self,
        lift: fn(Value) -> serde_json::Result<(S, Vec<Ask>)>,
    ) -> Self {
        let lift = move |row| {
            let (state, asks) = lift(row)?;
            Ok(Reaction { state: serde_json::to_value(state)?, asks })
        };
        Self { lift: Some(Arc::new(lift)), ..self }
    }
}

#[cfg(test)]
mod specs;
