//! The whole system from outside.
//!
//! | module | what it checks |
//! |---|---|
//! | [`architecture`] | dependencies of crates, a pure domain; links, named files and tests in documents |
//! | [`aws`] | the functions, the container, and the template with least privilege |
//! | [`billing`] | the second app, under its own names |
//! | [`cli`] | the command line: start, stop, operation and failures |
//! | [`command_queue`] | queued commands are handled once, under crashes and failures |
//! | [`delivery`] | fan-out, consumers and workers under failures of their event sources |
//! | [`http`] | the HTTP API, with valid and invalid requests |
//! | [`local`] | the engines, mappings and data folders of one machine; access, limits and kills |
//! | [`processes`] | a process acts on each answer once; every order gets its verdict and only its books |
//! | [`projections`] | read models equal the fold of the store |
//! | [`shapes`] | stored shapes can be read and do not change |
//! | [`store`] | the contract of the event store, the same cases for every engine |
//! | [`telemetry`] | reports, logs and traces, without personal data |
//!
//! [`harness`] has what they share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is how a case fails"
)]

mod architecture;
mod aws;
mod billing;
mod cli;
mod command_queue;
mod delivery;
mod harness;
mod http;
mod local;
mod processes;
mod projections;
mod shapes;
mod store;
mod telemetry;
