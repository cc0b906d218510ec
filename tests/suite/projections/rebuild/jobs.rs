//! Jobs driven by hand: the queue of calls, and what stands in a generation when they are done.

use crate::harness::faults::FaultInjector;
use crate::harness::fold::ReadModel;
use crate::harness::stack::TestStack;
use crate::harness::wire::Wire;
use aws_sdk_dynamodb::types::AttributeValue;
use eventstore::{EventStore, Item, Segment, StreamId};
use fastrand::Rng;
use projections::audit_index::AuditIndex;
use projections::rebuild::{RebuildError, Report, Tally, Wake};
use projections::{Kind, Parked, Projection, Projector, ReadModels};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// How long the processes of these cases go by what they know of generations.
pub(in super::super) const REMEMBERED: Duration = Duration::from_millis(20);
/// A worker that stops behind its first page.
pub(in super::super) const ONE_PAGE: Duration = Duration::ZERO;
/// A worker that does not stop before the end of the segment.
pub(in super::super) const NO_END: Duration = Duration::from_secs(600);

/// The calls of a job, as a queue that drops what it was sent before. In what order they are taken is the case's business.
#[derive(Default)]
pub(in super::super) struct Calls {
    open: VecDeque<Wake>,
    sent: BTreeSet<String>,
}

impl Calls {
    pub(in super::super) fn of(wakes: Vec<Wake>) -> Self {
        let mut calls = Self::default();
        calls.send(wakes);
        calls
    }

    pub(in super::super) fn send(&mut self, wakes: Vec<Wake>) {
        for wake in wakes {
            if self.sent.insert(wake.deduplication_id()) {
                self.open.push_back(wake);
            }
        }
    }

    /// The call was not done, or is given out twice.
    pub(in super::super) fn again(&mut self, wake: Wake) {
        self.open.push_back(wake);
    }

    pub(in super::super) fn next(&mut self) -> Option<Wake> {
        self.open.pop_front()
    }

    /// Any of them.
    pub(in super::super) fn any(&mut self, rng: &mut Rng) -> Option<Wake> {
        if self.open.is_empty() { None } else { self.open.remove(rng.usize(..self.open.len())) }
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

pub(in super::super) fn projector(stack: &TestStack) -> Projector {
    stack.projector().remembering(REMEMBERED)
}

pub(in super::super) fn projector_over(stack: &TestStack, wire: &FaultInjector) -> Projector {
    stack.projector_over(wire).remembering(REMEMBERED)
}

/// A projector over a wire with rules.
pub(in super::super) fn ruled(stack: &TestStack) -> (Projector, Wire) {
    let (client, wire) = Wire::under(&stack.clients().dynamodb);
    let read_models = ReadModels::new(client.clone(), stack.names.read_models());
    let audit_index = AuditIndex::new(client.clone(), stack.names.audit_index());
    let store = EventStore::new(client, stack.names.events());
    (Projector::new(store, read_models, audit_index).remembering(REMEMBERED), wire)
}

/// Does what a call asks for.
pub(in super::super) async fn work(
    projector: &Projector,
    projection: &Projection,
    wake: &Wake,
    budget: Duration,
) -> Result<Vec<Wake>, RebuildError> {
    projector.work(projection, wake, budget, |_| std::future::ready(Ok(()))).await
}

/// Does all that is called for, a page a call, to the end of the job. Its report.
pub(in super::super) async fn finish(projector: &Projector, projection: &Projection, wakes: Vec<Wake>) -> Report {
    let mut calls = Calls::of(wakes);
    while let Some(wake) = calls.next() {
        calls.send(work(projector, projection, &wake, ONE_PAGE).await.unwrap());
    }
    let status = projector.status(projection).await.unwrap();
    assert!(status.job.is_none(), "nothing is called for any more: {status:?}");
    status.report.unwrap()
}

pub(in super::super) async fn rebuild(projector: &Projector, projection: &Projection, segments: u32) -> Report {
    let wakes = projector.rebuild(projection, segments).await.unwrap();
    finish(projector, projection, wakes).await
}

pub(in super::super) async fn reconcile(projector: &Projector, projection: &Projection) -> Report {
    let wakes = projector.reconcile(projection, 4).await.unwrap();
    finish(projector, projection, wakes).await
}

/// Every stream that the projection follows.
pub(in super::super) async fn followed(stack: &TestStack, projection: &Projection) -> Vec<StreamId> {
    let streams = stack.store.streams(1, |_| ()).await.unwrap().names;
    streams.into_iter().filter(|stream| projection.follows.includes(stream)).collect()
}

/// How many commits, events and streams there are that the projection follows.
pub(in super::super) async fn counts(stack: &TestStack, projection: &Projection) -> (u64, u64, u64) {
    let (mut commits, mut events, mut cursor) = (0, 0, None);
    loop {
        let page = stack.store.scan(Segment { index: 0, total: 1 }, cursor.as_ref()).await.unwrap();
        for batch in page.batches.iter().filter(|batch| projection.follows.includes(&batch.stream)) {
            commits += batch.commits.len();
            events += batch.commits.iter().map(|commit| commit.events.len()).sum::<usize>();
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let count = |number: usize| u64::try_from(number).unwrap();
    (count(commits), count(events), count(followed(stack, projection).await.len()))
}

pub(in super::super) fn counted(tally: &Tally) -> (u64, u64, u64) {
    (tally.commits, tally.events, tally.streams)
}

/// Every item of the table of read models whose key begins so.
pub(in super::super) async fn items(stack: &TestStack, begin: &str) -> Vec<Item> {
    let pages = stack.clients().dynamodb.scan().table_name(stack.names.read_models()).consistent_read(true);
    let mut pages = pages.into_paginator().items().send();
    let mut items = Vec::new();
    while let Some(item) = pages.next().await {
        items.push(item.unwrap());
    }
    items.retain(|item| key(item).starts_with(begin));
    items
}

pub(in super::super) fn key(item: &Item) -> &str {
    item["row"].as_s().unwrap()
}

/// The rows of a generation, without the notes of streams that stand still.
pub(in super::super) async fn rows(stack: &TestStack, projection: &Projection, number: u32) -> Vec<Item> {
    let begin = format!("{}.{number}/", projection.name);
    let mut rows = items(stack, &begin).await;
    rows.retain(|item| !key(item).starts_with(&format!("{begin}parked/")));
    rows
}

/// The rows of a generation without what names the generation, by key.
async fn bare_rows(stack: &TestStack, projection: &Projection, number: u32) -> BTreeMap<String, Item> {
    let begin = format!("{}.{number}/", projection.name);
    let bare = |mut item: Item| {
        let name = key(&item).strip_prefix(&begin).unwrap().to_owned();
        item.remove("row");
        if let Some(list) = item.get_mut("list") {
            *list = AttributeValue::S(list.as_s().unwrap().strip_prefix(&begin).unwrap().to_owned());
        }
        // How often a row of many streams was written is the generation's own.
        if matches!(projection.kind, Kind::MultiStream { .. }) && !name.starts_with("fence/") {
            item.remove("version");
        }
        (name, item)
    };
    rows(stack, projection, number).await.into_iter().map(bare).collect()
}

/// Asserts that two generations say the same, byte for byte.
pub(in super::super) async fn assert_same(stack: &TestStack, projection: &Projection, one: u32, other: u32) {
    let found = bare_rows(stack, projection, one).await;
    assert!(!found.is_empty());
    assert_eq!(found, bare_rows(stack, projection, other).await, "{} {one} and {other}", projection.name);
}

/// Asserts that a generation is the pure fold of every stream that there is.
pub(in super::super) async fn assert_exact(stack: &TestStack, projection: &Projection, number: u32) {
    let found = ReadModel::of_rows(&rows(stack, projection, number).await, "");
    let streams = followed(stack, projection).await;
    let expected = ReadModel::of_streams(&stack.store, &streams).await.only(projection.name);
    assert_eq!(found, expected, "generation {number} of {}", projection.name);
}

/// The streams that stand still in a generation.
pub(in super::super) async fn parked(projector: &Projector, projection: &Projection, number: u32) -> Vec<Parked> {
    projector.parked(projection, number, 500, None).await.unwrap().streams
}

/// Whether anything is left of a projection's jobs.
pub(in super::super) async fn progress_rows(stack: &TestStack, projection: &Projection) -> usize {
    items(stack, &format!("{}/job/", projection.name)).await.len()
}
