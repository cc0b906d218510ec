//! The composition of each function.

use super::{Component, Start, run};
use crate::app::App;
use crate::http::router;
use crate::{ProjectorHandler, RebuildHandler};
use std::process::ExitCode;

/// Runs an app as the function that `LEDGERFOLD_COMPONENT` names, until Lambda ends it.
pub fn main(app: App) -> ExitCode {
    let component =
        std::env::var("LEDGERFOLD_COMPONENT").ok().and_then(|name| Component::of_function(&name));
    match component.unwrap_or(Component::Program) {
        component @ Component::CommandApi => run(app, component, command_api),
        component @ Component::QueryApi => run(app, component, query_api),
        component @ Component::FanOut => run(app, component, fan_out),
        component @ Component::Projector => run(app, component, projector),
        component @ Component::ProcessManager => run(app, component, process_manager),
        component @ Component::CommandWorker => run(app, component, command_worker),
        component @ Component::RebuildWorker => run(app, component, rebuild_worker),
        // The settings name no function.
        component @ Component::Program => run(app, component, async |_| Ok(())),
    }
}

type Served = Result<(), super::FunctionFailure>;

/// Commands over HTTP. The router is the whole API; the gateway's routes select what comes here.
async fn command_api(start: Start) -> Served {
    start.warm_events().await?;
    // Finds its queue, so that this connection is warm, too.
    let queue = start.system.command_queue().await?;
    let api = start.api(start.system.projector())?.with_command_queue(queue);
    start.serve_http(router(api)).await
}

/// Reads, audit and operation over HTTP.
async fn query_api(start: Start) -> Served {
    start.warm_events().await?;
    let projector = start.system.projector();
    start.warm_read_models(&projector, start.system.app().read_models()).await?;
    let api = start.api(projector)?;
    start.serve_http(router(api)).await
}

/// Fan-out: from the event table's stream to the queues of all consumers.
async fn fan_out(start: Start) -> Served {
    // Finds its queues, so that this connection is warm, too.
    let fan_out = start.system.fan_out().await?;
    start.serve_stream(async |event| fan_out.handle(event).await).await
}

/// A projector: from the queue of a read model to its rows.
async fn projector(start: Start) -> Served {
    let projection = start.settings.projection()?;
    let projector = start.system.projector();
    start.warm_read_models(&projector, &[projection]).await?;
    let continuations = start.system.continuations(&projection).await?;
    let handler = ProjectorHandler::new(projection, projector)
        .with_heartbeat()
        .with_continuations(continuations);
    start.serve_queue(async |event, left| handler.handle_within(event, left).await).await
}

/// A process: from its queue to its commands.
async fn process_manager(start: Start) -> Served {
    let projection = start.settings.projection()?;
    let projector = start.system.projector();
    start.warm_read_models(&projector, &[projection]).await?;
    let continuations = start.system.continuations(&projection).await?;
    let handler =
        start.system.process(projection.name, projector).ok_or("the app has no such process")?;
    let handler = handler.with_heartbeat().with_continuations(continuations);
    start.serve_queue(async |event, left| handler.handle_within(event, left).await).await
}

/// The worker: from the command queue to the event store.
async fn command_worker(start: Start) -> Served {
    start.warm_events().await?;
    let worker = start.system.command_worker();
    start.serve_queue(async |event, _| worker.handle(event).await).await
}

/// The queue of jobs: rebuilds and other passes over all streams, one slice per call.
async fn rebuild_worker(start: Start) -> Served {
    let projector = start.system.projector();
    start.warm_read_models(&projector, start.system.app().read_models()).await?;
    let handler = RebuildHandler::new(start.system.operations(projector));
    start.serve_queue(async |event, _| handler.handle(event).await).await
}
