//! The projector: from a consumer's queue to its read model.

use crate::messages::Messages;
use crate::parking::Standstill;
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use eventstore::StreamId;
use projections::{Failed, ProjectError, Projection, Projector, Pulse, WakeUp};
use std::collections::BTreeMap;

/// Handles the messages of one projection's queue.
#[derive(Clone)]
pub struct ProjectorHandler {
    projection: Projection,
    projector: Projector,
    pulse: Option<Pulse>,
}

impl ProjectorHandler {
    /// A handler that projects what its queue announces.
    pub fn new(projection: Projection, projector: Projector) -> Self {
        Self { projection, projector, pulse: None }
    }

    /// The same, and it notes now and then how far it has come, so that the projection's lag can be told in seconds.
    #[must_use]
    pub fn with_pulse(self) -> Self {
        let pulse = Some(self.projector.pulse(&self.projection));
        Self { pulse, ..self }
    }

    /// Handles a batch of messages. The answer names those that are to come again: each failed one and, as FIFO order
    /// demands, every later one of its group. Never the whole batch for one message.
    pub async fn handle(&self, event: SqsEvent) -> SqsBatchResponse {
        let messages = Messages::read(self.projection.name, &event.records);
        let mut failures: BTreeMap<StreamId, Vec<ProjectError>> = BTreeMap::new();
        let failed = self.projector.project(&self.projection, messages.news()).await;
        if let Some(pulse) = &self.pulse {
            messages.note(pulse, |stream| failed.iter().any(|failed| failed.stream == *stream)).await;
        }
        for Failed { stream, generation, error } in failed {
            let standstill = Standstill {
                projection: &self.projection,
                stream: &stream,
                generation,
                version: error.version(),
                error: &error,
                lasting: error.is_lasting(),
                receives: messages.receives(&stream),
            };
            let parked = standstill.is_parked(&self.projector);
            if !messages.on_event(&stream, standstill.version, parked).await {
                failures.entry(stream).or_default().push(error);
            }
        }
        let again = |news: &WakeUp| {
            failures.get(&news.stream).is_some_and(|errors| errors.iter().any(|error| concerns(error, news)))
        };
        messages.answer(again).await
    }
}

/// An event that cannot be applied leaves the messages before it done.
fn concerns(error: &ProjectError, news: &WakeUp) -> bool {
    match error {
        ProjectError::Fold { version, .. } => news.version >= *version,
        ProjectError::Missing { found, .. } => news.version > *found,
        ProjectError::Read(_) | ProjectError::Table(_) | ProjectError::Stray { .. } => true,
        ProjectError::OtherShape(_) | ProjectError::Contention => true,
    }
}
