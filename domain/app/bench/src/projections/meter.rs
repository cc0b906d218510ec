//! Runs projectors on their own threads, and reads what they and the engine have used.

use super::traffic::{Traffic, TrafficCounter};
use crate::thread_cpu::{self, PROJECTOR, ThreadRole};
use ledgerfold::cli::Failure;
use std::collections::HashMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Runs the work on each of the threads until all are done or one has failed. As in a function on
/// AWS, each thread has its own runtime.
pub(super) async fn on_threads<F>(
    count: usize,
    stop: &CancellationToken,
    work: impl Fn() -> F + Clone + Send + 'static,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let stop = stop.child_token();
    let mut results = Vec::new();
    for _ in 0..count {
        let (sender, result) = oneshot::channel();
        let (work, stop) = (work.clone(), stop.clone());
        let thread = thread::Builder::new().name(PROJECTOR.to_owned()).spawn(move || {
            // After Ctrl-C the receiver is gone.
            let _ = sender.send(one_thread(&stop, work));
        });
        thread.map_err(|error| Failure::new("a thread cannot start", error))?;
        results.push(result);
    }
    let mut first = Ok(());
    for result in results {
        let result =
            result.await.map_err(|error| Failure::new("a thread panicked", error)).flatten();
        first = first.and(result);
    }
    first
}

/// Runs the work of one thread. If it fails, the other threads stop.
fn one_thread<F>(stop: &CancellationToken, work: impl FnOnce() -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new("the runtime cannot start", error))?;
    match runtime.block_on(stop.run_until_cancelled(work())) {
        Some(Ok(())) => Ok(()),
        Some(Err(failure)) => {
            stop.cancel();
            Err(failure)
        }
        // Another thread failed, or Ctrl-C: the failure is reported there.
        None => Ok(()),
    }
}

/// What was used up to a moment.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    at: Instant,
    traffic: Traffic,
    /// CPU time by thread id.
    threads: HashMap<String, (ThreadRole, Duration)>,
    peak_bytes: Option<u64>,
}

/// What was used between two readings.
#[derive(Debug, Clone)]
pub(super) struct Spent {
    pub(super) elapsed: Duration,
    pub(super) traffic: Traffic,
    /// CPU time of the engine's threads; none where it is not known.
    pub(super) engine_cpu: Option<Duration>,
    /// CPU time of the projectors' threads.
    pub(super) projector_cpu: Option<Duration>,
    /// Peak memory of the whole process since [`reset_peak`].
    pub(super) peak_bytes: Option<u64>,
}

impl Reading {
    pub(super) fn now(counter: &TrafficCounter) -> Self {
        let threads = thread_cpu::threads().unwrap_or_default();
        Self {
            at: Instant::now(),
            traffic: counter.traffic(),
            threads: threads
                .into_iter()
                .map(|thread| (thread.id, (thread.role, thread.cpu)))
                .collect(),
            peak_bytes: peak_bytes(),
        }
    }

    pub(super) fn since(&self, before: &Self) -> Spent {
        Spent {
            elapsed: self.at - before.at,
            traffic: self.traffic.since(&before.traffic),
            engine_cpu: self.cpu_since(before, ThreadRole::Engine),
            projector_cpu: self.cpu_since(before, ThreadRole::Projector),
            peak_bytes: self.peak_bytes,
        }
    }

    fn cpu_since(&self, before: &Self, role: ThreadRole) -> Option<Duration> {
        let threads = self.threads.iter().filter(|(_, (of, _))| *of == role);
        let earlier = |thread| before.threads.get(thread).map_or(Duration::ZERO, |(_, cpu)| *cpu);
        let cpu: Duration =
            threads.map(|(thread, (_, cpu))| cpu.saturating_sub(earlier(thread))).sum();
        Some(cpu).filter(|cpu| !cpu.is_zero())
    }
}

/// Resets the peak of memory.
pub(super) fn reset_peak() {
    // Where this fails, the peak is that of the whole run: too high, never too low.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
