//! The worker of commands that are answered later, on Lambda: their queue to the event store.

use handlers::bookshop;
use handlers::lambda::{Component, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    run(bookshop(), Component::CommandWorker, async |start| {
        start.warm_events().await?;
        let worker = start.system.command_worker();
        start.serve_queue(async |event, _| worker.handle(event).await).await
    })
}
