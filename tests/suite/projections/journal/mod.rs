//! The journal: every commit once, without a gap, whatever writers and queues do.

mod append;
mod bundles;
mod cost;
mod pages;
mod rebuilt;
mod restored;
mod writers;

use crate::harness::events::{commit, raw};
use crate::harness::faults::FaultInjector;
use crate::harness::stack::TestStack;
use aws_sdk_dynamodb::types::AttributeValue;
use eventstore::{Batch, Consistency, Item, StreamId};
use projections::journal::{Journal, JournalPage, PROJECTION};
use projections::{Failed, Notification, Projector, TimeLimit};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// A commit as the journal has it: its stream, its versions, its hash.
type Journaled = (String, u64, u64, String);

fn stream(name: &str) -> StreamId {
    StreamId::new(format!("note-{name}")).unwrap()
}

/// Appends that many commits of one event to the stream's end.
async fn write(stack: &TestStack, stream: &StreamId, commits: usize) -> Vec<Batch> {
    let mut batches = Vec::new();
    for _ in 0..commits {
        let (head, _) = stack.store.head(stream, Consistency::Strong).await.unwrap();
        let commits = vec![commit(vec![raw("Noted", 1, "{}")])];
        batches.push(stack.store.append(&head, commits).await.unwrap().batch);
    }
    batches
}

fn notification(batch: &Batch) -> Notification {
    let (stream, version) = (batch.stream.clone(), batch.last_version());
    Notification { stream, version, batch: Some(batch.clone()) }
}

/// The same without its commits.
fn address(batch: &Batch) -> Notification {
    Notification { batch: None, ..notification(batch) }
}

async fn project(projector: &Projector, notifications: Vec<Notification>) -> Vec<Failed> {
    projector.project(&PROJECTION, notifications, TimeLimit::NONE).await
}

/// The same, of batches that must all be journaled.
async fn append(projector: &Projector, batches: &[Batch]) {
    let failed = project(projector, batches.iter().map(notification).collect()).await;
    assert!(failed.is_empty(), "{failed:?}");
}

/// A new process: it knows nothing of the journal yet.
fn process(stack: &TestStack) -> Projector {
    stack.projector()
}

fn process_over(stack: &TestStack, wire: &FaultInjector) -> Projector {
    stack.projector_over(wire)
}

/// Every item of the journal's table.
async fn items(stack: &TestStack) -> Vec<Item> {
    let table = stack.names.journal();
    let pages = stack.clients().dynamodb.scan().table_name(table).consistent_read(true);
    let mut items = pages.into_paginator().items().send();
    let mut all = Vec::new();
    while let Some(item) = items.next().await {
        all.push(item.unwrap());
    }
    all
}

fn attribute<'a>(item: &'a Item, name: &str) -> &'a str {
    let value: &AttributeValue = &item[name];
    value.as_s().or(value.as_n()).unwrap()
}

/// The generation's journal by position, read from the items as they are stored.
async fn stored(stack: &TestStack, generation: u32) -> BTreeMap<u64, Journaled> {
    let mut all = BTreeMap::new();
    for item in items(stack).await {
        if !attribute(&item, "partition").starts_with(&format!("{generation}/journal/")) {
            continue;
        }
        let first: u64 = attribute(&item, "place").parse().unwrap();
        let entries: Vec<(String, u64, u64, String, Value)> =
            serde_json::from_str(attribute(&item, "entries")).unwrap();
        assert!((1..=100).contains(&entries.len()));
        for (position, (stream, version, last, hash, _)) in (first..).zip(entries) {
            let twice = all.insert(position, (stream, version, last, hash));
            assert_eq!(twice, None, "two commits at {position}");
        }
    }
    all
}

/// What the streams have, each commit as the journal should have it.
async fn written(stack: &TestStack, streams: &[StreamId]) -> HashMap<StreamId, Vec<Journaled>> {
    let mut all = HashMap::new();
    for stream in streams {
        let of_commit = |commit: eventstore::Commit| {
            let hash = serde_json::to_value(commit.hash).unwrap().as_str().unwrap().to_owned();
            (stream.to_string(), commit.version, commit.last_version(), hash)
        };
        let commits = stack.commits(stream).await;
        all.insert(stream.clone(), commits.into_iter().map(of_commit).collect());
    }
    all
}

/// Asserts that the journal has no gap, and each commit of the streams once, each stream in order.
/// Also that a reader gets just that, whatever the size of its pages.
async fn assert_exact(stack: &TestStack, generation: u32, streams: &[StreamId]) {
    let journal = stored(stack, generation).await;
    let positions: Vec<u64> = journal.keys().copied().collect();
    assert_eq!(positions, (1..).take(positions.len()).collect::<Vec<_>>(), "a gap");
    let mut by_stream: HashMap<StreamId, Vec<Journaled>> = HashMap::new();
    for entry in journal.values() {
        by_stream.entry(StreamId::new(&*entry.0).unwrap()).or_default().push(entry.clone());
    }
    let mut expected = written(stack, streams).await;
    expected.retain(|_, commits| !commits.is_empty());
    assert_eq!(by_stream, expected);
    for limit in [1, 7, 1_000] {
        assert_eq!(followed(&stack.system().journal(), generation, limit).await, journal);
    }
}

/// What a reader gets who follows from the beginning to the end.
async fn followed(journal: &Journal, generation: u32, limit: usize) -> BTreeMap<u64, Journaled> {
    let (mut all, mut after) = (BTreeMap::new(), 0);
    loop {
        let JournalPage { entries, next, end } =
            journal.page(generation, after, limit).await.unwrap();
        assert!(entries.len() <= limit && next <= end);
        for (position, entry) in entries {
            let hash = serde_json::to_value(entry.hash).unwrap().as_str().unwrap().to_owned();
            let journaled = (entry.stream.to_string(), entry.version, entry.last_version, hash);
            assert_eq!(all.insert(position, journaled), None);
        }
        if next == after {
            return all;
        }
        after = next;
    }
}
