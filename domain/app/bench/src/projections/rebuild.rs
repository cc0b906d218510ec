//! A rebuild: workers who take calls from a queue until the report is there.

use super::threads::{Reading, on_threads};
use crate::cli::failure::Failure;
use projections::rebuild::{DEFAULT_SEGMENTS, RebuildError, Wake};
use projections::{Projection, Projector};
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long a worker stays with a slice: what a function on AWS does too.
const SLICE: Duration = Duration::from_secs(5);

/// The readings of a rebuild.
#[derive(Debug, Clone)]
pub(super) struct Laps {
    /// When the backfill was done.
    pub(super) filled: Reading,
    /// When it was proven that nothing is missing.
    pub(super) proven: Reading,
}

/// What the queue of jobs does on AWS: a call comes once, and a segment is one worker's at a time.
#[derive(Default)]
struct Calls {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    open: VecDeque<Wake>,
    known: HashSet<String>,
    busy: HashSet<String>,
    filled: Option<Reading>,
    proven: Option<Reading>,
}

/// What there is to do for a worker.
enum Next {
    Call(Wake),
    /// Nothing, until another worker has done what it has in hand.
    Wait,
    Nothing,
}

/// Builds the projection anew with so many workers, each with a projector of its own.
pub(super) async fn rebuild(
    projection: Projection,
    workers: usize,
    projector: impl Fn() -> Projector + Clone + Send + 'static,
    read: impl Fn() -> Reading + Clone + Send + 'static,
    stop: &CancellationToken,
) -> Result<Option<Laps>, Failure> {
    let calls = Arc::new(Calls::default());
    let of_workers = calls.clone();
    calls.take_in(begin(projection, projector()).await?);
    on_threads(workers, stop, move || {
        let (calls, projector, read) = (of_workers.clone(), projector(), read.clone());
        async move { work(&projection, &projector, &calls, &read).await.map_err(|error| Failure::from_error(&error)) }
    })
    .await?;
    let mut state = calls.state();
    Ok(state.filled.take().zip(state.proven.take()).map(|(filled, proven)| Laps { filled, proven }))
}

async fn begin(projection: Projection, projector: Projector) -> Result<Vec<Wake>, Failure> {
    projector.rebuild(&projection, DEFAULT_SEGMENTS).await.map_err(|error| Failure::from_error(&error))
}

async fn work(
    projection: &Projection,
    projector: &Projector,
    calls: &Calls,
    read: &impl Fn() -> Reading,
) -> Result<(), RebuildError> {
    loop {
        let changed = calls.changed.notified();
        match calls.next() {
            Next::Call(wake) => {
                let then = projector.work(projection, &wake, SLICE, |_| std::future::ready(Ok(()))).await?;
                calls.done(&wake, then, read);
            }
            Next::Wait => changed.await,
            Next::Nothing => return Ok(()),
        }
    }
}

impl Calls {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_in(&self, calls: Vec<Wake>) {
        let mut state = self.state();
        for call in calls {
            if state.known.insert(call.deduplication_id()) {
                state.open.push_back(call);
            }
        }
    }

    fn next(&self) -> Next {
        let mut state = self.state();
        let free = state.open.iter().position(|call| !state.busy.contains(&call.group()));
        match free.and_then(|at| state.open.remove(at)) {
            Some(call) => {
                state.busy.insert(call.group());
                Next::Call(call)
            }
            None if state.busy.is_empty() => Next::Nothing,
            None => Next::Wait,
        }
    }

    fn done(&self, call: &Wake, then: Vec<Wake>, read: &impl Fn() -> Reading) {
        let goes_on = then.iter().any(|next| next.pass > 0);
        self.take_in(then);
        let mut state = self.state();
        if goes_on && state.filled.is_none() {
            state.filled = Some(read());
        }
        state.busy.remove(&call.group());
        if state.open.is_empty() && state.busy.is_empty() {
            state.proven = Some(read());
        }
        drop(state);
        self.changed.notify_waiters();
    }
}
