//! How the index stands that finds events over all streams.

use crate::cli::app;
use crate::cli::target::Target;
use projections::audit_index::PROJECTION;
use serde_json::{Value, json};
use std::time::Duration;

/// How long the queues are waited for: an export does not depend on them.
const LOOK: Duration = Duration::from_secs(3);

/// What is not in the index, about; none where the queues gave no answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct IndexState(Option<Missing>);

#[derive(Debug, Clone, Copy)]
struct Missing {
    /// Messages that wait in the queues, dead letters among them.
    messages: u64,
    /// Streams that stand still.
    parked: u64,
}

impl IndexState {
    pub(super) async fn of(target: &Target) -> Self {
        let projector = target.clients.system(app(), &target.names).projector();
        let operations = target.clients.system(app(), &target.names).operations(projector);
        let view = tokio::time::timeout(LOOK, Box::pin(operations.view(&PROJECTION))).await;
        let missing = view.ok().and_then(Result::ok).and_then(|view| {
            let lag = view.lag?;
            Some(Missing { messages: lag.messages.saturating_add(lag.dead_letters), parked: view.status.parked })
        });
        Self(missing)
    }

    /// For programs.
    pub(super) fn json(self) -> Value {
        self.0.map_or(Value::Null, |Missing { messages, parked }| json!({"messages": messages, "parked": parked}))
    }

    /// What people should know, if there is something.
    pub(super) fn note(self) -> Option<String> {
        match self.0 {
            None => Some("how far the index is behind is not known; with --stream an export is exact".to_owned()),
            Some(Missing { messages: 0, parked: 0 }) => None,
            Some(Missing { messages, parked }) => Some(format!(
                "the index was not complete: about {messages} messages wait in the queues of audit, and {parked} streams stand still; \
                 see `ledgerfold projection status audit`"
            )),
        }
    }
}
