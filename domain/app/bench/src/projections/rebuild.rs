//! A rebuild: workers take slices from a queue until the rebuild is verified.

use super::meter::{Reading, on_threads};
use crate::failing;
use ledgerfold::cli::Failure;
use projections::rebuild::{DEFAULT_SEGMENTS, RebuildError, SegmentTask};
use projections::{Projection, Projector};
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The time of one slice, as on AWS.
const SLICE: Duration = Duration::from_secs(5);

/// The readings at the end of each phase of a rebuild.
#[derive(Debug, Clone)]
pub(super) struct Phases {
    pub(super) backfilled: Reading,
    pub(super) verified: Reading,
}

/// Stands for the queue of jobs: it delivers each call once, and a segment to one worker at a time.
#[derive(Default)]
struct JobQueue {
    state: Mutex<QueueState>,
    changed: Notify,
}

#[derive(Default)]
struct QueueState {
    waiting: VecDeque<SegmentTask>,
    seen: HashSet<String>,
    busy: HashSet<String>,
    backfilled: Option<Reading>,
    verified: Option<Reading>,
}

/// What a worker does next.
enum Next {
    Call(SegmentTask),
    /// Every waiting call is of a segment that another worker has.
    Wait,
    Finish,
}

/// Rebuilds the projection. Each worker has its own projector.
pub(super) async fn rebuild(
    projection: Projection,
    workers: usize,
    projector: impl Fn() -> Projector + Clone + Send + 'static,
    read: impl Fn() -> Reading + Clone + Send + 'static,
    stop: &CancellationToken,
) -> Result<Option<Phases>, Failure> {
    let queue = Arc::new(JobQueue::default());
    queue.add(failing(projector().rebuild(&projection, DEFAULT_SEGMENTS).await)?);
    let shared = queue.clone();
    on_threads(workers, stop, move || {
        let (queue, projector, read) = (shared.clone(), projector(), read.clone());
        async move { failing(work(&projection, &projector, &queue, &read).await) }
    })
    .await?;
    let mut state = queue.state();
    let phases = state.backfilled.take().zip(state.verified.take());
    Ok(phases.map(|(backfilled, verified)| Phases { backfilled, verified }))
}

async fn work(
    projection: &Projection,
    projector: &Projector,
    queue: &JobQueue,
    read: &impl Fn() -> Reading,
) -> Result<(), RebuildError> {
    loop {
        let changed = queue.changed.notified();
        match queue.next() {
            Next::Call(wake) => {
                let next = projector
                    .work(projection, &wake, SLICE, |_| std::future::ready(Ok(())))
                    .await?;
                queue.done(&wake, next, read);
            }
            Next::Wait => changed.await,
            Next::Finish => return Ok(()),
        }
    }
}

impl JobQueue {
    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, calls: Vec<SegmentTask>) {
        let mut state = self.state();
        for call in calls {
            if state.seen.insert(call.deduplication_id()) {
                state.waiting.push_back(call);
            }
        }
    }

    fn next(&self) -> Next {
        let mut state = self.state();
        let free = state.waiting.iter().position(|call| !state.busy.contains(&call.group()));
        match free.and_then(|at| state.waiting.remove(at)) {
            Some(call) => {
                state.busy.insert(call.group());
                Next::Call(call)
            }
            None if state.busy.is_empty() => Next::Finish,
            None => Next::Wait,
        }
    }

    fn done(&self, call: &SegmentTask, next: Vec<SegmentTask>, read: &impl Fn() -> Reading) {
        let verifies = next.iter().any(|next| next.pass > 0);
        self.add(next);
        let mut state = self.state();
        if verifies && state.backfilled.is_none() {
            state.backfilled = Some(read());
        }
        state.busy.remove(&call.group());
        if state.waiting.is_empty() && state.busy.is_empty() {
            state.verified = Some(read());
        }
        drop(state);
        self.changed.notify_waiters();
    }
}
