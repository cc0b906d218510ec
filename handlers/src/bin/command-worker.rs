//! Commands over HTTP on Lambda. The router is that of the laptop: the gateway's routes say what comes here.

use handlers::lambda::{Component, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    run(Component::CommandApi, async |start| {
        start.warm_events().await?;
        let router = start.router(start.system.projector())?;
        start.serve_http(router).await
    })
}
