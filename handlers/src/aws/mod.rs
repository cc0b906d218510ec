//! One system on AWS: its clients, its names, its parts; as functions ([`lambda`]) and as a
//! container ([`serve`]).

mod clients;
pub(crate) mod composition;
pub mod deployed;
pub(crate) mod https;
pub mod lambda;
pub(crate) mod names;
pub mod serve;

pub use clients::{environment, retries, timeouts};
