//! A piece of work within a call: one request, one message. Its log lines and reports bear its trace and its ids.

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
    /// The innermost work under way in this task.
    static OPEN: Span;
}

/// A piece of work.
#[derive(Debug, Clone)]
pub struct TracedWork<'a> {
    /// What it is, without ids: `POST /orders`, or a consumer's name.
    pub name: &'a str,
    /// What kind of work, as Sentry names it: `http.server`, `queue.process`.
    pub kind: &'static str,
    /// Where it comes from; none where nobody tells.
    pub trace: Option<TraceParent>,
    /// When it began: a message is told of behind the batch that it came with.
    pub begun: SystemTime,
}

impl TracedWork<'_> {
    /// Does it: in its trace, with a scope of its own.
    pub fn run<T>(self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        // As in `InvocationLayer::invoke`: what is done is large.
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

    /// The step of the trace, as Sentry keeps it. Each component decides alike whether it is sampled; the caller does not.
    fn transaction(&self) -> TransactionContext {
        let ids = self.trace.as_ref().map(|trace| (trace.trace_id().parse(), trace.parent_id().parse()));
        match ids {
            Some((Ok(trace_id), Ok(parent_id))) => {
                let before = TracePropagationContext::new(trace_id, parent_id);
                TransactionContext::continue_from_trace_propagation_context(self.name, self.kind, &before, None)
            }
            Some(_) | None => TransactionContext::new(self.name, self.kind),
        }
    }
}

/// Tells what the work under way is about: the command, its stream, and the version where it is known. Outside any work
/// nobody asks.
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

/// Tells what the command of the work under way came to, for its line in the log.
pub(crate) fn came_to(replayed: bool, lost_races: u32) {
    let _ = OPEN.try_with(|span| span.record("replayed", replayed).record("lost_races", lost_races).is_disabled());
}

/// Tells at which version the stream is now that the work under way is about.
pub fn reached(version: u64) {
    let _ = OPEN.try_with(|span| span.record("version", version).is_disabled());
    if reports::are_sent() {
        sentry::configure_scope(|scope| scope.set_tag("version", version));
    }
}

/// How long ago that was, in milliseconds.
pub(crate) fn since_ms(time: SystemTime) -> u32 {
    let since = SystemTime::now().duration_since(time).unwrap_or_default();
    u32::try_from(since.as_millis()).unwrap_or(u32::MAX)
}
