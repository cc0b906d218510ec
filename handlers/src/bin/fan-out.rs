//! Fan-out on Lambda: changes of the event table to the queues of all consumers.

use handlers::bookshop;
use handlers::lambda::{Component, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    run(bookshop(), Component::FanOut, async |start| {
        // It looks for its queues, so that its connection is warm as well.
        let fan_out = start.system.fan_out().await?;
        start.serve_stream(async |event| fan_out.handle(event).await).await
    })
}
