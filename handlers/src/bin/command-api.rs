//! Commands over HTTP on Lambda. The router is that of the laptop: the gateway's routes say what comes here.

use handlers::bookshop;
use handlers::http::router;
use handlers::lambda::{Component, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    run(bookshop(), Component::CommandApi, async |start| {
        start.warm_events().await?;
        // It looks for its queue, so that this connection is warm as well.
        let queue = start.system.command_queue().await?;
        let api = start.api(start.system.projector())?.with_command_queue(queue);
        start.serve_http(router(api)).await
    })
}
