//! Long random histories with all faults at once. The queue repeats, delays and loses messages.
//! Projectors die, are older than an event, or are frozen. Workers of a rebuild die. Then come a
//! switch, a rollback and another switch.
//!
//! `LEDGERFOLD_TEST_SEED=<number>` repeats a run; a failed case prints its number.

use super::super::histories::seed;
use super::jobs::{
    Calls, ONE_PAGE, assert_exact, finish, parked, projector, projector_over, reconcile, work,
};
use super::traffic::Traffic;
use crate::harness::depth::full_or;
use crate::harness::faults::{Fault, FaultInjector};
use crate::harness::messages::{Message, deliver};
use crate::harness::stack::TestStack;
use bookshop::{bestsellers, orders, stock};
use fastrand::Rng;
use futures::future::join_all;
use handlers::ProjectorHandler;
use projections::{GenerationState, Projection, Projector};
use std::time::Duration;

const STEPS: usize = 240;
const REBUILT_AT: usize = 40;
const PAUSED_AT: usize = 46;
const RESUMED_AT: usize = 56;
/// The step at which a program is deployed that knows every event.
const FIXED_AT: usize = 140;
const SWITCHED_FROM: usize = 150;
const ROLLED_BACK_FROM: usize = 180;
const SWITCHED_AGAIN_FROM: usize = 205;

/// The steps of the generations so far.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Stage {
    One,
    Building,
    Switched,
    RolledBack,
    SwitchedAgain,
}

struct Line<'a> {
    stack: &'a TestStack,
    projection: Projection,
    rng: Rng,
    traffic: Traffic,
    /// Messages, each with the step of its delivery.
    waiting: Vec<(usize, Message)>,
    calls: Calls,
    frozen: Vec<ProjectorHandler>,
    fixed: bool,
    stage: Stage,
    deaths: usize,
}

impl<'a> Line<'a> {
    fn new(stack: &'a TestStack, projection: Projection, mut rng: Rng) -> Self {
        let traffic = Traffic::of(&stack.store, &projection, rng.fork());
        let (waiting, calls, frozen) = (Vec::new(), Calls::default(), Vec::new());
        Self {
            stack,
            projection,
            rng,
            traffic,
            waiting,
            calls,
            frozen,
            fixed: false,
            stage: Stage::One,
            deaths: 0,
        }
    }

    /// The current program: it may lack an event type.
    fn program(&self, projector: Projector) -> Projector {
        let poison =
            if self.projection.name == stock().name { "StockReleased" } else { "OrderShipped" };
        if self.fixed { projector } else { projector.with_fault(self.projection.name, poison) }
    }

    fn operator(&self) -> Projector {
        self.program(projector(self.stack))
    }

    /// A process that uses its cached generations for the rest of the history.
    fn freeze(&mut self) {
        let frozen =
            self.program(self.stack.projector().with_cache_time(Duration::from_secs(3_600)));
        self.frozen.push(ProjectorHandler::new(self.projection, frozen));
    }

    async fn step(&mut self, now: usize) {
        for _ in 0..self.rng.usize(0..=full_or(2, 1)) {
            let batch = self.traffic.step().await;
            for _ in 0..[0, 1, 1, 1, 2][self.rng.usize(..5)] {
                let delay =
                    if self.rng.u32(..5) == 0 { self.rng.usize(..30) } else { self.rng.usize(..3) };
                let message = if self.rng.u32(..8) == 0 {
                    Message::address_of(&batch)
                } else {
                    Message::of(&batch)
                };
                self.waiting.push((now + delay, message));
            }
        }
        let due = self.due(now);
        self.hand_out(due, now).await;
        self.work().await;
    }

    fn due(&mut self, now: usize) -> Vec<Message> {
        let (due, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(at, _)| *at <= now);
        self.waiting = waiting;
        let mut due: Vec<(usize, Message)> = due;
        self.rng.shuffle(&mut due);
        due.into_iter().map(|(_, message)| message).collect()
    }

    fn fault(&mut self) -> Option<Fault> {
        let request = self.rng.usize(1..=8);
        let faults =
            [Fault::DiesBefore(request), Fault::DiesAfter(request), Fault::LosesAnswer(request)];
        faults.get(self.rng.usize(..6)).copied()
    }

    /// Two to four projectors at once, and sometimes a frozen one.
    async fn hand_out(&mut self, due: Vec<Message>, now: usize) {
        let mut shares = vec![Vec::new(); self.rng.usize(2..=4)];
        for message in due {
            let index = self.rng.usize(..shares.len());
            shares[index].push(message);
        }
        let mut work = Vec::new();
        for share in shares.into_iter().filter(|share| !share.is_empty()) {
            let wire = FaultInjector::default();
            wire.arm(self.fault());
            let handler = ProjectorHandler::new(
                self.projection,
                self.program(projector_over(self.stack, &wire)),
            );
            work.push((handler, share));
        }
        if let (Some((_, share)), Some(frozen)) = (work.first(), self.frozen.last())
            && self.rng.u32(..3) == 0
        {
            work.push((frozen.clone(), share.clone()));
        }
        let done = join_all(work.iter().map(|(handler, share)| async move {
            let mut failed = Vec::new();
            for event in share.chunks(10) {
                failed.extend(deliver(handler, event).await);
            }
            share.iter().filter(|message| failed.contains(&message.id)).cloned().collect::<Vec<_>>()
        }));
        for message in done.await.concat() {
            if self.rng.u32(..12) != 0 {
                let again = Message { receives: message.receives + 1, ..message };
                self.waiting.push((now + self.rng.usize(1..4), again));
            }
        }
    }

    /// Two workers at once, on any tasks, even the same.
    async fn work(&mut self) {
        let mut work = Vec::new();
        for _ in 0..2 {
            let Some(call) = self.calls.any(&mut self.rng) else { break };
            let wire = FaultInjector::default();
            let fault = self.fault();
            wire.arm(fault);
            if self.rng.u32(..6) == 0 {
                self.calls.again(call.clone());
            }
            work.push((self.program(projector_over(self.stack, &wire)), call));
        }
        let projection = &self.projection;
        let done =
            join_all(work.iter().map(|(worker, call)| work_on(worker, projection, call))).await;
        for (done, (_, call)) in done.into_iter().zip(work) {
            match done {
                // Some new tasks are lost.
                Ok(next) if self.rng.u32(..8) != 0 => self.calls.send(next),
                Ok(_) => {}
                Err(_) => {
                    self.deaths += 1;
                    self.calls.again(call);
                }
            }
        }
    }

    /// The operators' steps, at their time.
    async fn operate(&mut self, now: usize) {
        let (operator, projection) = (self.operator(), self.projection);
        match now {
            20 => self.freeze(),
            REBUILT_AT => {
                self.calls.send(operator.rebuild(&projection, 8).await.unwrap());
                self.stage = Stage::Building;
            }
            PAUSED_AT => drop(operator.pause_job(&projection).await),
            RESUMED_AT => {
                self.calls.send(operator.resume_job(&projection).await.unwrap_or_default())
            }
            FIXED_AT => {
                self.fixed = true;
                let resumed = self.operator().resume_all(&projection).await.unwrap();
                assert!(resumed.iter().all(|resumed| resumed.still.is_none()), "{resumed:?}");
            }
            148 => self.freeze(),
            _ => {}
        }
        let status = operator.status(&projection).await.unwrap();
        if now % 10 == 8
            && self.calls.is_empty()
            && status.job.as_ref().is_some_and(|job| !job.paused)
        {
            self.calls.send(operator.resume_job(&projection).await.unwrap_or_default());
        }
        let Some(other) = status.other else { return };
        let built = matches!(other.state, GenerationState::Complete | GenerationState::Incomplete);
        let taken = match self.stage {
            Stage::Building if built && now >= SWITCHED_FROM => {
                Some((operator.switch(&projection, true).await, Stage::Switched))
            }
            Stage::Switched if now >= ROLLED_BACK_FROM => {
                Some((operator.rollback(&projection).await, Stage::RolledBack))
            }
            Stage::RolledBack if now >= SWITCHED_AGAIN_FROM => {
                Some((operator.switch(&projection, true).await, Stage::SwitchedAgain))
            }
            Stage::One
            | Stage::Building
            | Stage::Switched
            | Stage::RolledBack
            | Stage::SwitchedAgain => None,
        };
        if let Some((taken, stage)) = taken {
            self.calls.send(taken.unwrap());
            self.stage = stage;
        }
    }

    /// Delivers all waiting messages without a fault, and ends the job.
    async fn end(&mut self) {
        let (operator, projection) = (self.operator(), self.projection);
        let handler = ProjectorHandler::new(projection, operator.clone());
        let mut left: Vec<Message> =
            std::mem::take(&mut self.waiting).into_iter().map(|(_, message)| message).collect();
        for _ in 0..20 {
            let mut failed = Vec::new();
            for event in left.chunks(10) {
                failed.extend(deliver(&handler, event).await);
            }
            left.retain(|message| failed.contains(&message.id));
        }
        assert!(left.is_empty(), "{left:?}");
        if operator.status(&projection).await.unwrap().job.is_some() {
            let wakes = operator.resume_job(&projection).await.unwrap();
            finish(&operator, &projection, wakes).await;
        }
        let resumed = operator.resume_all(&projection).await.unwrap();
        assert!(resumed.iter().all(|resumed| resumed.still.is_none()), "{resumed:?}");
        assert!(reconcile(&operator, &projection).await.complete);
    }
}

async fn work_on(
    worker: &Projector,
    projection: &Projection,
    call: &projections::rebuild::SegmentTask,
) -> Result<Vec<projections::rebuild::SegmentTask>, projections::rebuild::RebuildError> {
    work(worker, projection, call, ONE_PAGE).await
}

async fn ends_in_the_pure_fold(projection: Projection) {
    let seed = seed();
    eprintln!("LEDGERFOLD_TEST_SEED={seed}");
    let stack = TestStack::start().await;
    let mut line = Line::new(&stack, projection, Rng::with_seed(seed));
    // The steps at which something is done are even.
    for now in (0..STEPS).step_by(full_or(1, 2)) {
        line.step(now).await;
        line.operate(now).await;
    }
    line.end().await;
    assert_eq!(line.stage, Stage::SwitchedAgain, "every step was taken");
    assert!(line.deaths > 0, "no worker died");
    let status = projector(&stack).status(&projection).await.unwrap();
    assert_eq!((status.active, status.other.map(|other| other.number)), (2, Some(1)));
    for number in [1, 2] {
        assert_exact(&stack, &projection, number).await;
        assert!(parked(&projector(&stack), &projection, number).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_end_in_the_pure_fold_after_a_long_random_history() {
    ends_in_the_pure_fold(orders()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_ends_in_the_pure_fold_after_a_long_random_history() {
    ends_in_the_pure_fold(stock()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bestsellers_end_in_the_pure_fold_after_a_long_random_history() {
    ends_in_the_pure_fold(bestsellers()).await;
}
