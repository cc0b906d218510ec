//! The entry points: the HTTP API, and the functions that the table's stream and queues invoke.
//!
//! | entry | from | to |
//! |---|---|---|
//! | [`http::router`] | HTTP requests | commands, reads, audit answers |
//! | [`audit::AuditTrail`] | an auditor's queries | history, traces, exports |
//! | [`FanOut::handle`] | records of the event table's stream | notifications in one FIFO queue for each consumer |
//! | [`ProjectorHandler::handle`] | messages of a projection's queue | rows of its read model |
//! | [`ProcessHandler::handle`](process::ProcessHandler::handle) | messages of a process's queue | commands |
//! | [`CommandWorker::handle`] | messages of the command queue | asynchronous commands, and their answers |
//! | [`RebuildHandler::handle`] | messages of the rebuild queue | slices of rebuilds, and calls for the next ones |
//!
//! [`Operations`] has the steps of operators, for HTTP and the command line.
//!
//! # How the parts fit together
//! [`app::App`] has what a team registers. [`System::new`] puts it on clients of DynamoDB and SQS, under [`Names`]; from a
//! system come all parts: [`System::command_store`], [`System::projector`], [`System::operations`],
//! [`System::process`], [`System::command_worker`], [`System::fan_out`]. [`http::Api`] takes store,
//! projector and operations, and [`http::router`] serves it. [`lambda::main`] does all of that for
//! a function of AWS, [`serve::main`] for a container; the crate `ledgerfold` does it for one
//! machine.

pub mod access;
pub mod app;
pub mod audit;
pub mod aws;
mod command_queue;
pub mod delivery;
pub mod http;
mod operations;
mod problem;
pub mod process;
pub mod telemetry;

pub use aws::composition::System;
pub use aws::names::{InvalidPrefix, Names};
pub use aws::{deployed, lambda, serve};
pub use command_queue::{
    CommandQueue, CommandStatuses, CommandTableError, CommandWorker, QueueLimits,
};
pub use delivery::continuation::Continuations;
pub use delivery::fan_out::{FanOut, Route};
pub use delivery::notification::NotificationMessage;
pub use delivery::projector::ProjectorHandler;
pub use delivery::queue::QueueError;
pub use delivery::rebuild::{Jobs, RebuildHandler};
pub use operations::dead_letters::{
    DEFAULT_DEAD_LETTERS, DeadLetter, DeadLetters, MAX_DEAD_LETTERS,
};
pub use operations::redrive::{Redriven, Stays};
pub use operations::resume::{
    InvalidParkedCursor, ParkedCursor, ParkedStreams, ResumedState, ResumedStream, Resumption,
};
pub use operations::{Lag, OperateError, Operations, View};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
