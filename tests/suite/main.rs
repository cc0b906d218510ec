//! The whole system from outside.
//!
//! | module | what it asks |
//! |---|---|
//! | [`architecture`] | do crates depend in one direction, is the domain pure, does all exist that documents name? |
//! | [`aws`] | do functions, container and template do what AWS asks of them, and no more than they may? |
//! | [`billing`] | does a second app have all that the first has, under its own names? |
//! | [`cli`] | does the program start, stop, operate and fail as it says? |
//! | [`command_queue`] | is a command that is answered later handled once, whatever dies or fails? |
//! | [`delivery`] | what do fan-out, consumers and workers make of every failure of their event sources? |
//! | [`http`] | does the API answer as its contract says, to good and to bad requests? |
//! | [`local`] | do the engines and mappings of one machine behave as AWS documents? Is the program safe to run, and to kill? |
//! | [`processes`] | does every order get its answer, and does a process act on each answer once? |
//! | [`projections`] | are read models the pure fold of the store, whatever the queue does? |
//! | [`shapes`] | can every event that was ever stored be read, and does no shape change under its number? |
//! | [`store`] | does the event store keep its promises, whatever the wire and other writers do? The same cases for every engine |
//! | [`telemetry`] | is each failure reported once, with its ids and its trace, and with nothing personal? |
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
