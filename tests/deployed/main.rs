//! The deployed system: template and functions on the stack that `.ci/deployed` starts.
//!
//! The cases know only the API, and inject faults from outside. They fail
//! without a stack.
#![cfg(test)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is how a case fails"
)]

mod billing;
mod callers;
mod deaths;
mod issuer;
#[path = "../suite/harness/jwt.rs"]
#[allow(dead_code, reason = "the suite signs by more kinds of keys")]
mod jwt;
mod operators;
mod orders;
mod poison;
mod stack;
