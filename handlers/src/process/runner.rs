//! One event of one instance: keep the decision, send, keep the answers, and so on until nothing is open.

use super::ask::{OpenAsk, Told};
use super::instance::Instance;
use super::instance_events::InstanceEvent;
use super::{Answer, AskError, Process, ProcessError, SendCommand};
use crate::telemetry::{Metric, TraceParent, TracedWork, count};
use eventstore::Id;
use futures::StreamExt;
use projections::{Projector, ReadAhead, ReadModels};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// How often an instance's row may be lost to other runners before the event is handed back.
pub(super) const MAX_ATTEMPTS: u32 = 20;
/// After so many rounds of answers to one event the instance must ask for nothing more.
pub(super) const MAX_ROUNDS: u32 = 20;
/// How many commands of one instance are sent at once.
const CONCURRENT_COMMANDS: usize = 10;
/// The longest pause after a lost race.
const LONGEST_PAUSE_MS: u64 = 50;

/// Tells instances of events, and sends what they ask for.
#[derive(Clone)]
pub(super) struct Runner {
    pub(super) process: Process,
    pub(super) send: SendCommand,
    pub(super) read_models: ReadModels,
    pub(super) projector: Projector,
}

/// An instance as it stands in the table.
pub(super) struct Row {
    instance: Instance,
    /// How often the row was written; none where there is none.
    version: Option<u64>,
}

/// What a runner knows while it works on one event, also behind a lost race.
#[derive(Default)]
struct Effort {
    /// The answers that it has got.
    answers: BTreeMap<Id, Answer>,
    /// What this event has asked for, where this runner has kept that and has lost no race since: other asks are open for other
    /// events, whose messages come again. None: all open asks.
    own: Option<BTreeSet<Id>>,
}

impl Effort {
    fn concerns(&self, ask: &OpenAsk) -> bool {
        self.own.as_ref().is_none_or(|own| own.contains(&ask.id))
    }
}

/// A command that was not handled.
struct Unsent {
    cause: Told,
    error: ProcessError,
    passes: bool,
}

impl Runner {
    /// Tells an instance of an event, until all that it asks for is answered. The row as it is then.
    ///
    /// What cannot be sent holds up the event, and so its stream. Without patience it does not where something else is the
    /// cause: the asks stay open then, and the stream of their cause is parked.
    pub(super) async fn tell(
        &self,
        known: Option<Row>,
        news: &InstanceEvent,
        patient: bool,
        ahead: &ReadAhead,
    ) -> Result<Row, ProcessError> {
        let (mut known, mut effort) = (known, Effort::default());
        for losses in 0..MAX_ATTEMPTS {
            let mut row = match known.take() {
                Some(row) => row,
                None => self.load(&news.key, ahead).await?,
            };
            if self.work_on(&mut row, news, &mut effort, patient).await? {
                return Ok(row);
            }
            // Who was quicker may have answered an ask of this event, and die over what follows from it.
            effort.own = None;
            pause(losses).await;
        }
        Err(ProcessError::Contention)
    }

    async fn load(&self, key: &str, ahead: &ReadAhead) -> Result<Row, ProcessError> {
        let found = match ahead.take(key) {
            Some(found) => found,
            None => self.read_models.process_state::<Value>(self.process.projection.name, key).await?,
        };
        let Some(found) = found else { return Ok(Row { instance: Instance::new(key.to_owned()), version: None }) };
        let instance = Instance::read(&self.process, key.to_owned(), found.state)?;
        Ok(Row { instance, version: Some(found.version) })
    }

    /// False when another runner was quicker.
    async fn keep(&self, row: &mut Row) -> Result<bool, ProcessError> {
        let data = row.instance.row().map_err(ProcessError::State)?;
        let key = row.instance.key();
        let kept = self.read_models.put_process_state(self.process.projection.name, key, row.version, &data).await?;
        row.version = Some(row.version.unwrap_or(0) + 1);
        Ok(kept)
    }

    /// False when another runner was quicker.
    async fn work_on(
        &self,
        row: &mut Row,
        news: &InstanceEvent,
        effort: &mut Effort,
        patient: bool,
    ) -> Result<bool, ProcessError> {
        if row.instance.is_new(&news.told) {
            let asked = row.instance.hear(&self.process, &news.told, &news.event)?;
            if !self.keep(row).await? {
                return Ok(false);
            }
            effort.own = Some(asked.into_iter().collect());
        }
        if row.instance.held {
            // Everything is tried again with whatever the instance hears.
            effort.own = None;
        }
        for _ in 0..MAX_ROUNDS {
            if !row.instance.asks().iter().any(|ask| effort.concerns(ask)) {
                return Ok(true);
            }
            let unsent = self.send(row, effort).await?;
            if let Some(asked) = row.instance.answer(&self.process, &effort.answers)? {
                if !self.keep(row).await? {
                    return Ok(false);
                }
                if let Some(own) = &mut effort.own {
                    own.extend(asked);
                }
            }
            if !unsent.is_empty() {
                return self.hold(row, unsent, news, patient).await;
            }
        }
        Err(ProcessError::TooManyRounds)
    }

    /// Sends the open asks whose answer is not known. Those that were not handled are told.
    async fn send(&self, row: &Row, effort: &mut Effort) -> Result<Vec<Unsent>, ProcessError> {
        let due =
            row.instance.asks().iter().filter(|ask| effort.concerns(ask) && !effort.answers.contains_key(&ask.id));
        let sending: Vec<_> = due
            .map(|ask| {
                let request = ask.request(self.process.projection.name)?;
                let answer = (self.send)(request, ask.ask.command.clone());
                Ok(async move { (ask, answer.await) })
            })
            .collect::<Result<_, ProcessError>>()?;
        let answers: Vec<_> = futures::stream::iter(sending).buffered(CONCURRENT_COMMANDS).collect().await;
        let mut unsent = Vec::new();
        for (ask, answer) in answers {
            match answer {
                Ok(answer) => drop(effort.answers.insert(ask.id.clone(), answer)),
                Err(error) => unsent.push(Unsent::of(ask, error)),
            }
        }
        Ok(unsent)
    }

    /// Whether the stream may go on although something could not be sent. It may where that will last and something else than
    /// this stream is the cause, after some patience; and where it is known already. False when another runner was quicker.
    async fn hold(
        &self,
        row: &mut Row,
        unsent: Vec<Unsent>,
        news: &InstanceEvent,
        patient: bool,
    ) -> Result<bool, ProcessError> {
        let was_held = row.instance.held;
        let elsewhere = unsent.iter().all(|unsent| unsent.cause.stream != news.told.stream);
        let holds = was_held || (elsewhere && !patient);
        if !holds || unsent.iter().any(|unsent| unsent.passes) {
            let first = unsent.into_iter().min_by_key(|unsent| !unsent.passes);
            return Err(first.map_or(ProcessError::Contention, |unsent| unsent.error));
        }
        if !was_held {
            row.instance.held = true;
            if !self.keep(row).await? {
                return Ok(false);
            }
        }
        // Parking is noted last: a runner that reads the stream again then finds the asks open.
        let mut parked = BTreeSet::new();
        for unsent in &unsent {
            if parked.insert(&unsent.cause.stream) {
                self.park(unsent, row.instance.key(), was_held).await?;
            }
        }
        Ok(true)
    }

    /// Parks the stream of the cause. It is reported when the instance is first held.
    async fn park(&self, unsent: &Unsent, key: &str, was_held: bool) -> Result<(), ProcessError> {
        let Unsent { cause, error, .. } = unsent;
        let said: &(dyn std::error::Error + Send + Sync) = error;
        let (consumer, stream, correlation_id) = (self.process.projection.name, &cause.stream, &cause.correlation_id);
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
        TracedWork { name: consumer, kind: "queue.process", trace, begun: SystemTime::now() }.run(work).await
    }
}

impl Unsent {
    fn of(ask: &OpenAsk, AskError { passes, source }: AskError) -> Self {
        let (command_id, stream) = (ask.id.clone(), ask.stream.clone());
        let error = ProcessError::Command { command_id, stream, passes, source };
        Self { cause: ask.cause.clone(), error, passes }
    }
}

/// After a lost race: doubling from 2 ms, half of it by chance, so that those who lost together do not meet again.
async fn pause(losses: u32) {
    let longest = 2_u64.saturating_pow(losses).min(LONGEST_PAUSE_MS);
    tokio::time::sleep(Duration::from_millis(longest / 2 + fastrand::u64(0..=longest / 2))).await;
}
