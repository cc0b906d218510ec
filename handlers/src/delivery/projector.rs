//! The projector: from a consumer's queue to its read model.

use crate::delivery::continuation::Continuations;
use crate::delivery::parking::ParkingDecision;
use crate::delivery::sqs_batch::{Outcome, SqsBatch, WITHOUT_DEADLINE, limit};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use eventstore::StreamId;
use projections::{Failed, Heartbeat, Notification, ProjectError, Projection, Projector};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Handles the messages of one projection's queue.
#[derive(Clone)]
pub struct ProjectorHandler {
    projection: Projection,
    projector: Projector,
    pulse: Option<Heartbeat>,
    continuations: Option<Continuations>,
}

impl ProjectorHandler {
    /// A handler that projects what its queue announces.
    pub fn new(projection: Projection, projector: Projector) -> Self {
        Self { projection, projector, pulse: None, continuations: None }
    }

    /// The same, and it notes now and then how far it has come, so that the projection's lag can be told in seconds.
    #[must_use]
    pub fn with_pulse(self) -> Self {
        let pulse = Some(self.projector.heartbeat(&self.projection));
        Self { pulse, ..self }
    }

    /// The same, and a stream whose gap takes longer than a call has time goes on by a message of its own.
    #[must_use]
    pub fn with_continuations(self, continuations: Continuations) -> Self {
        Self { continuations: Some(continuations), ..self }
    }

    /// Handles a batch of messages as [`handle_within`](Self::handle_within), in about eight seconds.
    pub async fn handle(&self, event: SqsEvent) -> SqsBatchResponse {
        self.handle_within(event, WITHOUT_DEADLINE).await
    }

    /// Handles a batch of messages in the time that is left for it. The answer names those that are to come again: each failed
    /// one and, as FIFO order demands, every later one of its group. Never the whole batch for one message.
    pub async fn handle_within(&self, event: SqsEvent, left: Duration) -> SqsBatchResponse {
        let messages = SqsBatch::read(self.projection.name, &event.records);
        let mut failures: BTreeMap<StreamId, Vec<ProjectError>> = BTreeMap::new();
        let failed = self.projector.project(&self.projection, messages.news(), limit(left)).await;
        if let Some(pulse) = &self.pulse {
            messages.note(pulse, |stream| failed.iter().any(|failed| failed.stream == *stream)).await;
        }
        for Failed { stream, generation, error } in failed {
            if error.is_out_of_time() {
                failures.entry(stream).or_default().push(error);
                continue;
            }
            let standstill = ParkingDecision {
                projection: &self.projection,
                stream: &stream,
                generation,
                version: error.version(),
                error: &error,
                lasting: error.is_permanent(),
                receives: messages.receives(&stream),
            };
            let parked = standstill.is_parked(&self.projector);
            if !messages.on_event(&stream, standstill.version, parked).await {
                failures.entry(stream).or_default().push(error);
            }
        }
        let continued = self.go_on(&messages, &failures).await;
        let outcome =
            |news: &Notification| match failures.get(&news.stream) {
                Some(errors) if errors.iter().any(|error| concerns(error, news)) => {
                    if continued.contains(&news.stream) { Outcome::GoesOn } else { Outcome::Again }
                }
                _ => Outcome::Done,
            };
        messages.answer(outcome).await
    }

    /// Lets the streams go on in another call that lack nothing but time.
    async fn go_on(
        &self,
        messages: &SqsBatch<'_>,
        failures: &BTreeMap<StreamId, Vec<ProjectError>>,
    ) -> BTreeSet<StreamId> {
        let mut continued = BTreeSet::new();
        for (stream, _) in failures.iter().filter(|(_, errors)| errors.iter().all(ProjectError::is_out_of_time)) {
            if messages.go_on(stream, self.continuations.as_ref()).await {
                continued.insert(stream.clone());
            }
        }
        continued
    }
}

/// An event that cannot be applied leaves the messages before it done.
fn concerns(error: &ProjectError, news: &Notification) -> bool {
    match error {
        ProjectError::Fold { version, .. } => news.version >= *version,
        ProjectError::Missing { found, .. } => news.version > *found,
        ProjectError::OutOfTime { reached } => news.version > *reached,
        ProjectError::Read(_) | ProjectError::Table(_) | ProjectError::Stray { .. } => true,
        ProjectError::OtherShape(_) | ProjectError::Contention => true,
    }
}
