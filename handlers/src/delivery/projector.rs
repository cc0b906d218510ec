//! The projector: from a consumer's queue to its read model.

use crate::delivery::continuation::Continuations;
use crate::delivery::parking::ParkingDecision;
use crate::delivery::sqs_batch::{MessageOutcome, SqsBatch, WITHOUT_DEADLINE, limit};
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
    heartbeat: Option<Heartbeat>,
    continuations: Option<Continuations>,
}

impl ProjectorHandler {
    /// A handler for the projection's queue.
    pub fn new(projection: Projection, projector: Projector) -> Self {
        Self { projection, projector, heartbeat: None, continuations: None }
    }

    /// The same, with a heartbeat, from which the projection's lag is computed.
    #[must_use]
    pub fn with_heartbeat(self) -> Self {
        let heartbeat = Some(self.projector.heartbeat(&self.projection));
        Self { heartbeat, ..self }
    }

    /// The same, and a gap that does not fit into one call is continued by another message.
    #[must_use]
    pub fn with_continuations(self, continuations: Continuations) -> Self {
        Self { continuations: Some(continuations), ..self }
    }

    /// Handles a batch of messages as [`handle_within`](Self::handle_within), in about eight
    /// seconds.
    pub async fn handle(&self, event: SqsEvent) -> SqsBatchResponse {
        self.handle_within(event, WITHOUT_DEADLINE).await
    }

    /// Handles a batch of messages in the time that is left. The answer has the messages to
    /// redeliver: each failed one and every later one of its group, because of FIFO order.
    pub async fn handle_within(&self, event: SqsEvent, left: Duration) -> SqsBatchResponse {
        let messages = SqsBatch::read(self.projection.name, &event.records);
        let mut failures: BTreeMap<StreamId, Vec<ProjectError>> = BTreeMap::new();
        let failed =
            self.projector.project(&self.projection, messages.notifications(), limit(left)).await;
        if let Some(heartbeat) = &self.heartbeat {
            messages
                .write_heartbeat(heartbeat, |stream| {
                    failed.iter().any(|failed| failed.stream == *stream)
                })
                .await;
        }
        for Failed { stream, generation, error } in failed {
            if error.is_out_of_time() {
                failures.entry(stream).or_default().push(error);
                continue;
            }
            let decision = ParkingDecision {
                projection: &self.projection,
                stream: &stream,
                generation,
                version: error.version(),
                error: &error,
                permanent: error.is_permanent(),
                receives: messages.receives(&stream),
            };
            let parked = decision.is_parked(&self.projector);
            if !messages.on_event(&stream, decision.version, parked).await {
                failures.entry(stream).or_default().push(error);
            }
        }
        let continued = self.continue_later(&messages, &failures).await;
        let outcome = |notification: &Notification| match failures.get(&notification.stream) {
            Some(errors) if errors.iter().any(|error| concerns(error, notification)) => {
                if continued.contains(&notification.stream) {
                    MessageOutcome::GoesOn
                } else {
                    MessageOutcome::Again
                }
            }
            _ => MessageOutcome::Done,
        };
        messages.answer(outcome).await
    }

    /// Continues in another call the streams that only ran out of time.
    async fn continue_later(
        &self,
        messages: &SqsBatch<'_>,
        failures: &BTreeMap<StreamId, Vec<ProjectError>>,
    ) -> BTreeSet<StreamId> {
        let mut continued = BTreeSet::new();
        for (stream, _) in
            failures.iter().filter(|(_, errors)| errors.iter().all(ProjectError::is_out_of_time))
        {
            if messages.continue_later(stream, self.continuations.as_ref()).await {
                continued.insert(stream.clone());
            }
        }
        continued
    }
}

/// Whether the failure concerns the message: messages before a failing event are done.
fn concerns(error: &ProjectError, notification: &Notification) -> bool {
    match error {
        ProjectError::Fold { version, .. } => notification.version >= *version,
        ProjectError::Missing { found, .. } => notification.version > *found,
        ProjectError::OutOfTime { reached } => notification.version > *reached,
        ProjectError::Read(_) | ProjectError::Table(_) | ProjectError::Diverged { .. } => true,
        ProjectError::OtherShape(_) | ProjectError::Contention => true,
    }
}
