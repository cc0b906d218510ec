//! Fulfilment on Lambda: its queue to commands for orders and stock.

use handlers::FULFILMENT;
use handlers::bookshop;
use handlers::lambda::{Component, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    run(bookshop(), Component::ProcessManager, async |start| {
        let projector = start.system.projector();
        start.warm_read_models(&projector, &[FULFILMENT]).await?;
        let continuations = start.system.continuations(&FULFILMENT).await?;
        let handler = start.system.fulfilment(projector).with_pulse().with_continuations(continuations);
        start.serve_queue(async |event, left| handler.handle_within(event, left).await).await
    })
}
