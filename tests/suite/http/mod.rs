//! The HTTP API of the running program.
//!
//! | module | what it tests |
//! |---|---|
//! | [`orders`], [`stock`] | each command, and its refusals |
//! | [`idempotency`] | is a command sent twice handled once? |
//! | [`pairs`] | is a command over two aggregates recorded in both or in neither? |
//! | [`clock`] | are generated ids accepted even if the clock is set back? |
//! | [`preconditions`] | `If-Match`, and `at_least` for fresh reads |
//! | [`bad_bodies`], [`bad_requests`] | is an invalid request rejected with its rule, and nothing written? |
//! | [`lists`], [`bestsellers`] | read models of many orders |
//! | [`asynchronous`] | do asynchronous commands have the results of synchronous ones? |
//! | [`audit`] | who did what, when and why, in a stream |
//! | [`audit_search`], [`audit_trace`] | the same over all streams, and the tree of causes |
//! | [`audit_states`] | a stream in the past, and differences |
//! | [`audit_tail`] | all commits from a position on, and the streams |
//! | [`without_index`] | audit queries without an audit index |
//! | [`audit_export`] | events as files |
//! | [`audit_walks`] | does paging end, although the query of each page is recorded? |
//! | [`audit_access`] | is each query recorded? |
//! | [`auth`], [`tokens`] | scopes and actors; which tokens are valid |
//! | [`projections`] | status and steps of projections, and progress of a job |
//! | [`bounded_steps`] | do `resume` and `redrive` end in time, and continue with the next call? |
//! | [`console`] | the console's files, and what its pages call |
//! | [`dead_letters`] | does a look at dead letters show them, and move nothing? |
//! | [`description`] | is the OpenAPI document true? |
#![cfg(test)]

mod asynchronous;
mod audit;
mod audit_access;
mod audit_export;
mod audit_search;
mod audit_states;
mod audit_tail;
mod audit_trace;
mod audit_walks;
mod auth;
mod bad_bodies;
mod bad_requests;
mod bestsellers;
mod bounded_steps;
mod clock;
mod console;
mod dead_letters;
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
