//! How Ledgerfold runs: the local stack, and the operator's command line.
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`] | the program `ledgerfold` and its commands |
//! | [`clients`] | SDK clients, for AWS and for one machine |
//! | [`resources`] | the tables and queues |
//! | [`template`] | the template of what AWS needs |
//! | [`local`] | what a laptop lacks of AWS: engines and event source mappings |
//! | [`starter`] | `ledgerfold new`: an app to begin with |

pub mod cli;
pub mod clients;
pub mod local;
pub mod resources;
pub mod starter;
pub mod template;

pub use cli::{main, main_with};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
