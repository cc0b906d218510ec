//! The HTTP API of the running program.
//!
//! | module | what it asks |
//! |---|---|
//! | [`orders`], [`stock`] | what each command answers, and what each refuses |
//! | [`idempotency`] | is a command sent twice done once? |
//! | [`pairs`] | does a command over two aggregates happen in both or in none? |
//! | [`clock`] | are ids that the API makes itself taken, though its clock is set back? |
//! | [`preconditions`] | `If-Match`, and reads that are as fresh as asked |
//! | [`bad_bodies`], [`bad_requests`] | is what breaks a rule told so, and nothing written? |
//! | [`lists`], [`bestsellers`] | what many orders come to |
//! | [`asynchronous`] | are commands answered later as they would have been at once? |
//! | [`audit`] | who did what, when and why, in a stream |
//! | [`audit_search`], [`audit_trace`] | the same over all streams, and the tree of causes |
//! | [`audit_states`] | a stream as it was, and what changed |
//! | [`without_index`] | what can be asked where there is no audit index |
//! | [`audit_export`] | events as files |
//! | [`audit_walks`] | does a walk from page to page end, though each page is recorded? |
//! | [`audit_access`] | is each reader recorded? |
//! | [`auth`], [`tokens`] | who is let in, to what, and as whom it is recorded; which tokens are believed |
//! | [`projections`] | what operators see and do, and a job's progress as it happens |
//! | [`bounded_steps`] | do `resume` and `redrive` end in time, and go on with the next call? |
//! | [`description`] | is the OpenAPI document true? |
#![cfg(test)]

mod asynchronous;
mod audit;
mod audit_access;
mod audit_export;
mod audit_search;
mod audit_states;
mod audit_trace;
mod audit_walks;
mod auth;
mod bad_bodies;
mod bad_requests;
mod bestsellers;
mod bounded_steps;
mod clock;
mod description;
mod idempotency;
mod lists;
mod orders;
mod pairs;
mod preconditions;
mod projections;
mod stock;
mod tokens;
mod without_index;

use crate::harness::http::{Response, isbn, line, order, order_stream, sent, text};
use crate::harness::program::Program;
use crate::harness::waiting::{PATIENCE, eventually};
