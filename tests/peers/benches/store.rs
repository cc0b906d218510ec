//! The CPU of the event store without SDK and network: `cargo bench --manifest-path
//! tests/peers/Cargo.toml`.
//!
//! `valgrind` counts the instructions of the functions in `work`: see README.md.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a tool for measuring: what it cannot do ends it"
)]

#[allow(
    dead_code,
    unused_imports,
    reason = "the benchmarks give no commands, and run none of its tests"
)]
#[path = "../src/notebook.rs"]
mod notebook;

use divan::{Bencher, black_box};
use eventstore::{
    Batch, CommandMetadata, Commit, Event, EventCodec, Fingerprint, Hash, Id, Item, NewEvent,
    StreamId,
};
use notebook::{Notebook, Noted};
use serde::{Deserialize, Serialize};

const EVENTS: EventCodec<NotebookEvent> = EventCodec::new(&[]);
const LONG_STREAM: u64 = 1_000;

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
enum NotebookEvent {
    Noted(Noted),
}

/// The measured functions. They do no preparation.
mod work {
    use super::*;

    /// Encodes an event.
    #[inline(never)]
    pub(super) fn encode_event(event: &NotebookEvent) -> NewEvent {
        EVENTS.encode(event).unwrap()
    }

    /// Encodes the JSON of a commit with one event.
    #[inline(never)]
    pub(super) fn encode_commit(batch: &Batch) -> String {
        batch.commits_json().unwrap()
    }

    /// Decodes a commit from a queried item.
    #[inline(never)]
    pub(super) fn decode_item(item: &Item) -> Batch {
        Batch::from_item(item).unwrap()
    }

    /// Hashes the parts of a commit.
    #[inline(never)]
    pub(super) fn hash_commit(parts: &[&[u8]]) -> Hash {
        Hash::of(parts)
    }

    /// Decodes and evolves decompressed events.
    #[inline(never)]
    pub(super) fn fold_events(events: &[NewEvent]) -> Notebook {
        events.iter().fold(Notebook::default(), |state, event| {
            let NotebookEvent::Noted(note) = EVENTS.decode(event).unwrap();
            state.evolve(&note)
        })
    }

    /// Folds items, as a cold load without a snapshot does, but without verifying the chain.
    #[inline(never)]
    pub(super) fn fold_items(items: &[Item]) -> Notebook {
        items.iter().fold(Notebook::default(), |state, item| {
            let batch = decode_item(item);
            let events = batch.commits.iter().flat_map(|commit| &commit.events);
            events.fold(state, |state, event| {
                let NotebookEvent::Noted(note) = EVENTS.decode(&event.body).unwrap();
                state.evolve(&note)
            })
        })
    }
}

fn main() {
    divan::main();
}

#[divan::bench]
fn encode_event(bencher: Bencher<'_, '_>) {
    let event = NotebookEvent::Noted(Noted::any());
    bencher.bench_local(|| work::encode_event(black_box(&event)));
}

#[divan::bench]
fn encode_commit(bencher: Bencher<'_, '_>) {
    let batch = batch(1);
    bencher.bench_local(|| work::encode_commit(black_box(&batch)));
}

#[divan::bench]
fn decode_item(bencher: Bencher<'_, '_>) {
    let item = item(1);
    bencher.bench_local(|| work::decode_item(black_box(&item)));
}

#[divan::bench]
fn hash_commit(bencher: Bencher<'_, '_>) {
    let Commit { metadata, events, hash, .. } = batch(1).commits.remove(0);
    let data = events[0].body.data.get();
    let parts: [&[u8]; 12] = [
        b"ledgerfold/commit/2",
        hash.as_bytes(),
        &[0; 8],
        metadata.command_id.as_str().as_bytes(),
        metadata.fingerprint.as_bytes(),
        metadata.correlation_id.as_str().as_bytes(),
        &[0; 8],
        metadata.actor.as_str().as_bytes(),
        &[0; 8],
        b"Noted",
        &[0; 8],
        data.as_bytes(),
    ];
    bencher.bench_local(|| work::hash_commit(black_box(&parts)));
}

#[divan::bench]
fn fold_events(bencher: Bencher<'_, '_>) {
    let events: Vec<NewEvent> = (0..LONG_STREAM).map(|_| new_event()).collect();
    bencher.bench_local(|| work::fold_events(black_box(&events)));
}

#[divan::bench]
fn fold_items(bencher: Bencher<'_, '_>) {
    let items: Vec<Item> = (1..=LONG_STREAM).map(item).collect();
    bencher.bench_local(|| work::fold_items(black_box(&items)));
}

fn new_event() -> NewEvent {
    EVENTS.encode(&NotebookEvent::Noted(Noted::any())).unwrap()
}

/// A commit with one event. Only the length of its hash matters.
fn batch(version: u64) -> Batch {
    let command_id: Id = uuid::Uuid::now_v7().into();
    let metadata = CommandMetadata {
        fingerprint: Fingerprint::of(&[command_id.as_str().as_bytes()]),
        correlation_id: command_id.clone(),
        command_id,
        causation_id: None,
        actor: Id::new("reader-0192").unwrap(),
        trace_parent: None,
    };
    let commit = Commit {
        version,
        metadata,
        recorded_at: chrono::DateTime::from_timestamp_millis(1_790_000_000_123).unwrap(),
        events: vec![Event { version, body: new_event() }],
        hash: Hash::of(&[b"commit"]),
    };
    Batch { stream: StreamId::new("note-0192f0c1").unwrap(), commits: vec![commit] }
}

/// The batch as a queried item.
fn item(version: u64) -> Item {
    let item = serde_json::json!({
        "stream_id": "note-0192f0c1",
        "version": version,
        "format": 2,
        "commits": batch(version).commits_json().unwrap(),
    });
    serde_dynamo::to_item(item).unwrap()
}
