//! Threads that project, and what they, the engine and the process as a whole have taken so far.

use super::wire::{Traffic, Wire};
use crate::cli::failure::Failure;
use crate::local::engines::dynamodb;
use std::collections::HashMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// The name of the threads that project: one as Lambda gives it to a function, with nothing else on it.
const PROJECTOR: &str = "projector";

/// Does the work on so many threads at once, each with a runtime of its own, until all are done or one has failed.
pub(super) async fn on_threads<F>(
    count: usize,
    stop: &CancellationToken,
    work: impl Fn() -> F + Clone + Send + 'static,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let stop = stop.child_token();
    let mut ends = Vec::new();
    for _ in 0..count {
        let (tell, told) = oneshot::channel();
        let (work, stop) = (work.clone(), stop.clone());
        let thread = thread::Builder::new().name(PROJECTOR.to_owned()).spawn(move || {
            // Nobody waits any more after Ctrl-C.
            let _ = tell.send(one_thread(&stop, work));
        });
        thread.map_err(|error| Failure::new("no thread can be started", error))?;
        ends.push(told);
    }
    let mut first = Ok(());
    for end in ends {
        let end = end.await.map_err(|error| Failure::new("a thread died", error)).flatten();
        first = first.and(end);
    }
    first
}

/// A thread's work. If it fails the others stop too.
fn one_thread<F>(stop: &CancellationToken, work: impl FnOnce() -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new("no runtime can be started", error))?;
    match runtime.block_on(stop.run_until_cancelled(work())) {
        Some(Ok(())) => Ok(()),
        Some(Err(failure)) => {
            stop.cancel();
            Err(failure)
        }
        // Whoever stopped it says why.
        None => Ok(()),
    }
}

/// What has been taken until a moment.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    at: Instant,
    traffic: Traffic,
    /// By thread: whose it is, and what it has computed.
    threads: HashMap<String, (Owner, Duration)>,
    peak_bytes: Option<u64>,
}

/// Whose thread it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Engine,
    Projector,
    /// Ours too, but it only waits.
    Rest,
}

/// What was taken between two readings.
#[derive(Debug, Clone)]
pub(super) struct Spent {
    pub(super) elapsed: Duration,
    pub(super) traffic: Traffic,
    /// What the engine's threads have computed; none where the system does not tell.
    pub(super) engine_cpu: Option<Duration>,
    /// The same of the threads that project.
    pub(super) projector_cpu: Option<Duration>,
    /// The most memory that the whole process had, engine included, since [`forget_peak`].
    pub(super) peak_bytes: Option<u64>,
}

impl Reading {
    pub(super) fn now(wire: &Wire) -> Self {
        Self {
            at: Instant::now(),
            traffic: wire.traffic(),
            threads: threads().unwrap_or_default(),
            peak_bytes: peak_bytes(),
        }
    }

    pub(super) fn since(&self, before: &Self) -> Spent {
        Spent {
            elapsed: self.at - before.at,
            traffic: self.traffic.since(&before.traffic),
            engine_cpu: self.cpu_since(before, Owner::Engine),
            projector_cpu: self.cpu_since(before, Owner::Projector),
            peak_bytes: self.peak_bytes,
        }
    }

    fn cpu_since(&self, before: &Self, owner: Owner) -> Option<Duration> {
        let ours = self.threads.iter().filter(|(_, (of, _))| *of == owner);
        let earlier = |thread| before.threads.get(thread).map_or(Duration::ZERO, |(_, cpu)| *cpu);
        let cpu: Duration = ours.map(|(thread, (_, cpu))| cpu.saturating_sub(earlier(thread))).sum();
        Some(cpu).filter(|cpu| !cpu.is_zero())
    }
}

/// Each thread of this process with what it has computed; nothing where the system does not tell (it does on Linux).
fn threads() -> Option<HashMap<String, (Owner, Duration)>> {
    let mut threads = HashMap::new();
    for thread in fs::read_dir("/proc/self/task").ok()? {
        let thread = thread.ok()?;
        // A thread may end while the others are read.
        let Ok(name) = fs::read_to_string(thread.path().join("comm")) else { continue };
        let Ok(spent) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
        let owner = match name.trim() {
            PROJECTOR => Owner::Projector,
            name if name.starts_with(dynamodb::THREADS) => Owner::Engine,
            _ => Owner::Rest,
        };
        let nanos = spent.split_whitespace().next()?.parse().ok()?;
        threads.insert(thread.file_name().to_string_lossy().into_owned(), (owner, Duration::from_nanos(nanos)));
    }
    Some(threads)
}

/// Lets the process's peak of memory begin anew, where the system can.
pub(super) fn forget_peak() {
    // Where it cannot, the peak is that of the whole run: more than it should be, never less.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
