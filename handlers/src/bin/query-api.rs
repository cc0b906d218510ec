//! Reads, audit and operation over HTTP on Lambda. The router is that of the laptop: the gateway's routes say what comes here.

use handlers::bookshop;
use handlers::http::router;
use handlers::lambda::{Component, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    run(bookshop(), Component::QueryApi, async |start| {
        start.warm_events().await?;
        let projector = start.system.projector();
        start.warm_read_models(&projector, start.system.app().read_models()).await?;
        let api = start.api(projector)?;
        start.serve_http(router(api)).await
    })
}
