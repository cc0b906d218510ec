//! An instance and its row, which is replaced as a whole.

use super::ask::{EventOrigin, OpenAsk, StoredAsk, is_false};
use super::error::ProcessError;
use super::{AskAnswer, Process, RawInput, Reaction};
use eventstore::{Id, StreamId};
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The format of the rows. Rows without a number are older than the runner: see
/// [`Process::lifting`].
const FORMAT: u32 = 1;
/// The most asks of an instance that may be open.
pub(super) const MAX_OPEN: usize = 1_000;

/// One run of a process.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Instance {
    key: String,
    /// None before its first event.
    state: Option<Value>,
    /// Its position in each stream: the version of the last event that it reacted to.
    seen: BTreeMap<StreamId, u64>,
    /// Its open asks, the oldest first.
    open: Vec<OpenAsk>,
    /// Whether it is held: an open ask fails until program or data change. Other streams do not
    /// wait for it.
    pub(super) held: bool,
}

/// The row's data: fields may be added, none renamed or dropped.
#[derive(Serialize, Deserialize)]
struct StoredInstance {
    format: u32,
    state: Value,
    seen: BTreeMap<StreamId, u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    open: Vec<Caused>,
    #[serde(default, skip_serializing_if = "is_false")]
    held: bool,
}

/// The asks with one cause.
#[derive(Serialize, Deserialize)]
struct Caused {
    cause: EventOrigin,
    asks: Vec<StoredAsk>,
}

impl Instance {
    /// An instance before its first event.
    pub(super) fn new(key: String) -> Self {
        Self { key, state: None, seen: BTreeMap::new(), open: Vec::new(), held: false }
    }

    /// An instance from its row.
    pub(super) fn read(process: &Process, key: String, row: Value) -> Result<Self, ProcessError> {
        let unreadable = |key: &str| {
            let key = key.to_owned();
            move |source| ProcessError::Row { key, source }
        };
        if row.get("format").is_none()
            && let Some(lift) = &process.lift
        {
            let Reaction { state, asks } = lift(row).map_err(unreadable(&key))?;
            let mut instance = Self { state: Some(state), ..Self::new(key) };
            for ask in asks {
                let cause = ask
                    .cause()
                    .cloned()
                    .ok_or_else(|| serde_json::Error::custom("an ask without a cause"));
                let cause = cause.map_err(unreadable(&instance.key))?;
                instance.open(process, ask, &cause)?;
            }
            instance.held = !instance.open.is_empty();
            return Ok(instance);
        }
        let stored: StoredInstance = serde_json::from_value(row).map_err(unreadable(&key))?;
        if stored.format != FORMAT {
            let format =
                format!("format {} is not {FORMAT}, which this program writes", stored.format);
            return Err(unreadable(&key)(serde_json::Error::custom(format)));
        }
        let (state, seen, held) = (Some(stored.state), stored.seen, stored.held);
        let mut instance = Self { state, seen, held, ..Self::new(key) };
        for Caused { cause, asks } in stored.open {
            for ask in asks {
                instance.open(process, ask.ask(&cause), &cause)?;
            }
        }
        Ok(instance)
    }

    /// The row.
    pub(super) fn row(&self) -> serde_json::Result<Value> {
        let mut open: Vec<Caused> = Vec::new();
        for ask in &self.open {
            match open.last_mut().filter(|caused| caused.cause == ask.cause) {
                Some(caused) => caused.asks.push(ask.stored()),
                None => open.push(Caused { cause: ask.cause.clone(), asks: vec![ask.stored()] }),
            }
        }
        let state = self.state.clone().unwrap_or_default();
        serde_json::to_value(StoredInstance {
            format: FORMAT,
            state,
            seen: self.seen.clone(),
            open,
            held: self.held,
        })
    }

    /// The instance's key.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Its open asks.
    pub(super) fn asks(&self) -> &[OpenAsk] {
        &self.open
    }

    /// Whether it has not reacted to that event yet.
    pub(super) fn is_new(&self, origin: &EventOrigin) -> bool {
        self.seen.get(&origin.stream).is_none_or(|seen| *seen < origin.version)
    }

    /// Reacts to an event. Returns the ids of its new asks.
    pub(super) fn react_to_event(
        &mut self,
        process: &Process,
        origin: &EventOrigin,
        event: &eventstore::NewEvent,
    ) -> Result<Vec<Id>, ProcessError> {
        let asked = self.react(process, RawInput::Event(origin, event), origin)?;
        self.seen.insert(origin.stream.clone(), origin.version);
        Ok(asked)
    }

    /// Reacts once to each answer of an open ask, in the order of the asks. Returns the ids of its
    /// new asks; none if no open ask is answered.
    pub(super) fn answer(
        &mut self,
        process: &Process,
        answers: &BTreeMap<Id, AskAnswer>,
    ) -> Result<Option<Vec<Id>>, ProcessError> {
        let (answered, open) = std::mem::take(&mut self.open)
            .into_iter()
            .partition(|open| answers.contains_key(&open.id));
        self.open = open;
        let answered: Vec<OpenAsk> = answered;
        let mut asked = Vec::new();
        for OpenAsk { ask, cause, id, .. } in &answered {
            if let Some(answer) = answers.get(id) {
                asked.extend(self.react(process, RawInput::Answer(ask, answer), cause)?);
            }
        }
        self.held &= !self.open.is_empty();
        Ok(Some(asked).filter(|_| !answered.is_empty()))
    }

    fn react(
        &mut self,
        process: &Process,
        input: RawInput<'_>,
        cause: &EventOrigin,
    ) -> Result<Vec<Id>, ProcessError> {
        let Reaction { state, asks } = (process.react)(self.state.as_ref(), input)?;
        self.state = Some(state);
        asks.into_iter().map(|ask| self.open(process, ask, cause)).collect()
    }

    /// Opens an ask, if it is not open already.
    fn open(
        &mut self,
        process: &Process,
        ask: super::Ask,
        cause: &EventOrigin,
    ) -> Result<Id, ProcessError> {
        let ask = OpenAsk::of(process.projection.name, &self.key, ask, cause)?;
        let id = ask.id.clone();
        if self.open.iter().all(|open| open.id != id) {
            if self.open.len() >= MAX_OPEN {
                return Err(ProcessError::TooMany);
            }
            self.open.push(ask);
        }
        Ok(id)
    }
}
