//! The functions as programs: Lambda's Runtime API asks them, and the embedded engines are their AWS.
#![cfg(test)]

mod connections;
mod gateway;
mod http_events;
mod line;
mod queue_events;
mod runtime_api;
mod start;

use crate::idle::Idle;
use runtime_api::Function;

const COMMAND_API: &str = env!("CARGO_BIN_EXE_command-api-under-test");
const QUERY_API: &str = env!("CARGO_BIN_EXE_query-api-under-test");
const FAN_OUT: &str = env!("CARGO_BIN_EXE_fan-out-under-test");
const PROJECTOR: &str = env!("CARGO_BIN_EXE_projector-under-test");
const PROCESS_MANAGER: &str = env!("CARGO_BIN_EXE_process-manager-under-test");
const COMMAND_WORKER: &str = env!("CARGO_BIN_EXE_command-worker-under-test");
const REBUILD_WORKER: &str = env!("CARGO_BIN_EXE_rebuild-worker-under-test");

/// Each function, with what its environment says of it alone.
const ALL: [(&str, &[(&str, &str)]); 7] = [
    (COMMAND_API, &[]),
    (QUERY_API, &[]),
    (FAN_OUT, &[]),
    (PROJECTOR, &[("LEDGERFOLD_PROJECTION", "orders")]),
    (PROCESS_MANAGER, &[]),
    (COMMAND_WORKER, &[]),
    (REBUILD_WORKER, &[]),
];

fn answers_http(program: &str) -> bool {
    [COMMAND_API, QUERY_API].contains(&program)
}

/// Starts a function in that system, and waits until it asks for work.
async fn function(system: &Idle, program: &str, more: &[(&str, &str)]) -> Function {
    let mut function = Function::start(program, &environment(system, more)).await;
    function.ready().await;
    function
}

fn environment(system: &Idle, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let of_all = [("LEDGERFOLD_PREFIX", "ledgerfold")];
    let own = of_all.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    system.exports().into_iter().chain(own).collect()
}
