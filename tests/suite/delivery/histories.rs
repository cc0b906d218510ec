//! Random histories of the shop with random faults everywhere, from a seed.
//!
//! `LEDGERFOLD_TEST_SEED=<number>` repeats a run; a failed case prints its seed. The seed
//! determines the history, the fault of each invocation and its time, but not which of a function's
//! parallel requests fails.

use super::consumers::everybody;
use crate::harness::depth::full_or;
use crate::harness::events::{
    Stored, Writer, cancelled, committed, confirmed, new_order, placed, received, rejected,
    released, reserved, shipped, stock_of,
};
use crate::harness::faults::Fault;
use crate::harness::fold::ReadModel;
use crate::harness::pipeline::policy::{FifoPolicy, StreamPolicy};
use crate::harness::pipeline::{Call, Fate, Pipeline, WELL};
use crate::projections::histories::seed;
use eventstore::{Consistency, NewEvent, StreamId};
use fastrand::Rng;
use projections::audit_index::AuditSearch;
use std::collections::VecDeque;

/// Histories per case. Each begins when the last one is settled.
const HISTORIES: u32 = 50;
const SAMPLE: u32 = 5;
const MINUTE_MS: u64 = 60_000;

/// The events that a stream still gets.
struct Plan {
    writer: Writer,
    events: VecDeque<NewEvent>,
}

/// A pipeline under test, and what must be in its read models.
struct Trial {
    pipeline: Pipeline,
    rng: Rng,
    seed_text: String,
    expected: ReadModel,
    commits: usize,
    books: u32,
    /// How often an operator had to repair something.
    mended: u64,
}

impl Trial {
    async fn start(stream: StreamPolicy, change: impl Fn(FifoPolicy) -> FifoPolicy) -> Self {
        let seed = seed();
        let pipeline = Pipeline::under(stream, change).await;
        let (rng, expected) = (Rng::with_seed(seed), ReadModel::default());
        Self {
            pipeline,
            rng,
            seed_text: format!("LEDGERFOLD_TEST_SEED={seed}"),
            expected,
            commits: 0,
            books: 0,
            mended: 0,
        }
    }

    /// Writes streams in random order while time passes, functions die and engines fail. Then all
    /// faults end.
    async fn history(&mut self, number: u32, fulfilled: bool) {
        let rng = self.rng.fork();
        self.pipeline.fates(fates(rng));
        let streams = if fulfilled { self.sell().await } else { self.write().await };
        self.pipeline.wire.end_outages();
        self.pipeline.fates(|_| WELL);
        self.pipeline.run_until_quiet().await;
        self.mend().await;
        for stream in streams {
            let loaded =
                self.pipeline.stack.store.load(&stream, Consistency::Strong).await.unwrap();
            self.commits += loaded.batches.iter().map(|batch| batch.commits.len()).sum::<usize>();
            let commits: Vec<_> =
                loaded.batches.into_iter().flat_map(|batch| batch.commits).collect();
            self.expected.add(&stream, &commits, u64::MAX);
        }
        assert_eq!(
            self.pipeline.stack.read_models().await,
            self.expected,
            "{}, history {number}",
            self.seed_text
        );
    }

    /// Writes streams of random events.
    async fn write(&mut self) -> Vec<StreamId> {
        let mut streams: Vec<StreamId> = (0..self.rng.usize(1..=3)).map(|_| new_order()).collect();
        self.books += 1;
        streams.push(stock_of(self.books));
        let store = self.pipeline.stack.store.clone();
        let plan = |stream: &StreamId, rng: &mut Rng| {
            let events =
                if stream.category() == "order" { order_events(rng) } else { stock_events(rng) };
            Plan { writer: Writer::new(&store, stream), events }
        };
        let mut plans: Vec<Plan> =
            streams.iter().map(|stream| plan(stream, &mut self.rng)).collect();
        while !plans.is_empty() {
            let index = self.rng.usize(..plans.len());
            let count = self.rng.usize(1..=2).min(plans[index].events.len());
            let events: Vec<NewEvent> = plans[index].events.drain(..count).collect();
            plans[index].writer.append(events).await;
            plans.retain(|plan| !plan.events.is_empty());
            self.let_time_pass().await;
        }
        streams
    }

    /// Receives books, and orders more than there are.
    async fn sell(&mut self) -> Vec<StreamId> {
        let first = self.books + 1;
        self.books += 2;
        let mut streams = Vec::new();
        for book in first..=self.books {
            streams.push(stock_of(book));
            let copies = received(self.rng.u32(1..=4)).stored();
            Writer::new(&self.pipeline.stack.store, &streams[streams.len() - 1])
                .append(vec![copies])
                .await;
        }
        for _ in 0..self.rng.u32(1..=3) {
            streams.push(new_order());
            let lines = [(first, self.rng.u32(1..=2)), (self.books, self.rng.u32(1..=2))];
            let event = placed("c", lines).stored();
            Writer::new(&self.pipeline.stack.store, &streams[streams.len() - 1])
                .append(vec![event])
                .await;
            self.let_time_pass().await;
        }
        streams
    }

    async fn let_time_pass(&mut self) {
        match self.rng.u32(..12) {
            0 => self.pipeline.wire.begin_outage(
                ["-orders.fifo", "-audit.fifo", "-stock.fifo", "-fulfilment.fifo"]
                    [self.rng.usize(..4)],
            ),
            1 => self.pipeline.wire.begin_outage(
                ["ledgerfold-read-models", "ledgerfold-audit-index"][self.rng.usize(..2)],
            ),
            2..=4 => self.pipeline.wire.end_outages(),
            5 => self.pipeline.run_for(self.rng.u64(1..=40) * MINUTE_MS).await,
            6 | 7 => self.pipeline.run_for(self.rng.u64(..10_000)).await,
            _ => {}
        }
    }

    /// Repairs as an operator does, if something was given up.
    async fn mend(&mut self) {
        let mut mended = 0;
        for projection in everybody() {
            mended += self.pipeline.redrive(&projection).await;
        }
        let given_up = self.pipeline.stream.take_given_up();
        if given_up > 0 {
            for projection in everybody() {
                if self.pipeline.has(projection.name) {
                    self.pipeline.reconcile(&projection).await;
                }
            }
        }
        self.mended += mended + u64::try_from(given_up).unwrap();
    }

    /// Asserts that each commit is in the audit index once.
    async fn assert_indexed(&self) {
        let projector = self.pipeline.stack.system().projector();
        let mut search = AuditSearch::all(eventstore::Direction::Forwards, 1_000);
        let mut found = 0;
        loop {
            let page = projector.audit_search(&search).await.unwrap();
            found += page.found.len();
            let Some(next) = page.next else { break };
            search.after = Some(next);
        }
        assert_eq!(found, self.commits, "{}", self.seed_text);
    }
}

/// The fault of an invocation: usually none.
fn fates(mut rng: Rng) -> impl FnMut(&Call) -> Fate {
    move |_: &Call| {
        let request = rng.usize(1..=5);
        let lasts_ms = rng.u64(1..=5_000);
        match rng.u32(..10) {
            0 => Fate { fault: Some(Fault::DiesBefore(request)), is_answered: false, lasts_ms },
            1 => Fate { fault: Some(Fault::DiesAfter(request)), is_answered: false, lasts_ms },
            2 => Fate { fault: Some(Fault::LosesAnswer(request)), is_answered: true, lasts_ms },
            3 => Fate { fault: None, is_answered: false, lasts_ms },
            // Longer than the function's time-out or the visibility timeout, whichever is shorter.
            4 => Fate { fault: None, is_answered: true, lasts_ms: lasts_ms + 65_000 },
            _ => Fate { fault: None, is_answered: true, lasts_ms },
        }
    }
}

fn order_events(rng: &mut Rng) -> VecDeque<NewEvent> {
    let lines = (1..=rng.u32(1..=2)).map(|book| (book, rng.u32(1..=3))).collect::<Vec<_>>();
    let placed = placed("c", lines).stored();
    let rest = match rng.u32(..4) {
        0 => vec![rejected("sold out").stored()],
        1 => vec![confirmed().stored(), cancelled("too late").stored()],
        2 => vec![confirmed().stored(), shipped().stored()],
        _ => vec![],
    };
    std::iter::once(placed).chain(rest).collect()
}

fn stock_events(rng: &mut Rng) -> VecDeque<NewEvent> {
    let order = u128::from(rng.u64(..));
    let closed =
        if rng.bool() { released(order, 2).stored() } else { committed(order, 2).stored() };
    [received(5).stored(), reserved(order, 2).stored(), closed]
        .into_iter()
        .take(rng.usize(1..=3))
        .collect()
}

/// Retries and age so short that histories exceed them.
fn impatient() -> StreamPolicy {
    StreamPolicy {
        max_retries: Some(4),
        max_record_age_ms: Some(30 * MINUTE_MS),
        ..StreamPolicy::of_fan_out()
    }
}

async fn run(mut trial: Trial, fulfilled: bool) -> Trial {
    for number in 0..full_or(HISTORIES, SAMPLE) {
        trial.history(number, fulfilled).await;
    }
    trial.assert_indexed().await;
    assert!(trial.commits > full_or(100, 8), "{}: only {} commits", trial.seed_text, trial.commits);
    trial
}

#[tokio::test]
async fn with_deployed_settings_random_faults_end_in_the_pure_fold() {
    run(Trial::start(StreamPolicy::of_fan_out(), |policy| policy).await, false).await;
}

#[tokio::test]
async fn with_small_batches_given_up_early_an_operator_repairs_them() {
    let stream = StreamPolicy { batch_size: 2, parallelization_factor: 1, ..impatient() };
    let change =
        |policy| FifoPolicy { batch_size: 2, max_receives: 6, max_concurrency: 2, ..policy };
    let trial = run(Trial::start(stream, change).await, false).await;
    assert!(trial.mended >= full_or(1, 0), "{}: nothing was given up", trial.seed_text);
}

#[tokio::test]
async fn with_parallel_batches_and_slow_functions_they_do_so_too() {
    let stream = StreamPolicy {
        parallelization_factor: 3,
        batching_window_ms: 2_000,
        bisect: false,
        ..impatient()
    };
    run(Trial::start(stream, |policy| FifoPolicy { timeout_ms: 600_000, ..policy }).await, false)
        .await;
}

#[tokio::test]
async fn with_fulfilment_they_do_so_and_every_order_has_its_answer() {
    let mut trial = Trial::start(impatient(), |policy| policy).await;
    trial.pipeline = trial.pipeline.with_fulfilment().await;
    run(trial, true).await;
}
