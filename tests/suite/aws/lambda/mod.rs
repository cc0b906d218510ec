//! The functions as programs: Lambda's Runtime API asks them, and the embedded engines are their
//! AWS.
#![cfg(test)]

mod connections;
mod gateway;
mod http_events;
mod line;
mod logged;
mod queue_events;
pub(crate) mod rights;
mod runtime_api;
mod start;

pub(crate) use gateway::Caller;
pub(crate) use line::Mappings;

use crate::harness::stack::TestStack;
use runtime_api::Function;

/// The program of all functions.
const PROGRAM: &str = env!("CARGO_BIN_EXE_bookshop-service-under-test");

pub(crate) const COMMAND_API: &str = "command-api";
pub(crate) const QUERY_API: &str = "query-api";
const FAN_OUT: &str = "fan-out";
const PROJECTOR: &str = "projector";
const PROCESS_MANAGER: &str = "process-manager";
const COMMAND_WORKER: &str = "command-worker";
const REBUILD_WORKER: &str = "rebuild-worker";

/// Each function, with what its environment says of it alone.
const ALL: [(&str, &[(&str, &str)]); 7] = [
    (COMMAND_API, &[]),
    (QUERY_API, &[]),
    (FAN_OUT, &[]),
    (PROJECTOR, &[("LEDGERFOLD_PROJECTION", "orders")]),
    (PROCESS_MANAGER, &[("LEDGERFOLD_PROJECTION", "fulfilment")]),
    (COMMAND_WORKER, &[]),
    (REBUILD_WORKER, &[]),
];

fn answers_http(component: &str) -> bool {
    [COMMAND_API, QUERY_API].contains(&component)
}

/// Starts a function in that system, and waits until it asks for work.
pub(crate) async fn function(
    system: &TestStack,
    component: &str,
    more: &[(&str, &str)],
) -> Function {
    let mut function = Function::start(PROGRAM, &environment(system, component, more)).await;
    function.ready().await;
    function
}

fn environment(
    system: &TestStack,
    component: &str,
    more: &[(&str, &str)],
) -> Vec<(String, String)> {
    let of_all = [("LEDGERFOLD_PREFIX", "ledgerfold"), ("LEDGERFOLD_COMPONENT", component)];
    let own =
        of_all.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut environment: Vec<_> = system.exports().into_iter().chain(own).collect();
    if let Some(recorder) = &system.recorder {
        recorder.stand_between(&mut environment);
    }
    environment
}
