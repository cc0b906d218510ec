//! Handles one event of an instance: store the decision, send asks, store answers, until no ask is
//! open.

use super::ask::{EventOrigin, OpenAsk};
use super::instance::Instance;
use super::instance_events::InstanceEvent;
use super::{AskAnswer, AskError, Process, ProcessError, SendCommand};
use crate::telemetry::{Metric, TraceParent, TracedWork, count};
use eventstore::Id;
use futures::StreamExt;
use projections::{Projector, ReadAhead, ReadModels};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// How many conflicts with other runners are accepted before the message must come again.
pub(super) const MAX_ATTEMPTS: u32 = 20;
/// The most rounds of answers to one event.
pub(super) const MAX_ROUNDS: u32 = 20;
/// How many commands of one instance are sent at once.
const CONCURRENT_COMMANDS: usize = 10;
/// The longest pause after a conflict.
const LONGEST_PAUSE_MS: u64 = 50;

/// Delivers events to instances, and sends their asks.
#[derive(Clone)]
pub(super) struct Runner {
    pub(super) process: Process,
    pub(super) send: SendCommand,
    pub(super) read_models: ReadModels,
    pub(super) projector: Projector,
}

/// An instance with the version of its row.
pub(super) struct VersionedInstance {
    instance: Instance,
    /// How often the row was written; none without a row.
    version: Option<u64>,
}

/// What a runner knows while it handles one event, also after a conflict.
#[derive(Default)]
struct EventWork {
    /// The answers so far.
    answers: BTreeMap<Id, AskAnswer>,
    /// The asks of this event, if this runner stored them without a conflict since. Other open asks
    /// belong to other events, whose messages are redelivered. None: all open asks.
    own: Option<BTreeSet<Id>>,
}

impl EventWork {
    fn concerns(&self, ask: &OpenAsk) -> bool {
        self.own.as_ref().is_none_or(|own| own.contains(&ask.id))
    }
}

/// A command that was not handled.
struct Unsent {
    cause: EventOrigin,
    error: ProcessError,
    passes: bool,
}

impl Runner {
    /// Delivers an event to its instance, and handles it until all its asks are answered. Returns
    /// the row.
    ///
    /// An ask that cannot be sent stops the event and its stream. Without patience this does not
    /// apply if another stream is the cause: the asks stay open, and the stream of their cause is
    /// parked.
    pub(super) async fn handle_event(
        &self,
        known: Option<VersionedInstance>,
        event: &InstanceEvent,
        patient: bool,
        ahead: &ReadAhead,
    ) -> Result<VersionedInstance, ProcessError> {
        let (mut known, mut work) = (known, EventWork::default());
        for conflicts in 0..MAX_ATTEMPTS {
            let mut row = match known.take() {
                Some(row) => row,
                None => self.load(&event.key, ahead).await?,
            };
            if self.advance(&mut row, event, &mut work, patient).await? {
                return Ok(row);
            }
            // The quicker runner may have stored an answer to an ask of this event, and died before
            // the next ask.
            work.own = None;
            pause(conflicts).await;
        }
        Err(ProcessError::Contention)
    }

    async fn load(&self, key: &str, ahead: &ReadAhead) -> Result<VersionedInstance, ProcessError> {
        let found = match ahead.take(key) {
            Some(found) => found,
            None => {
                self.read_models.process_state::<Value>(self.process.projection.name, key).await?
            }
        };
        let Some(found) = found else {
            return Ok(VersionedInstance {
                instance: Instance::new(key.to_owned()),
                version: None,
            });
        };
        let instance = Instance::read(&self.process, key.to_owned(), found.state)?;
        Ok(VersionedInstance { instance, version: Some(found.version) })
    }

    /// False after a conflict with another runner.
    async fn store(&self, row: &mut VersionedInstance) -> Result<bool, ProcessError> {
        let data = row.instance.row().map_err(ProcessError::State)?;
        let key = row.instance.key();
        let stored = self
            .read_models
            .put_process_state(self.process.projection.name, key, row.version, &data)
            .await?;
        row.version = Some(row.version.unwrap_or(0) + 1);
        Ok(stored)
    }

    /// False after a conflict with another runner.
    async fn advance(
        &self,
        row: &mut VersionedInstance,
        event: &InstanceEvent,
        work: &mut EventWork,
        patient: bool,
    ) -> Result<bool, ProcessError> {
        if row.instance.is_new(&event.origin) {
            let asked = row.instance.react_to_event(&self.process, &event.origin, &event.event)?;
            if !self.store(row).await? {
                return Ok(false);
            }
            work.own = Some(asked.into_iter().collect());
        }
        if row.instance.held {
            // With each event of a held instance all its asks are tried again.
            work.own = None;
        }
        for _ in 0..MAX_ROUNDS {
            if !row.instance.asks().iter().any(|ask| work.concerns(ask)) {
                return Ok(true);
            }
            let unsent = self.send(row, work).await?;
            if let Some(asked) = row.instance.answer(&self.process, &work.answers)? {
                if !self.store(row).await? {
                    return Ok(false);
                }
                if let Some(own) = &mut work.own {
                    own.extend(asked);
                }
            }
            if !unsent.is_empty() {
                return self.hold(row, unsent, event, patient).await;
            }
        }
        Err(ProcessError::TooManyRounds)
    }

    /// Sends the open asks without a known answer. Returns those that were not handled.
    async fn send(
        &self,
        row: &VersionedInstance,
        work: &mut EventWork,
    ) -> Result<Vec<Unsent>, ProcessError> {
        let due = row
            .instance
            .asks()
            .iter()
            .filter(|ask| work.concerns(ask) && !work.answers.contains_key(&ask.id));
        let sending: Vec<_> = due
            .map(|ask| {
                let request = ask.request(self.process.projection.name)?;
                let answer = (self.send)(request, ask.ask.command.clone());
                Ok(async move { (ask, answer.await) })
            })
            .collect::<Result<_, ProcessError>>()?;
        let answers: Vec<_> =
            futures::stream::iter(sending).buffered(CONCURRENT_COMMANDS).collect().await;
        let mut unsent = Vec::new();
        for (ask, answer) in answers {
            match answer {
                Ok(answer) => drop(work.answers.insert(ask.id.clone(), answer)),
                Err(error) => unsent.push(Unsent::of(ask, error)),
            }
        }
        Ok(unsent)
    }

    /// Lets the stream continue although asks could not be sent: if the failure is permanent,
    /// another stream is their cause, and patience is over; or if the instance is held already.
    /// Else returns the error. False after a conflict with another runner.
    async fn hold(
        &self,
        row: &mut VersionedInstance,
        unsent: Vec<Unsent>,
        event: &InstanceEvent,
        patient: bool,
    ) -> Result<bool, ProcessError> {
        let was_held = row.instance.held;
        let elsewhere = unsent.iter().all(|unsent| unsent.cause.stream != event.origin.stream);
        let holds = was_held || (elsewhere && !patient);
        if !holds || unsent.iter().any(|unsent| unsent.passes) {
            let first = unsent.into_iter().min_by_key(|unsent| !unsent.passes);
            return Err(first.map_or(ProcessError::Contention, |unsent| unsent.error));
        }
        if !was_held {
            row.instance.held = true;
            if !self.store(row).await? {
                return Ok(false);
            }
        }
        // Parked last, so that a resume finds the asks in the row.
        let mut parked = BTreeSet::new();
        for unsent in &unsent {
            if parked.insert(&unsent.cause.stream) {
                self.park(unsent, row.instance.key(), was_held).await?;
            }
        }
        Ok(true)
    }

    /// Parks the stream of the cause. Reported once, when the instance becomes held.
    async fn park(&self, unsent: &Unsent, key: &str, was_held: bool) -> Result<(), ProcessError> {
        let Unsent { cause, error, .. } = unsent;
        let said: &(dyn std::error::Error + Send + Sync) = error;
        let (consumer, stream, correlation_id) =
            (self.process.projection.name, &cause.stream, &cause.correlation_id);
        let work = async {
            if was_held {
                tracing::warn!(consumer, key, %stream, %correlation_id, error = said, "asks still cannot be sent");
            } else {
                count(Metric::Parked);
                tracing::error!(consumer, key, %stream, %correlation_id, error = said, "asks wait until the stream is resumed");
            }
            Ok(self.projector.park(&self.process.projection, 1, stream, None, said).await?)
        };
        let trace = TraceParent::of(cause.trace_parent.as_ref());
        TracedWork { name: consumer, kind: "queue.process", trace, begun: SystemTime::now() }
            .run(work)
            .await
    }
}

impl Unsent {
    fn of(ask: &OpenAsk, AskError { passes, source }: AskError) -> Self {
        let (command_id, stream) = (ask.id.clone(), ask.stream.clone());
        let error = ProcessError::Command { command_id, stream, passes, source };
        Self { cause: ask.cause.clone(), error, passes }
    }
}

/// Waits after a conflict: doubling from 2 ms; half is random, so that two runners do not conflict
/// again.
async fn pause(conflicts: u32) {
    let longest = 2_u64.saturating_pow(conflicts).min(LONGEST_PAUSE_MS);
    tokio::time::sleep(Duration::from_millis(longest / 2 + fastrand::u64(0..=longest / 2))).await;
}
