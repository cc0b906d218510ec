//! Test cases from the suites of other event stores, as far as no other test here covers them.
//! `tests/peers-cases.md` lists them all, each with its test or the reason why there is none.

mod commanded;
mod event_store_adapter;
mod kurrent;
mod nevent_store;

use super::{Answer, Engine, Process, Table, new_commit, request, stream};
use eventstore::{CommandRequest, Options, StreamId};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A command that counts 1, with an optional expected version.
fn expecting(stream: &StreamId, command: &str, expected_version: Option<u64>) -> CommandRequest {
    CommandRequest { expected_version, ..request(stream, command, "count 1") }
}

/// A clock that advances by a millisecond at each call.
fn ticking_clock() -> Options {
    let now = AtomicI64::new(1_790_000_000_000);
    let clock = Arc::new(move || {
        chrono::DateTime::from_timestamp_millis(now.fetch_add(1, Ordering::Relaxed)).unwrap()
    });
    Options { clock, ..Options::default() }
}

/// A clock that does not advance.
fn frozen_clock() -> Options {
    let now = chrono::DateTime::from_timestamp_millis(1_790_000_000_000).unwrap();
    Options { clock: Arc::new(move || now), ..Options::default() }
}
