//! How complete the audit index is.

use crate::cli::app;
use crate::cli::target::Target;
use projections::audit_index::PROJECTION;
use serde_json::{Value, json};
use std::time::Duration;

/// The time limit for reading the queues. An export does not depend on them.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Roughly what is not indexed; none if the queues could not be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct IndexState(Option<NotIndexed>);

#[derive(Debug, Clone, Copy)]
struct NotIndexed {
    /// Messages in the queue and in the dead-letter queue.
    messages: u64,
    /// Parked streams.
    parked: u64,
}

impl IndexState {
    pub(super) async fn of(target: &Target) -> Self {
        let projector = target.clients.system(app(), &target.names).projector();
        let operations = target.clients.system(app(), &target.names).operations(projector);
        let view = tokio::time::timeout(TIMEOUT, Box::pin(operations.view(&PROJECTION))).await;
        let not_indexed = view.ok().and_then(Result::ok).and_then(|view| {
            let lag = view.lag?;
            Some(NotIndexed {
                messages: lag.messages.saturating_add(lag.dead_letters),
                parked: view.status.parked,
            })
        });
        Self(not_indexed)
    }

    /// The state as JSON.
    pub(super) fn json(self) -> Value {
        self.0.map_or(
            Value::Null,
            |NotIndexed { messages, parked }| json!({"messages": messages, "parked": parked}),
        )
    }

    /// A note for people, if something is missing.
    pub(super) fn note(self) -> Option<String> {
        match self.0 {
            None => Some(
                "the lag of the index is not known; an export with --stream is exact".to_owned(),
            ),
            Some(NotIndexed { messages: 0, parked: 0 }) => None,
            Some(NotIndexed { messages, parked }) => Some(format!(
                "the index is not complete: about {messages} messages wait in the queues of audit, and {parked} streams are parked; \
                 see `ledgerfold projection status audit`"
            )),
        }
    }
}
