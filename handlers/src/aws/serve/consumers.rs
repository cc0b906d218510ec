//! Connects each queue with its handler, as Lambda's event source mappings do.

use super::StartFailure;
use super::settings::{Consumer, Settings};
use crate::aws::composition::System;
use crate::delivery::continuation::Continuations;
use crate::delivery::queue::Queue;
use crate::delivery::{Activity, Backoff, QueueMapping};
use crate::telemetry::{Component, InvocationLayer};
use crate::{ProjectorHandler, RebuildHandler};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use futures::future::BoxFuture;
use projections::Projector;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a batch may take: as long as a call of its function.
const BATCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Tasks of jobs in a batch.
const JOBS_OF_A_BATCH: usize = 1;
/// Pauses after a queue gave no answer.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(30);

type Handle = Arc<dyn Fn(SqsEvent) -> BoxFuture<'static, SqsBatchResponse> + Send + Sync>;

/// The consumers to run, with their queues.
pub(super) struct Consumers {
    system: System,
    found: Vec<FoundConsumer>,
}

struct FoundConsumer {
    name: &'static str,
    component: Component,
    mapping: QueueMapping,
    handle: Handle,
}

impl Consumers {
    /// Finds the queues, and makes the handlers.
    pub(super) async fn find(system: &System, settings: &Settings) -> Result<Self, StartFailure> {
        let projector = system.projector();
        let mut found = Vec::new();
        for consumer in &settings.consumers {
            let names = system.names();
            let queue = match consumer {
                Consumer::Projection(projection) => names.queue(&projection.consumer()),
                Consumer::Commands => names.command_queue(),
                Consumer::Rebuild => names.rebuild_queue(),
            };
            let queue = system.queue(&queue).await?;
            let mut mapping = QueueMapping::new(queue.url());
            mapping.concurrency = settings.concurrency_of(*consumer);
            (mapping.timeout, mapping.poll) = (BATCH_TIMEOUT, settings.poll);
            mapping.backoff = Backoff::new(FIRST_PAUSE, LAST_PAUSE).with_jitter();
            if let Consumer::Rebuild = consumer {
                mapping.batch_size = JOBS_OF_A_BATCH;
            }
            let (component, handle) = handler(system, *consumer, queue, projector.clone())?;
            found.push(FoundConsumer { name: consumer.name(), component, mapping, handle });
        }
        Ok(Self { system: system.clone(), found })
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        self.found.iter().map(|found| found.name).collect()
    }

    /// The activity of each, for readiness.
    pub(super) fn activities(&self) -> Vec<(&'static str, Activity)> {
        self.found.iter().map(|found| (found.name, found.mapping.activity.clone())).collect()
    }

    /// Starts all, until `stop`.
    pub(super) fn start(
        self,
        watch: &InvocationLayer,
        parts: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) {
        for FoundConsumer { component, mapping, handle, .. } in self.found {
            let watch = watch.of(component);
            let handler = move |event| {
                let (watch, handle) = (watch.clone(), handle.clone());
                async move { watch.invoke(async { Ok::<_, Infallible>(handle(event).await) }).await }
            };
            parts.spawn(mapping.run(self.system.sqs().clone(), handler, stop.clone()));
        }
    }
}

fn calling<F>(call: impl Fn(SqsEvent) -> F + Send + Sync + 'static) -> Handle
where
    F: Future<Output = SqsBatchResponse> + Send + 'static,
{
    Arc::new(move |event| Box::pin(call(event)))
}

/// The handler of a consumer's messages, and its component.
fn handler(
    system: &System,
    consumer: Consumer,
    queue: Queue,
    projector: Projector,
) -> Result<(Component, Handle), StartFailure> {
    match consumer {
        Consumer::Projection(projection) if projection.is_read_model() => {
            let handler = ProjectorHandler::new(projection, projector).with_heartbeat();
            let handler = handler.with_continuations(Continuations::of(queue));
            let handle = calling(move |event| {
                let handler = handler.clone();
                async move { handler.handle(event).await }
            });
            Ok((Component::Projector, handle))
        }
        Consumer::Projection(process) => {
            let handler =
                system.process(process.name, projector).ok_or("the app has no such process")?;
            let handler = handler.with_heartbeat().with_continuations(Continuations::of(queue));
            let handle = calling(move |event| {
                let handler = handler.clone();
                async move { handler.handle(event).await }
            });
            Ok((Component::ProcessManager, handle))
        }
        Consumer::Commands => {
            let worker = system.command_worker();
            let handle = calling(move |event| {
                let worker = worker.clone();
                async move { worker.handle(event).await }
            });
            Ok((Component::CommandWorker, handle))
        }
        Consumer::Rebuild => {
            let handler = RebuildHandler::new(system.operations(projector));
            let handle = calling(move |event| {
                let handler = handler.clone();
                async move { handler.handle(event).await }
            });
            Ok((Component::RebuildWorker, handle))
        }
    }
}
