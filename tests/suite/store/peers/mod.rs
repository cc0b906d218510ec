//! What the suites of other event stores ask, asked of this one: the cases that no other test here holds already.
//! `tests/peers-cases.md` has them all, with the test that holds each or the reason why there is none.

mod commanded;
mod event_store_adapter;
mod kurrent;
mod nevent_store;

use super::{Answer, Engine, Process, Table, new_commit, request, stream};
use eventstore::{CommandRequest, Options, StreamId};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A command that counts 1 and expects the stream at the version, where it expects one.
fn expecting(stream: &StreamId, command: &str, expected_version: Option<u64>) -> CommandRequest {
    CommandRequest { expected_version, ..request(stream, command, "count 1") }
}

/// A clock that goes on by a millisecond each time it is asked.
fn ticking_clock() -> Options {
    let now = AtomicI64::new(1_790_000_000_000);
    let clock = Arc::new(move || chrono::DateTime::from_timestamp_millis(now.fetch_add(1, Ordering::Relaxed)).unwrap());
    Options { clock, ..Options::default() }
}

/// A clock that stands still.
fn frozen_clock() -> Options {
    let now = chrono::DateTime::from_timestamp_millis(1_790_000_000_000).unwrap();
    Options { clock: Arc::new(move || now), ..Options::default() }
}
