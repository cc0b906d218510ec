//! Handles a process's queue: delivers events to instances, which send commands.

use super::instance_events::{self, InstanceEvent};
use super::runner::Runner;
use super::{Process, ProcessError, SendCommand};
use crate::delivery::continuation::Continuations;
use crate::delivery::parking::{PARKED_AT_RECEIVE, ParkingDecision};
use crate::delivery::sqs_batch::{MessageOutcome, SqsBatch, WITHOUT_DEADLINE, limit};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use eventstore::{Commit, StreamId};
use futures::StreamExt;
use projections::{
    Heartbeat, Notification, Projection, Projector, ReactError, ReadAhead, ReadModels, Stopped,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How many instances of one stream are handled at once.
const CONCURRENT_INSTANCES: usize = 10;

/// Handles the messages of a process's queue. Any number of them may run at once.
#[derive(Clone)]
pub struct ProcessHandler {
    runner: Runner,
    heartbeat: Option<Heartbeat>,
    continuations: Option<Continuations>,
}

impl ProcessHandler {
    /// A handler that sends commands by `send`, and stores positions and instances in the table of
    /// read models.
    pub fn new(
        process: Process,
        send: SendCommand,
        read_models: ReadModels,
        projector: Projector,
    ) -> Self {
        Self {
            runner: Runner { process, send, read_models, projector },
            heartbeat: None,
            continuations: None,
        }
    }

    /// The same, with a heartbeat, from which the process's lag is computed.
    #[must_use]
    pub fn with_heartbeat(self) -> Self {
        let heartbeat = Some(self.runner.projector.heartbeat(self.projection()));
        Self { heartbeat, ..self }
    }

    /// The same, and a gap that does not fit into one call is continued by another message.
    #[must_use]
    pub fn with_continuations(self, continuations: Continuations) -> Self {
        Self { continuations: Some(continuations), ..self }
    }

    fn projection(&self) -> &Projection {
        &self.runner.process.projection
    }

    /// Handles a batch of messages as [`handle_within`](Self::handle_within), in about eight
    /// seconds.
    pub async fn handle(&self, event: SqsEvent) -> SqsBatchResponse {
        self.handle_within(event, WITHOUT_DEADLINE).await
    }

    /// Handles a batch of messages in the time that is left. The answer has the messages to
    /// redeliver: each failed one and every later one of its group, because of FIFO order.
    pub async fn handle_within(&self, event: SqsEvent, left: Duration) -> SqsBatchResponse {
        let messages = SqsBatch::read(self.projection().name, &event.records);
        let (consumer, notified) = (self.projection().consumer(), messages.notifications());
        let ahead = &ReadAhead::of(self.instances_of(&notified));
        let effect = |stream, commits| {
            let patient = messages.receives(&stream) < PARKED_AT_RECEIVE;
            self.handle_events(stream, commits, patient, ahead)
        };
        let failed = self
            .runner
            .projector
            .react_with_states(consumer, notified, ahead, limit(left), effect)
            .await;
        if let Some(heartbeat) = &self.heartbeat {
            messages
                .write_heartbeat(heartbeat, |stream| {
                    failed.iter().any(|(failed, _)| failed == stream)
                })
                .await;
        }
        let mut failures: BTreeMap<StreamId, ReactError<ProcessError>> = BTreeMap::new();
        let mut continued = BTreeSet::new();
        for (stream, error) in failed {
            if error.is_out_of_time() {
                if messages.continue_later(&stream, self.continuations.as_ref()).await {
                    continued.insert(stream.clone());
                }
                failures.insert(stream, error);
            } else if !self.is_parked(&messages, &stream, &error).await {
                failures.insert(stream, error);
            }
        }
        let outcome = |notified: &Notification| match failures.get(&notified.stream) {
            Some(error)
                if error.concerns(notified.version) && continued.contains(&notified.stream) =>
            {
                MessageOutcome::GoesOn
            }
            Some(error) if error.concerns(notified.version) => MessageOutcome::Again,
            Some(_) | None => MessageOutcome::Done,
        };
        messages.answer(outcome).await
    }

    /// The instances that the messages' own events concern.
    fn instances_of(&self, notified: &[Notification]) -> BTreeSet<String> {
        let batches = notified
            .iter()
            .filter_map(|notified| Some((&notified.stream, notified.batch.as_ref()?)));
        let events = batches.flat_map(|(stream, batch)| {
            instance_events::of(&self.runner.process, stream, &batch.commits).0
        });
        events.map(|notified| notified.key).collect()
    }

    /// Whether the stream is parked at the failing event.
    async fn is_parked(
        &self,
        messages: &SqsBatch<'_>,
        stream: &StreamId,
        error: &ReactError<ProcessError>,
    ) -> bool {
        let decision = ParkingDecision {
            projection: self.projection(),
            stream,
            generation: Some(1),
            version: error.version(),
            error,
            permanent: error.is_permanent(ProcessError::is_permanent),
            receives: messages.receives(stream),
        };
        messages
            .on_event(stream, decision.version, decision.is_parked(&self.runner.projector))
            .await
    }

    /// Delivers to each instance its events, in order. Instances do not wait for each other.
    async fn handle_events(
        &self,
        stream: StreamId,
        commits: Vec<Commit>,
        patient: bool,
        ahead: &ReadAhead,
    ) -> Result<(), Stopped<ProcessError>> {
        let (notified, unreadable) = instance_events::of(&self.runner.process, &stream, &commits);
        let mut by_instance: BTreeMap<String, Vec<InstanceEvent>> = BTreeMap::new();
        for notified in notified {
            by_instance.entry(notified.key.clone()).or_default().push(notified);
        }
        let work = by_instance
            .into_values()
            .map(|notified| self.handle_in_order(notified, patient, ahead));
        let ended: Vec<_> =
            futures::stream::iter(work).buffer_unordered(CONCURRENT_INSTANCES).collect().await;
        let stopped = ended.into_iter().filter_map(Result::err).chain(unreadable);
        stopped.min_by_key(|stopped| stopped.version).map_or(Ok(()), Err)
    }

    async fn handle_in_order(
        &self,
        notified: Vec<InstanceEvent>,
        patient: bool,
        ahead: &ReadAhead,
    ) -> Result<(), Stopped<ProcessError>> {
        let mut row = None;
        for notified in notified {
            let origin = self.runner.handle_event(row, &notified, patient, ahead).await;
            row = Some(
                origin.map_err(|source| Stopped { version: notified.origin.version, source })?,
            );
        }
        Ok(())
    }
}
