//! A rebuild during writes and live projection, with ten crashes of workers.

use super::super::histories::seed;
use super::jobs::{
    Calls, ONE_PAGE, assert_exact, assert_same, counted, counts, finish, projector, projector_over,
    reconcile, work,
};
use super::traffic::Traffic;
use crate::harness::depth::full_or;
use crate::harness::faults::{Fault, FaultInjector};
use crate::harness::messages::{deliver, messages_of};
use crate::harness::stack::TestStack;
use crate::harness::waiting::PATIENCE;
use bookshop::{bestsellers, orders, stock};
use eventstore::Batch;
use fastrand::Rng;
use futures::future::join;
use handlers::ProjectorHandler;
use projections::rebuild::{JobKind, RebuildError, Report, SegmentTask};
use projections::{ProjectError, Projection, Projector};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use tokio::time::timeout;

const SEGMENTS: u32 = 16;
const DEATHS: usize = 10;

/// Polls the future that often, then drops it: a process that dies at that point.
async fn dropped_after<F: Future>(mut polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if polls == 0 => Poll::Ready(None),
        Poll::Pending => {
            polls -= 1;
            Poll::Pending
        }
    })
    .await
}

/// A rebuild in progress.
struct Site<'a> {
    stack: &'a TestStack,
    projection: Projection,
    calls: Mutex<Calls>,
    deaths: AtomicUsize,
}

impl Site<'_> {
    /// A worker: handles tasks until the job is over. It dies at random requests while crashes are
    /// left.
    async fn worker(&self, mut rng: Rng) {
        let operator = projector(self.stack);
        while operator.status(&self.projection).await.unwrap().job.is_some() {
            let call = self.calls.lock().unwrap().any(&mut rng);
            let Some(call) = call else {
                tokio::task::yield_now().await;
                continue;
            };
            match self.one(&call, &mut rng).await {
                Some(next) => self.calls.lock().unwrap().send(next),
                None => self.calls.lock().unwrap().again(call.clone()),
            }
            if rng.u32(..5) == 0 {
                self.calls.lock().unwrap().again(call);
            }
        }
    }

    /// Handles a task, unless it dies before.
    async fn one(&self, call: &SegmentTask, rng: &mut Rng) -> Option<Vec<SegmentTask>> {
        let wire = FaultInjector::default();
        let worker = projector_over(self.stack, &wire);
        let (request, way) = (rng.usize(1..=9), rng.u32(..3));
        let doomed = self.deaths.load(Ordering::SeqCst) < DEATHS;
        match way {
            0 if doomed => wire.arm(Some(Fault::DiesBefore(request))),
            1 if doomed => wire.arm(Some(Fault::DiesAfter(request))),
            _ => {}
        }
        let polls = if doomed && way == 2 { rng.usize(..20) } else { usize::MAX };
        let done = dropped_after(polls, work(&worker, &self.projection, call, ONE_PAGE)).await;
        let died = done.is_none() || (doomed && way < 2 && !wire.is_armed());
        self.deaths.fetch_add(usize::from(died), Ordering::SeqCst);
        match done? {
            Ok(next) => Some(next),
            Err(
                RebuildError::Project { source: ProjectError::Contention, .. }
                | RebuildError::Contention,
            ) => None,
            Err(error) if died => drop_error(error),
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Writers and a live projector, until the job is over.
    async fn load(&self, traffic: &mut Traffic) {
        let live = projector(self.stack);
        while live.status(&self.projection).await.unwrap().job.is_some() {
            for batch in traffic.steps(2).await {
                deliver_until_done(self.projection, &live, &batch).await;
            }
        }
    }
}

/// The answers of a dead worker are lost.
fn drop_error<T>(_error: RebuildError) -> Option<T> {
    None
}

async fn deliver_until_done(projection: Projection, projector: &Projector, batch: &Batch) {
    let handler = ProjectorHandler::new(projection, projector.clone());
    let messages = messages_of([batch]);
    let delivered = async { while !deliver(&handler, &messages).await.is_empty() {} };
    timeout(PATIENCE, delivered).await.expect("a message is never done");
}

/// Every list of the active generation that the rows name, page by page.
async fn lists(
    stack: &TestStack,
    projector: &Projector,
    projection: &Projection,
    number: u32,
) -> Vec<Vec<String>> {
    let rows = super::jobs::rows(stack, projection, number).await;
    let begin = format!("{}.{number}/", projection.name);
    let names: std::collections::BTreeSet<String> = rows
        .iter()
        .filter_map(|item| Some(item.get("list")?.as_s().unwrap().strip_prefix(&begin)?.to_owned()))
        .collect();
    let mut lists = Vec::new();
    for name in names {
        let (mut read, mut cursor) = (vec![name.clone()], None);
        loop {
            let page = projector.list(projection, &name, 3, cursor.as_ref()).await.unwrap();
            read.extend(page.rows.iter().map(|row| row.content.data.to_string()));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        lists.push(read);
    }
    lists
}

fn assert_report(report: &Report, before: (u64, u64, u64), after: (u64, u64, u64)) {
    assert_eq!(
        (report.kind, report.generation, report.complete),
        (JobKind::Rebuild, Some(2), true),
        "{report:?}"
    );
    for tally in [&report.first_pass, &report.last_pass] {
        let (commits, events, streams) = counted(tally);
        assert!((before.0..=after.0).contains(&commits), "{report:?}: {before:?} to {after:?}");
        assert!(
            (before.1..=after.1).contains(&events) && (before.2..=after.2).contains(&streams),
            "{report:?}"
        );
    }
    assert_eq!((report.last_pass.behind, report.last_pass.parked), (0, 0), "{report:?}");
    assert!(report.passes >= 2 && report.first_pass.ignored.is_empty());
}

async fn is_rebuilt_under_load(projection: Projection) {
    let seed = seed();
    eprintln!("LEDGERFOLD_TEST_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let stack = TestStack::start().await;
    let (operator, mut traffic) =
        (projector(&stack), Traffic::of(&stack.store, &projection, rng.fork()));
    for batch in traffic.steps(full_or(100, 40)).await {
        deliver_until_done(projection, &operator, &batch).await;
    }
    let before = counts(&stack, &projection).await;
    let calls =
        Mutex::new(Calls::of(operator.rebuild(&projection, full_or(SEGMENTS, 6)).await.unwrap()));
    let site = Site { stack: &stack, projection, calls, deaths: AtomicUsize::new(0) };
    let workers = join(site.worker(rng.fork()), site.worker(rng.fork()));
    timeout(PATIENCE, join(workers, site.load(&mut traffic)))
        .await
        .expect("the rebuild does not end");
    let deaths = site.deaths.into_inner();
    assert!(deaths >= DEATHS, "only {deaths} workers died");
    let after = counts(&stack, &projection).await;
    assert!(after.0 > before.0, "the writers stopped: {before:?} {after:?}");
    let report = operator.status(&projection).await.unwrap().report.unwrap();
    assert_report(&report, before, after);
    assert_exact(&stack, &projection, 1).await;
    assert_exact(&stack, &projection, 2).await;
    assert_same(&stack, &projection, 1, 2).await;

    let report = reconcile(&operator, &projection).await;
    assert_eq!(
        (counted(&report.first_pass), report.passes, report.complete),
        (after, 1, true),
        "{report:?}"
    );
    assert_eq!((report.first_pass.present, report.first_pass.behind), (after.2, 0), "{report:?}");
    let read = lists(&stack, &operator, &projection, 1).await;
    let wakes = operator.switch(&projection, false).await.unwrap();
    assert_eq!(operator.status(&projection).await.unwrap().active, 2);
    assert_eq!(lists(&stack, &operator, &projection, 2).await, read);
    assert!(finish(&operator, &projection, wakes).await.complete);
    for batch in traffic.steps(10).await {
        deliver_until_done(projection, &operator, &batch).await;
    }
    assert_exact(&stack, &projection, 1).await;
    assert_same(&stack, &projection, 1, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_are_rebuilt_exactly_despite_writes_and_crashes() {
    is_rebuilt_under_load(orders()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_is_rebuilt_exactly_while_writers_go_on_and_workers_die() {
    is_rebuilt_under_load(stock()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bestsellers_are_rebuilt_exactly_despite_writes_and_crashes() {
    is_rebuilt_under_load(bestsellers()).await;
}
