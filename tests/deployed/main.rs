//! The deployed system: the template and the functions themselves, on the stack that `.ci/deployed` starts.
//!
//! Nothing here knows how they are made: requests go to the API, and what is broken on purpose is broken from outside. It fails
//! where there is no stack.
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
