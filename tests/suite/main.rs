//! The whole system from outside.
//!
//! | module | what it checks |
//! |---|---|
//! | [`api`] | the HTTP API, with valid and invalid requests |
//! | [`architecture`] | dependencies of crates, and a pure domain |
//! | [`billing`] | the second app, under its own names |
//! | [`cli`] | the command line: start, stop, operation and failures |
//! | [`command_queue`] | queued commands are handled once, under crashes and failures |
//! | [`data_folder`] | data folders of older programs |
//! | [`documents`] | links, named files and tests, and code in the documents |
//! | [`doors`] | access to the local servers, and their limits |
//! | [`jobs`] | the job queue, with lost, repeated and unreadable calls |
//! | [`lambda`] | the functions on Lambda: start, answers and failures |
//! | [`crash`] | kills under load lose and double nothing |
//! | [`fulfilment`] | every order gets its verdict and only its books |
//! | [`processes`] | a process acts on each answer once, under crashes and pauses |
//! | [`projections`] | read models equal the fold of the store |
//! | [`serve`] | the container, alone and with functions or other containers |
//! | [`shapes`] | stored shapes can be read and do not change |
//! | [`sqs`] | the contract of SQS, the same cases for every engine |
//! | [`mappings`] | local event source mappings deliver as Lambda does |
//! | [`telemetry`] | reports, logs and traces, without personal data |
//! | [`template`] | the template matches the program, with least privilege |
//! | [`store`] | the contract of the event store, the same cases for every engine |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is how a case fails"
)]

mod api;
mod architecture;
mod billing;
mod cli;
mod command_queue;
mod crash;
mod data_folder;
mod depth;
mod documents;
mod doors;
mod engine;
mod event_sources;
mod fulfilment;
mod idle;
mod jobs;
mod lambda;
mod mappings;
mod processes;
mod program;
mod projections;
mod serve;
mod shapes;
mod sqs;
mod store;
mod telemetry;
mod template;
