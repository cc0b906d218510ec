//! The worker of jobs on Lambda: rebuilds and other passes over all streams, a slice a call.

use handlers::RebuildHandler;
use handlers::bookshop;
use handlers::lambda::{Component, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    run(bookshop(), Component::RebuildWorker, async |start| {
        let projector = start.system.projector();
        start.warm_read_models(&projector, start.system.app().read_models()).await?;
        let handler = RebuildHandler::new(start.system.operations(projector));
        start.serve_queue(async |event, _| handler.handle(event).await).await
    })
}
