//! Runs and operates an app: the local stack, the command line and the template for AWS.
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`] | the program and its commands |
//! | [`clients`] | SDK clients, for AWS and for local engines |
//! | [`local`] | local engines, event source mappings and the data folder |
//! | [`resources`] | creates tables and queues |
//! | [`starter`] | `ledgerfold new`: creates a new app |
//! | [`template`] | renders the template for AWS |

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
