//! The whole system from outside.
//!
//! | module | what it asks |
//! |---|---|
//! | [`api`] | does the running program answer over HTTP as the contract says, to good and to bad requests? |
//! | [`architecture`] | do crates look one way, and is the domain pure? |
//! | [`billing`] | does a second app have all that the first has, under its own names? |
//! | [`cli`] | does the program start, stop, operate and fail as it says? |
//! | [`command_queue`] | is a command that is answered later handled once, whoever dies and whatever fails? |
//! | [`data_folder`] | is a folder that an older program wrote still read, verified and written to? |
//! | [`documents`] | do links lead somewhere, do named files and tests exist, is the tutorial's code the code that runs? |
//! | [`doors`] | is every way in guarded, and can no caller block the others? |
//! | [`jobs`] | does the worker of jobs bear lost, doubled and unreadable calls? |
//! | [`lambda`] | do the functions start, answer and fail as Lambda has them do? |
//! | [`crash`] | is anything lost or doubled when the program is killed? |
//! | [`fulfilment`] | does every order get its answer, and only its books, whatever queues and processes do? |
//! | [`processes`] | does a process act on each answer once, though runners die or freeze? |
//! | [`projections`] | are read models the pure fold of the store, whatever the queue does? |
//! | [`serve`] | does the container answer, receive, stop and recover as it should, beside functions and other containers? |
//! | [`shapes`] | can every event that was ever stored be read, and does no shape change under its number? |
//! | [`sqs`] | does a queue engine do what AWS documents? The same cases for every engine |
//! | [`mappings`] | are stream records and messages delivered as Lambda delivers them? |
//! | [`telemetry`] | is each failure reported once, with its ids and its trace, and with nothing personal? |
//! | [`template`] | is the deployed system the one that the program makes, and may nobody in it do what nobody should? |
//! | [`store`] | does the event store keep its promises, whatever the wire and other writers do? The same cases for every engine |
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
