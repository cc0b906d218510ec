//! From a process's queue to commands.

use super::instance_events::{self, InstanceEvent};
use super::runner::Runner;
use super::{Process, ProcessError, SendCommand};
use crate::delivery::continuation::Continuations;
use crate::delivery::parking::{PARKED_AT_RECEIVE, ParkingDecision};
use crate::delivery::sqs_batch::{Outcome, SqsBatch, WITHOUT_DEADLINE, limit};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use eventstore::{Commit, StreamId};
use futures::StreamExt;
use projections::{ReactError, Heartbeat, Notification, Projection, Projector, ReadAhead, ReadModels, Stopped};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How many instances of one stream are worked on at once.
const CONCURRENT_INSTANCES: usize = 10;

/// Handles the messages of a process's queue. Any number of them may run at once.
#[derive(Clone)]
pub struct ProcessHandler {
    runner: Runner,
    heartbeat: Option<Heartbeat>,
    continuations: Option<Continuations>,
}

impl ProcessHandler {
    /// A handler that sends commands so, and keeps positions and instances beside the projector's read models.
    pub fn new(process: Process, send: SendCommand, read_models: ReadModels, projector: Projector) -> Self {
        Self { runner: Runner { process, send, read_models, projector }, heartbeat: None, continuations: None }
    }

    /// The same, and it notes now and then how far it has come, so that its lag can be told in seconds.
    #[must_use]
    pub fn with_heartbeat(self) -> Self {
        let heartbeat = Some(self.runner.projector.heartbeat(self.projection()));
        Self { heartbeat, ..self }
    }

    /// The same, and a stream whose gap takes longer than a call has time goes on by another message.
    #[must_use]
    pub fn with_continuations(self, continuations: Continuations) -> Self {
        Self { continuations: Some(continuations), ..self }
    }

    fn projection(&self) -> &Projection {
        &self.runner.process.projection
    }

    /// Handles a batch of messages as [`handle_within`](Self::handle_within), in about eight seconds.
    pub async fn handle(&self, event: SqsEvent) -> SqsBatchResponse {
        self.handle_within(event, WITHOUT_DEADLINE).await
    }

    /// Handles a batch of messages in the time that is left for it. The answer names those that are to come again: each failed
    /// one and, as FIFO order demands, every later one of its group. Never the whole batch for one message.
    pub async fn handle_within(&self, event: SqsEvent, left: Duration) -> SqsBatchResponse {
        let messages = SqsBatch::read(self.projection().name, &event.records);
        let (consumer, news) = (self.projection().consumer(), messages.notifications());
        let ahead = &ReadAhead::of(self.told_of(&news));
        let effect = |stream, commits| {
            let patient = messages.receives(&stream) < PARKED_AT_RECEIVE;
            self.tell_all(stream, commits, patient, ahead)
        };
        let failed = self.runner.projector.react_with_states(consumer, news, ahead, limit(left), effect).await;
        if let Some(heartbeat) = &self.heartbeat {
            messages.note(heartbeat, |stream| failed.iter().any(|(failed, _)| failed == stream)).await;
        }
        let mut failures: BTreeMap<StreamId, ReactError<ProcessError>> = BTreeMap::new();
        let mut continued = BTreeSet::new();
        for (stream, error) in failed {
            if error.is_out_of_time() {
                if messages.go_on(&stream, self.continuations.as_ref()).await {
                    continued.insert(stream.clone());
                }
                failures.insert(stream, error);
            } else if !self.is_parked(&messages, &stream, &error).await {
                failures.insert(stream, error);
            }
        }
        let outcome = |news: &Notification| match failures.get(&news.stream) {
            Some(error) if error.concerns(news.version) && continued.contains(&news.stream) => Outcome::GoesOn,
            Some(error) if error.concerns(news.version) => Outcome::Again,
            Some(_) | None => Outcome::Done,
        };
        messages.answer(outcome).await
    }

    /// The instances that the messages' own events concern.
    fn told_of(&self, news: &[Notification]) -> BTreeSet<String> {
        let batches = news.iter().filter_map(|news| Some((&news.stream, news.batch.as_ref()?)));
        let events =
            batches.flat_map(|(stream, batch)| instance_events::of(&self.runner.process, stream, &batch.commits).0);
        events.map(|news| news.key).collect()
    }

    /// Whether the stream is parked where it came no further.
    async fn is_parked(&self, messages: &SqsBatch<'_>, stream: &StreamId, error: &ReactError<ProcessError>) -> bool {
        let standstill = ParkingDecision {
            projection: self.projection(),
            stream,
            generation: Some(1),
            version: error.version(),
            error,
            permanent: error.is_permanent(ProcessError::is_permanent),
            receives: messages.receives(stream),
        };
        messages.on_event(stream, standstill.version, standstill.is_parked(&self.runner.projector)).await
    }

    /// Gives each instance its events, in order. Instances do not wait for each other.
    async fn tell_all(
        &self,
        stream: StreamId,
        commits: Vec<Commit>,
        patient: bool,
        ahead: &ReadAhead,
    ) -> Result<(), Stopped<ProcessError>> {
        let (news, unreadable) = instance_events::of(&self.runner.process, &stream, &commits);
        let mut by_instance: BTreeMap<String, Vec<InstanceEvent>> = BTreeMap::new();
        for news in news {
            by_instance.entry(news.key.clone()).or_default().push(news);
        }
        let work = by_instance.into_values().map(|news| self.tell_in_order(news, patient, ahead));
        let ended: Vec<_> = futures::stream::iter(work).buffer_unordered(CONCURRENT_INSTANCES).collect().await;
        let stopped = ended.into_iter().filter_map(Result::err).chain(unreadable);
        stopped.min_by_key(|stopped| stopped.version).map_or(Ok(()), Err)
    }

    async fn tell_in_order(
        &self,
        news: Vec<InstanceEvent>,
        patient: bool,
        ahead: &ReadAhead,
    ) -> Result<(), Stopped<ProcessError>> {
        let mut row = None;
        for news in news {
            let told = self.runner.tell(row, &news, patient, ahead).await;
            row = Some(told.map_err(|source| Stopped { version: news.told.version, source })?);
        }
        Ok(())
    }
}
