//! The projector: from a consumer's queue to its read model.

use crate::messages::Messages;
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use eventstore::StreamId;
use projections::{ProjectError, Projection, Projector, WakeUp};
use std::collections::BTreeMap;

/// Handles the messages of one projection's queue.
#[derive(Clone)]
pub struct ProjectorHandler {
    projection: Projection,
    projector: Projector,
}

impl ProjectorHandler {
    /// A handler that projects what its queue announces.
    pub fn new(projection: Projection, projector: Projector) -> Self {
        Self { projection, projector }
    }

    /// Handles a batch of messages. The answer names those that are to come again: each failed one and, as FIFO order
    /// demands, every later one of its group. Never the whole batch for one message.
    pub async fn handle(&self, event: SqsEvent) -> SqsBatchResponse {
        let messages = Messages::read(self.projection.name, &event.records);
        let failures: BTreeMap<StreamId, ProjectError> =
            self.projector.project(&self.projection, messages.news()).await.into_iter().collect();
        for (stream, error) in &failures {
            let projection = self.projection.name;
            let error: &(dyn std::error::Error + Send + Sync) = error;
            tracing::error!(projection, %stream, error, "a stream could not be projected");
        }
        messages.answer(|news| failures.get(&news.stream).is_some_and(|error| concerns(error, news)))
    }
}

/// An event that cannot be applied leaves the messages before it done.
fn concerns(error: &ProjectError, news: &WakeUp) -> bool {
    match error {
        ProjectError::Fold { version, .. } => news.version >= *version,
        ProjectError::Missing { found, .. } => news.version > *found,
        ProjectError::Read(_) | ProjectError::Table(_) | ProjectError::Contention => true,
    }
}
