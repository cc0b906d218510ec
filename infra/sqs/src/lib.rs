//! Amazon SQS on one machine: the `awsJson1_0` protocol over HTTP, kept in one SQLite file.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let server = loopback_sqs::Server::open("queues.db".as_ref(), loopback_sqs::Config::default())?;
//! let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
//! println!("http://{}", listener.local_addr()?);
//! server.serve_with_shutdown(listener, std::future::pending()).await?;
//! # Ok(()) }
//! ```
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
