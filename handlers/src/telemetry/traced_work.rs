//! A piece of work within an invocation, such as a request or a message. Its log lines and reports
//! have its trace and its ids.

use super::reports;
use super::trace::TraceParent;
use eventstore::{CommandMetadata, StreamId};
use sentry::protocol::User;
use sentry::{Hub, SentryFutureExt, TracePropagationContext, TransactionContext};
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;
use tracing::field::{Empty, display};
use tracing::{Instrument, Span};

tokio::task_local! {
    /// The innermost work of this task.
    static OPEN: Span;
}

/// A piece of work.
#[derive(Debug, Clone)]
pub struct TracedWork<'a> {
    /// Its name, without ids: `POST /orders`, or a consumer's name.
    pub name: &'a str,
    /// Its kind in Sentry: `http.server`, `queue.process`.
    pub kind: &'static str,
    /// The trace that it continues, if known.
    pub trace: Option<TraceParent>,
    /// When it began. A message is logged after its batch, with its own time.
    pub begun: SystemTime,
}

impl TracedWork<'_> {
    /// Runs it within its trace and with its own scope.
    pub fn run<T>(self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        // Boxed first, as in `InvocationLayer::invoke`.
        self.scoped(Box::pin(work))
    }

    async fn scoped<T>(self, work: Pin<Box<impl Future<Output = T>>>) -> T {
        let trace_id = self.trace.as_ref().map(TraceParent::trace_id);
        let span = tracing::error_span!(
            "work",
            trace_id,
            stream = Empty,
            version = Empty,
            command_id = Empty,
            correlation_id = Empty,
            actor = Empty,
            replayed = Empty,
            lost_races = Empty
        );
        let work = OPEN.scope(span.clone(), work).instrument(span);
        if !reports::are_sent() {
            return work.await;
        }
        let hub = Arc::new(Hub::new_from_top(Hub::current()));
        let transaction = hub.start_transaction_with_timestamp(self.transaction(), self.begun);
        hub.configure_scope(|scope| scope.set_span(Some(transaction.clone().into())));
        let ended = work.bind_hub(hub).await;
        transaction.finish();
        ended
    }

    /// The transaction in Sentry. Its sampling follows from the trace's id, not from the client's
    /// flag.
    fn transaction(&self) -> TransactionContext {
        let ids =
            self.trace.as_ref().map(|trace| (trace.trace_id().parse(), trace.parent_id().parse()));
        match ids {
            Some((Ok(trace_id), Ok(parent_id))) => {
                let before = TracePropagationContext::new(trace_id, parent_id);
                TransactionContext::continue_from_trace_propagation_context(
                    self.name, self.kind, &before, None,
                )
            }
            Some(_) | None => TransactionContext::new(self.name, self.kind),
        }
    }
}

/// Adds ids of the command to the log lines and reports of the work under way.
pub fn annotate(stream: &StreamId, version: Option<u64>, metadata: &CommandMetadata) {
    let CommandMetadata { command_id, correlation_id, actor, .. } = metadata;
    let known = OPEN.try_with(|span| {
        span.record("stream", display(stream));
        if let Some(version) = version {
            span.record("version", version);
        }
        span.record("command_id", display(command_id));
        span.record("correlation_id", display(correlation_id));
        span.record("actor", display(actor));
    });
    if known.is_err() || !reports::are_sent() {
        return;
    }
    sentry::configure_scope(|scope| {
        scope.set_tag("stream", stream);
        if let Some(version) = version {
            scope.set_tag("version", version);
        }
        scope.set_tag("command_id", command_id);
        scope.set_tag("correlation_id", correlation_id);
        scope.set_tag("actor", actor);
        scope.set_user(Some(User { id: Some(actor.to_string()), ..User::default() }));
    });
}

/// Adds the outcome of the command to the log lines of the work under way.
pub(crate) fn record_outcome(replayed: bool, lost_races: u32) {
    let _ = OPEN.try_with(|span| {
        span.record("replayed", replayed).record("lost_races", lost_races).is_disabled()
    });
}

/// Adds the stream's version to the log lines and reports of the work under way.
pub fn record_version(version: u64) {
    let _ = OPEN.try_with(|span| span.record("version", version).is_disabled());
    if reports::are_sent() {
        sentry::configure_scope(|scope| scope.set_tag("version", version));
    }
}

/// The time since then, in milliseconds.
pub(crate) fn since_ms(time: SystemTime) -> u32 {
    let since = SystemTime::now().duration_since(time).unwrap_or_default();
    u32::try_from(since.as_millis()).unwrap_or(u32::MAX)
}
