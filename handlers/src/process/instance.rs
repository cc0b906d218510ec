//! What is kept of an instance: one row, replaced as a whole.

use super::ask::{OpenAsk, StoredAsk, Told, is_false};
use super::error::ProcessError;
use super::{Answer, Input, Process, Reaction};
use eventstore::{Id, StreamId};
use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The format of the rows. Rows without a number are of before the runner: see [`Process::lifting`].
const FORMAT: u32 = 1;
/// The most asks of an instance that may be open.
pub(super) const MAX_OPEN: usize = 1_000;

/// What is kept of an instance.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Instance {
    key: String,
    /// None where the instance has heard of nothing yet.
    state: Option<Value>,
    /// The version of the last event of each stream that it has reacted to.
    seen: BTreeMap<StreamId, u64>,
    /// What it asks for, in the order in which it came.
    open: Vec<OpenAsk>,
    /// Whether something that is open could not be sent, and will not be until somebody helps: it holds up no stream then.
    pub(super) held: bool,
}

/// The row's data: fields may be added, none renamed or dropped.
#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    state: Value,
    seen: BTreeMap<StreamId, u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    open: Vec<Caused>,
    #[serde(default, skip_serializing_if = "is_false")]
    held: bool,
}

/// Asks of one cause.
#[derive(Serialize, Deserialize)]
struct Caused {
    cause: Told,
    asks: Vec<StoredAsk>,
}

impl Instance {
    /// An instance that has heard of nothing yet.
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
                let cause = ask.cause().cloned().ok_or_else(|| serde_json::Error::custom("an ask without a cause"));
                let cause = cause.map_err(unreadable(&instance.key))?;
                instance.open(process, ask, &cause)?;
            }
            instance.held = !instance.open.is_empty();
            return Ok(instance);
        }
        let stored: Stored = serde_json::from_value(row).map_err(unreadable(&key))?;
        if stored.format != FORMAT {
            let format = format!("format {} is not {FORMAT}, which this program writes", stored.format);
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
        serde_json::to_value(Stored { format: FORMAT, state, seen: self.seen.clone(), open, held: self.held })
    }

    /// The instance's key.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// What it asks for.
    pub(super) fn asks(&self) -> &[OpenAsk] {
        &self.open
    }

    /// Whether it has not reacted to that event yet.
    pub(super) fn is_new(&self, told: &Told) -> bool {
        self.seen.get(&told.stream).is_none_or(|seen| *seen < told.version)
    }

    /// Reacts to an event. The ids of what it asks for.
    pub(super) fn hear(
        &mut self,
        process: &Process,
        told: &Told,
        event: &eventstore::NewEvent,
    ) -> Result<Vec<Id>, ProcessError> {
        let asked = self.react(process, Input::Event(told, event), told)?;
        self.seen.insert(told.stream.clone(), told.version);
        Ok(asked)
    }

    /// Reacts to those answers that are to open asks, each once, in the order of the asks. The ids of what it asks for; none
    /// where no open ask is answered.
    pub(super) fn answer(
        &mut self,
        process: &Process,
        answers: &BTreeMap<Id, Answer>,
    ) -> Result<Option<Vec<Id>>, ProcessError> {
        let (answered, open) =
            std::mem::take(&mut self.open).into_iter().partition(|open| answers.contains_key(&open.id));
        self.open = open;
        let answered: Vec<OpenAsk> = answered;
        let mut asked = Vec::new();
        for OpenAsk { ask, cause, id, .. } in &answered {
            if let Some(answer) = answers.get(id) {
                asked.extend(self.react(process, Input::Answer(ask, answer), cause)?);
            }
        }
        self.held &= !self.open.is_empty();
        Ok(Some(asked).filter(|_| !answered.is_empty()))
    }

    fn react(&mut self, process: &Process, input: Input<'_>, cause: &Told) -> Result<Vec<Id>, ProcessError> {
        let Reaction { state, asks } = (process.react)(self.state.as_ref(), input)?;
        self.state = Some(state);
        asks.into_iter().map(|ask| self.open(process, ask, cause)).collect()
    }

    /// Opens an ask, if it is not open already.
    fn open(&mut self, process: &Process, ask: super::Ask, cause: &Told) -> Result<Id, ProcessError> {
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
