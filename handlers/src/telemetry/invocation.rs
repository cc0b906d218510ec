//! The layer around each call of a handler.

use super::metrics::{Metric, Sums, add};
use super::panics::{self, Panicked};
use super::{Component, LOCAL, Place, reports};
use eventstore::Usage;
use sentry::{Hub, SentryFutureExt};
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use tracing::Instrument;
use uuid::Uuid;

/// Put around each call of a component's handler. Cheap to clone.
#[derive(Debug, Clone)]
pub struct InvocationLayer {
    component: Component,
    place: Place,
    stage: Arc<str>,
}

/// A call ended without an answer. It has been logged and reported.
#[derive(Debug, thiserror::Error)]
pub enum CallFailed {
    /// The handler gave an error.
    #[error("the call failed")]
    Error(#[source] Box<dyn Error + Send + Sync>),
    /// The handler panicked.
    #[error("the call panicked")]
    Panicked(#[from] Panicked),
}

impl InvocationLayer {
    pub(super) fn new(component: Component, place: Place, stage: impl Into<Arc<str>>) -> Self {
        Self { component, place, stage: stage.into() }
    }

    /// For a component that runs within a program.
    #[must_use]
    pub fn within_program(component: Component) -> Self {
        Self::new(component, Place::Program, LOCAL)
    }

    /// The same for another component of this process.
    #[must_use]
    pub fn of(&self, component: Component) -> Self {
        Self { component, ..self.clone() }
    }

    /// Calls a handler: with reports and sums of its own; an error or a panic is reported once; and on Lambda what is to be
    /// sent is sent, for at most 1.5 s, before this returns, because the process is frozen then.
    ///
    /// # Errors
    /// [`CallFailed`]: the handler's error, or that it panicked.
    pub fn invoke<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> impl Future<Output = Result<T, CallFailed>>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        // Before anything is built around it: a handler's future is large, and each layer would take its size on the stack.
        self.clone().watched(Uuid::now_v7().to_string(), Box::pin(work))
    }

    /// The same for a call that has an id already: Lambda's request id.
    ///
    /// # Errors
    /// [`CallFailed`], as [`InvocationLayer::invoke`].
    pub fn invoke_as<T, E>(
        &self,
        request_id: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, CallFailed>>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.clone().watched(request_id.to_owned(), Box::pin(work))
    }

    async fn watched<T, E>(
        self,
        request_id: String,
        work: Pin<Box<impl Future<Output = Result<T, E>>>>,
    ) -> Result<T, CallFailed>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let sums = Sums::default();
        let span = tracing::error_span!("call", component = self.component.name(), request_id);
        let work = sums.keep(settled(work)).instrument(span);
        let answer = match self.hub(&request_id) {
            Some(hub) => work.bind_hub(hub).await,
            None => work.await,
        };
        self.end(&sums, &request_id);
        answer
    }

    /// A hub of the call's own: what it notes does not reach the next call, nor the last one's this.
    fn hub(&self, request_id: &str) -> Option<Arc<Hub>> {
        if !reports::are_sent() {
            return None;
        }
        let hub = Hub::new_from_top(Hub::current());
        hub.configure_scope(|scope| {
            scope.clear_breadcrumbs();
            scope.set_tag("component", self.component.name());
            scope.set_tag("request_id", request_id);
        });
        Some(Arc::new(hub))
    }

    fn end(&self, sums: &Sums, request_id: &str) {
        match self.place {
            Place::Program => {}
            Place::Container => sums.print(&self.stage, self.component, request_id),
            Place::Lambda => {
                sums.print(&self.stage, self.component, request_id);
                // Where nothing was reported nobody waits, even for what is stuck since an earlier call.
                if sums.of(Metric::Reports) + sums.of(Metric::Traces) > 0.0 {
                    reports::flush();
                }
            }
        }
    }
}

/// Does the work; counts what it cost, and logs its error.
async fn settled<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<T, CallFailed>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let (ended, usage) = Usage::of(panics::caught(work)).await;
    add(Metric::Requests, f64::from(usage.requests));
    add(Metric::WriteUnits, usage.write_units);
    add(Metric::ReadUnits, usage.read_units);
    ended?.map_err(|error| {
        let error = error.into();
        let told: &(dyn Error + Send + Sync) = &*error;
        tracing::error!(error = told, "a call failed");
        CallFailed::Error(error)
    })
}
