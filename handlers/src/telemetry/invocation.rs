//! The layer around each invocation of a handler.

use super::metrics::{Metric, Sums, add};
use super::panics::{self, Panicked};
use super::{Component, LOCAL, Platform, reports};
use eventstore::Usage;
use sentry::{Hub, SentryFutureExt};
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use tracing::Instrument;
use uuid::Uuid;

/// Wraps each invocation of a component's handler. Cheap to clone.
#[derive(Debug, Clone)]
pub struct InvocationLayer {
    component: Component,
    platform: Platform,
    stage: Arc<str>,
}

/// An invocation failed. That has been logged and reported.
#[derive(Debug, thiserror::Error)]
pub enum CallFailed {
    /// The handler returned an error.
    #[error("the call failed")]
    Error(#[source] Box<dyn Error + Send + Sync>),
    /// The handler panicked.
    #[error("the call panicked")]
    Panicked(#[from] Panicked),
}

impl InvocationLayer {
    pub(super) fn new(
        component: Component,
        platform: Platform,
        stage: impl Into<Arc<str>>,
    ) -> Self {
        Self { component, platform, stage: stage.into() }
    }

    /// For a component within a program.
    #[must_use]
    pub fn within_program(component: Component) -> Self {
        Self::new(component, Platform::Program, LOCAL)
    }

    /// The same for another component of this process.
    #[must_use]
    pub fn of(&self, component: Component) -> Self {
        Self { component, ..self.clone() }
    }

    /// Invokes a handler, with its own metrics and reports. An error or a panic is reported once.
    /// On Lambda, where the process is frozen afterwards, reports are sent before this returns,
    /// within 1.5 s.
    ///
    /// # Errors
    /// [`CallFailed`]: the handler's error, or that it panicked.
    pub fn invoke<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, CallFailed>>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        // Boxed first: a handler's future is large, and each layer would add its size to the stack.
        self.clone().instrumented(Uuid::now_v7().to_string(), Box::pin(work))
    }

    /// The same, with a given id: Lambda's request id.
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
        self.clone().instrumented(request_id.to_owned(), Box::pin(work))
    }

    async fn instrumented<T, E>(
        self,
        request_id: String,
        work: Pin<Box<impl Future<Output = Result<T, E>>>>,
    ) -> Result<T, CallFailed>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let sums = Sums::default();
        let span = tracing::error_span!("call", component = self.component.name(), request_id);
        let work = sums.collect(metered(work)).instrument(span);
        let answer = match self.hub(&request_id) {
            Some(hub) => work.bind_hub(hub).await,
            None => work.await,
        };
        self.end(&sums, &request_id);
        answer
    }

    /// A hub for this invocation. Its breadcrumbs and tags do not mix with those of others.
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
        match self.platform {
            Platform::Program => {}
            Platform::Container => sums.print(&self.stage, self.component, request_id),
            Platform::Lambda => {
                sums.print(&self.stage, self.component, request_id);
                // Without a new report it does not wait, not even for an older one that is stuck.
                if sums.of(Metric::Reports) + sums.of(Metric::Traces) > 0.0 {
                    reports::flush();
                }
            }
        }
    }
}

/// Runs the work, counts its cost, and logs its error.
async fn metered<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<T, CallFailed>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let (ended, usage) = Usage::of(panics::caught(work)).await;
    add(Metric::Requests, f64::from(usage.requests));
    add(Metric::WriteUnits, usage.write_units);
    add(Metric::ReadUnits, usage.read_units);
    ended?.map_err(|error| {
        let error = error.into();
        let logged: &(dyn Error + Send + Sync) = &*error;
        tracing::error!(error = logged, "a call failed");
        CallFailed::Error(error)
    })
}
