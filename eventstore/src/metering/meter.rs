//! Metering: counts what requests cost, in the scope of the current work.
//!
//! An [`Interceptor`](Meter) in the client of the store sees every attempt. It records costs in the
//! usage scope of the task that is polled. So one interceptor serves all requests; one for each
//! request would cost the SDK a configuration each time.

use crate::Usage;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents, SharedInterceptor};
use aws_sdk_dynamodb::error::BoxError;
use std::sync::{Arc, Mutex, PoisonError};

tokio::task_local! {
    /// The innermost usage scope of this task.
    static CURRENT: Arc<UsageScope>;
}

/// What a piece of work has cost so far. The scope around it counts the same costs.
#[derive(Debug, Default)]
pub(crate) struct UsageScope {
    sum: Mutex<Usage>,
    parent: Option<Arc<UsageScope>>,
}

impl UsageScope {
    /// A scope within the current one.
    pub(crate) fn nested() -> Arc<Self> {
        Arc::new(Self { sum: Mutex::default(), parent: CURRENT.try_with(Arc::clone).ok() })
    }

    /// Runs the work in this scope.
    pub(crate) fn run<T>(
        self: Arc<Self>,
        work: impl Future<Output = T>,
    ) -> impl Future<Output = T> {
        CURRENT.scope(self, work)
    }

    pub(crate) fn sum(&self) -> Usage {
        *self.sum.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, cost: Usage) {
        *self.sum.lock().unwrap_or_else(PoisonError::into_inner) += cost;
        if let Some(parent) = &self.parent {
            parent.add(cost);
        }
    }
}

/// Records a cost in the current scope, if there is one.
pub(crate) fn record(cost: Usage) {
    let _ = CURRENT.try_with(|scope| scope.add(cost));
}

/// Runs the work and returns what it cost.
pub(crate) async fn measure<T>(work: impl Future<Output = T>) -> (T, Usage) {
    let scope = UsageScope::nested();
    let ended = scope.clone().run(work).await;
    (ended, scope.sum())
}

/// Sends one request and returns what it cost; `units` reads the units from its answer.
pub(crate) fn request<O, E>(
    send: impl Future<Output = Result<O, E>>,
    units: impl FnOnce(&Result<O, E>) -> Usage,
) -> impl Future<Output = (Result<O, E>, Usage)> {
    // The SDK's future is large: each layer of ours around it would take its size on the stack once
    // more.
    let send = Box::pin(send);
    measure(async {
        record(Usage { requests: 1, ..Usage::default() });
        let answer = send.await;
        record(units(&answer));
        answer
    })
}

/// The same client (connections, credentials and retries) with a meter.
pub(crate) fn with_meter(client: &Client) -> Client {
    let mut config = client.config().to_builder();
    config.push_interceptor(SharedInterceptor::permanent(Meter));
    Client::from_conf(config.build())
}

/// Counts attempts and the bytes of their bodies.
#[derive(Debug)]
struct Meter;

impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "Meter"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let bytes_sent = context.request().body().content_length().unwrap_or_default();
        record(Usage { attempts: 1, bytes_sent, ..Usage::default() });
        Ok(())
    }

    /// The body has been read here, for every status.
    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let bytes = context.response().body().bytes().map_or(0, <[u8]>::len);
        record(Usage {
            bytes_received: u64::try_from(bytes).unwrap_or(u64::MAX),
            ..Usage::default()
        });
        Ok(())
    }
}
