//! Processes: what happens in some streams asks for commands to others.
//!
//! An author writes two pure functions. `key` names the instance that an event concerns, such as an order's id. `react`
//! gives the instance's next state and what it asks for, for an event or for the answer to an earlier ask. The runner
//! ([`ProcessHandler`]) does the rest, in this order, for each event:
//!
//! 1. It keeps the decision: state, position in the event's stream, and asks, in one row an instance.
//! 2. It sends the open asks, each as a command whose id follows from the ask.
//! 3. It keeps the answers, with what they ask for next, and sends that; until nothing is open.
//! 4. It moves on in the stream.
//!
//! A runner that dies anywhere leaves its asks in the row: the event comes again, and they are sent again under the same
//! ids. Each write of the row is conditional: of two runners one wins, and the other reads again. An event at or before the
//! instance's position in its stream is not reacted to again. A refusal is recorded in the stream that refused, so the same
//! ask is refused for ever.
//!
//! ```
//! use eventstore::EventCodec;
//! use handlers::process::{Answer, Ask, Heard, Process, Source, Told, ask};
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
//! /// A renewal withdraws its price; what is not there suspends the subscription. The state is the subscription's stream.
//! fn pay(known: String, heard: Heard<'_, Event>) -> (String, Vec<Ask>) {
//!     match heard {
//!         Heard::Event(told, Event::RenewalDue { account }) => {
//!             let withdraw = ask("withdraw", format!("account-{account}"), &Command::Withdraw { minor: 995 });
//!             (told.stream.to_string(), vec![withdraw])
//!         }
//!         Heard::Answer { ask: asked, answer: Answer::Refused { .. } } if asked.name == "withdraw" => {
//!             let suspend = ask("suspend", &*known, &Command::Suspend {});
//!             (known, vec![suspend])
//!         }
//!         Heard::Event(..) | Heard::Answer { .. } => (known, Vec::new()),
//!     }
//! }
//!
//! let subscriptions = Source::of("subscription", EventCodec::<Event>::new(&[]), std::convert::identity);
//! let key = |told: &Told, _: &Event| Ok(Some(told.stream.key().to_owned()));
//! let payments = Process::named("payments", "payments/1", [subscriptions], key, pay);
//! assert_eq!(payments.projection().name, "payments");
//! ```

mod ask;
mod error;
mod handler;
mod instance;
mod instance_events;
mod runner;

pub use ask::{Answer, Ask, Told, ask};
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

/// Why a stream or an event is none of the process's: an error of the author's types.
pub type Failure = Box<dyn Error + Send + Sync>;

/// The key of the instance that an event concerns; none where it concerns none.
pub type Key = Result<Option<String>, Failure>;

/// Hands a command, `{"type", "data"}`, to what handles it. A refusal is an answer, and must be recorded in the stream: see
/// [`handle_recording_refusals`](eventstore::CommandHandler::handle_recording_refusals).
pub type SendCommand = Arc<dyn Fn(CommandRequest, Value) -> BoxFuture<'static, Result<Answer, AskError>> + Send + Sync>;

type Read<E> = dyn Fn(&NewEvent) -> Result<E, CodecError> + Send + Sync;
type KeyOf = dyn Fn(&Told, &NewEvent) -> Result<Option<String>, ProcessError> + Send + Sync;
type React = dyn Fn(Option<&Value>, Input<'_>) -> Result<Reaction, ProcessError> + Send + Sync;
type Lift = dyn Fn(Value) -> serde_json::Result<Reaction> + Send + Sync;

/// What an instance hears.
#[derive(Debug)]
pub enum Heard<'a, E> {
    /// Something happened.
    Event(&'a Told, E),
    /// One of its asks is answered.
    Answer {
        /// What was asked.
        ask: &'a Ask,
        /// What came of it.
        answer: &'a Answer,
    },
}

/// Streams of one category that a process hears of, and how their events are read.
pub struct Source<E> {
    category: &'static str,
    read: Arc<Read<E>>,
    knows: Arc<Knows>,
}

impl<E: 'static> Source<E> {
    /// The streams of that category. `hear` makes what the process hears of an event: for several sources, the variant of
    /// an enum; for a single one, [`std::convert::identity`].
    pub fn of<S: DeserializeOwned + 'static>(category: &'static str, events: EventCodec<S>, hear: fn(S) -> E) -> Self {
        let knows = Arc::new(move |event_type: &str| events.knows(event_type));
        Self { category, read: Arc::new(move |event| events.decode(event).map(hear)), knows }
    }
}

/// A process: whom it hears of, which instance an event concerns, and what that asks for then.
#[derive(Clone)]
pub struct Process {
    pub(crate) projection: Projection,
    key: Arc<KeyOf>,
    react: Arc<React>,
    lift: Option<Arc<Lift>>,
}

/// What an instance hears, before its type is known.
#[derive(Debug, Clone, Copy)]
enum Input<'a> {
    Event(&'a Told, &'a NewEvent),
    Answer(&'a Ask, &'a Answer),
}

/// The next state, and what it asks for.
#[derive(Debug)]
struct Reaction {
    state: Value,
    asks: Vec<Ask>,
}

impl Process {
    /// A process of that name, which hears of the streams of those sources. `shape` is the name of what its states mean, as
    /// `payments/1`.
    ///
    /// `react` must be pure: it is called again with the same when another runner was quicker.
    pub fn named<S, E>(
        name: &'static str,
        shape: &'static str,
        sources: impl IntoIterator<Item = Source<E>>,
        key: fn(&Told, &E) -> Key,
        react: fn(S, Heard<'_, E>) -> (S, Vec<Ask>),
    ) -> Self
    where
        S: Default + Serialize + DeserializeOwned + 'static,
        E: 'static,
    {
        let sources: Arc<[Source<E>]> = sources.into_iter().collect();
        let categories: Vec<&'static str> = sources.iter().map(|source| source.category).collect();
        let known: Vec<Arc<Knows>> = sources.iter().map(|source| Arc::clone(&source.knows)).collect();
        // Made once, at start: they live as long as the program.
        let projection = Projection {
            name,
            shape,
            follows: Follows::Categories(Vec::leak(categories)),
            knows: Box::leak(Box::new(move |event_type: &str| known.iter().any(|knows| knows(event_type)))),
            ignored: &[],
            kind: Kind::Process,
        };
        let read = move |told: &Told, event: &NewEvent| {
            let source = sources.iter().find(|source| source.category == told.stream.category());
            source.map(|source| (source.read)(event)).transpose().map_err(ProcessError::from)
        };
        let read = Arc::new(read);
        let heard = Arc::clone(&read);
        let key = move |told: &Told, event: &NewEvent| match read(told, event)? {
            Some(event) => key(told, &event).map_err(ProcessError::Foreign),
            None => Ok(None),
        };
        let react = move |state: Option<&Value>, input: Input<'_>| {
            let state: S = state.map(S::deserialize).transpose().map_err(ProcessError::State)?.unwrap_or_default();
            let (state, asks) = match input {
                Input::Event(told, event) => match heard(told, event)? {
                    Some(event) => react(state, Heard::Event(told, event)),
                    None => (state, Vec::new()),
                },
                Input::Answer(ask, answer) => react(state, Heard::Answer { ask, answer }),
            };
            Ok(Reaction { state: serde_json::to_value(state).map_err(ProcessError::State)?, asks })
        };
        Self { projection, key: Arc::new(key), react: Arc::new(react), lift: None }
    }

    /// Whom it hears of, and how it is called, parked and resumed.
    pub fn projection(&self) -> Projection {
        self.projection
    }

    /// The same, and rows from before the runner's own format are read by `lift`: the instance's state, and what is to be
    /// asked again. Each of these asks must name its cause.
    #[must_use]
    pub fn lifting<S: Serialize + 'static>(self, lift: fn(Value) -> serde_json::Result<(S, Vec<Ask>)>) -> Self {
        let lift = move |row| {
            let (state, asks) = lift(row)?;
            Ok(Reaction { state: serde_json::to_value(state)?, asks })
        };
        Self { lift: Some(Arc::new(lift)), ..self }
    }
}

#[cfg(test)]
mod specs;
