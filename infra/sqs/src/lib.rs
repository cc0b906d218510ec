//! Amazon SQS on one machine: the `awsJson1_0` protocol over HTTP, stored in one SQLite file.
//!
//! | module | what it does |
//! |---|---|
//! | `server` | the listener, long polls and move tasks |
//! | `http` | parses requests and calls `ops` |
//! | `ops` | one function per operation |
//! | `store` | the database |
//! | `settings`, `message`, `token` | rules without I/O |

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
