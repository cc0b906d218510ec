//! Jobs driven step by step: the queue of tasks, and the rows of a generation afterwards.

use crate::harness::faults::FaultInjector;
use crate::harness::fold::ReadModel;
use crate::harness::stack::TestStack;
use crate::harness::wire::Wire;
use aws_sdk_dynamodb::types::AttributeValue;
use eventstore::{EventStore, Item, Segment, StreamId};
use fastrand::Rng;
use projections::audit_index::AuditIndex;
use projections::journal::Journal;
use projections::rebuild::{RebuildError, Report, SegmentTask, Tally};
use projections::{Kind, Parked, Projection, Projector, ReadModels};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// How long the processes of these cases cache generations.
pub(in super::super) const REMEMBERED: Duration = Duration::from_millis(20);
/// A worker that stops after its first page.
pub(in super::super) const ONE_PAGE: Duration = Duration::ZERO;
/// A worker that does not stop before the end of the segment.
pub(in super::super) const NO_END: Duration = Duration::from_secs(600);

/// The tasks of a job, as a queue that drops duplicates. Each case decides on their order.
#[derive(Default)]
pub(in super::super) struct Calls {
    open: VecDeque<SegmentTask>,
    sent: BTreeSet<String>,
}

impl Calls {
    pub(in super::super) fn of(wakes: Vec<SegmentTask>) -> Self {
        let mut calls = Self::default();
        calls.send(wakes);
        calls
    }

    pub(in super::super) fn send(&mut self, wakes: Vec<SegmentTask>) {
        for wake in wakes {
            if self.sent.insert(wake.deduplication_id()) {
                self.open.push_back(wake);
            }
        }
    }

    /// The task failed, or is delivered twice.
    pub(in super::super) fn again(&mut self, wake: SegmentTask) {
        self.open.push_back(wake);
    }

    pub(in super::super) fn next(&mut self) -> Option<SegmentTask> {
        self.open.pop_front()
    }

    /// Any of them.
    pub(in super::super) fn any(&mut self, rng: &mut Rng) -> Option<SegmentTask> {
        if self.open.is_empty() { None } else { self.open.remove(rng.usize(..self.open.len())) }
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

pub(in super::super) fn projector(stack: &TestStack) -> Projector {
    stack.projector().with_cache_time(REMEMBERED)
}

pub(in super::super) fn projector_over(stack: &TestStack, wire: &FaultInjector) -> Projector {
    stack.projector_over(wire).with_cache_time(REMEMBERED)
}

/// A projector over a wire with rules.
pub(in super::super) fn ruled(stack: &TestStack) -> (Projector, Wire) {
    let (client, wire) = Wire::under(&stack.clients().dynamodb);
    let read_models = ReadModels::new(client.clone(), stack.names.read_models());
    let audit_index = AuditIndex::new(client.clone(), stack.names.audit_index());
    let journal = Journal::new(client.clone(), stack.names.journal());
    let store = EventStore::new(client, stack.names.events());
    (Projector::new(store, read_models, audit_index, journal).with_cache_time(REMEMBERED), wire)
}

/// Works on a task.
pub(in super::super) async fn work(
    projector: &Projector,
    projection: &Projection,
    wake: &SegmentTask,
    budget: Duration,
) -> Result<Vec<SegmentTask>, RebuildError> {
    projector.work(projection, wake, budget, |_| std::future::ready(Ok(()))).await
}

/// Works on all tasks, one page each, to the end of the job. Returns its report.
pub(in super::super) async fn finish(
    projector: &Projector,
    projection: &Projection,
    wakes: Vec<SegmentTask>,
) -> Report {
    let mut calls = Calls::of(wakes);
    while let Some(wake) = calls.next() {
        calls.send(work(projector, projection, &wake, ONE_PAGE).await.unwrap());
    }
    let status = projector.status(projection).await.unwrap();
    assert!(status.job.is_none(), "nothing is called for any more: {status:?}");
    status.report.unwrap()
}

pub(in super::super) async fn rebuild(
    projector: &Projector,
    projection: &Projection,
    segments: u32,
) -> Report {
    let wakes = projector.rebuild(projection, segments).await.unwrap();
    finish(projector, projection, wakes).await
}

pub(in super::super) async fn reconcile(projector: &Projector, projection: &Projection) -> Report {
    let wakes = projector.reconcile(projection, 4).await.unwrap();
    finish(projector, projection, wakes).await
}

/// Every stream that the projection follows.
pub(in super::super) async fn followed(
    stack: &TestStack,
    projection: &Projection,
) -> Vec<StreamId> {
    let streams = stack.store.streams(1, |_| ()).await.unwrap().names;
    streams.into_iter().filter(|stream| projection.follows.includes(stream)).collect()
}

/// The numbers of commits, events and streams that the projection follows.
pub(in super::super) async fn counts(
    stack: &TestStack,
    projection: &Projection,
) -> (u64, u64, u64) {
    let (mut commits, mut events, mut cursor) = (0, 0, None);
    loop {
        let page = stack.store.scan(Segment { index: 0, total: 1 }, cursor.as_ref()).await.unwrap();
        for batch in page.batches.iter().filter(|batch| projection.follows.includes(&batch.stream))
        {
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
    let pages =
        stack.clients().dynamodb.scan().table_name(stack.names.read_models()).consistent_read(true);
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

/// The rows of a generation, without rows of parked streams.
pub(in super::super) async fn rows(
    stack: &TestStack,
    projection: &Projection,
    number: u32,
) -> Vec<Item> {
    let begin = format!("{}.{number}/", projection.name);
    let mut rows = items(stack, &begin).await;
    rows.retain(|item| !key(item).starts_with(&format!("{begin}parked/")));
    rows
}

/// The rows of a generation by key, without the generation's number.
async fn bare_rows(
    stack: &TestStack,
    projection: &Projection,
    number: u32,
) -> BTreeMap<String, Item> {
    let begin = format!("{}.{number}/", projection.name);
    let bare = |mut item: Item| {
        let name = key(&item).strip_prefix(&begin).unwrap().to_owned();
        item.remove("row");
        if let Some(list) = item.get_mut("list") {
            *list =
                AttributeValue::S(list.as_s().unwrap().strip_prefix(&begin).unwrap().to_owned());
        }
        // The version of a multi-stream row may differ between generations.
        if matches!(projection.kind, Kind::MultiStream { .. }) && !name.starts_with("fence/") {
            item.remove("version");
        }
        (name, item)
    };
    rows(stack, projection, number).await.into_iter().map(bare).collect()
}

/// Asserts that two generations are equal, byte for byte.
pub(in super::super) async fn assert_same(
    stack: &TestStack,
    projection: &Projection,
    one: u32,
    other: u32,
) {
    let found = bare_rows(stack, projection, one).await;
    assert!(!found.is_empty());
    assert_eq!(
        found,
        bare_rows(stack, projection, other).await,
        "{} {one} and {other}",
        projection.name
    );
}

/// Asserts that a generation is the pure fold of all streams.
pub(in super::super) async fn assert_exact(
    stack: &TestStack,
    projection: &Projection,
    number: u32,
) {
    let found = ReadModel::of_rows(&rows(stack, projection, number).await, "");
    let streams = followed(stack, projection).await;
    let expected = ReadModel::of_streams(&stack.store, &streams).await.only(projection.name);
    assert_eq!(found, expected, "generation {number} of {}", projection.name);
}

/// The parked streams of a generation.
pub(in super::super) async fn parked(
    projector: &Projector,
    projection: &Projection,
    number: u32,
) -> Vec<Parked> {
    projector.parked(projection, number, 500, None).await.unwrap().streams
}

/// Whether rows of a projection's jobs are left.
pub(in super::super) async fn progress_rows(stack: &TestStack, projection: &Projection) -> usize {
    items(stack, &format!("{}/job/", projection.name)).await.len()
}
