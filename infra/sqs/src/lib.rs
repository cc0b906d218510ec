//! Amazon SQS on one machine: the `awsJson1_0` protocol over HTTP, kept in one SQLite file.
//!
//! The map: `server` owns the listener, the long polls and the move tasks; `http` turns requests into calls of
//! `ops`, one function an operation; `store` is the file. `settings`, `message` and `token` are rules without I/O.

mod clock;
mod config;
mod error;
mod http;
mod message;
mod ops;
mod server;
mod settings;
mod store;
#[cfg(test)]
mod tests;
mod token;

pub use config::{Config, Now};
pub use error::OpenError;
pub use server::Server;

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
