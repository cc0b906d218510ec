//! The CPU time of this process's threads.

use ledgerfold::local::engines::dynamodb;
use std::fs;
use std::time::Duration;

/// The name of the threads that project events.
pub(crate) const PROJECTOR: &str = "projector";

/// A thread and the CPU time that it has used.
#[derive(Debug, Clone)]
pub(crate) struct ThreadCpu {
    pub(crate) id: String,
    pub(crate) role: ThreadRole,
    pub(crate) cpu: Duration,
}

/// What a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ThreadRole {
    Engine,
    Projector,
    Other,
}

/// All threads; none where the operating system does not report them. Linux does.
pub(crate) fn threads() -> Option<Vec<ThreadCpu>> {
    let mut threads = Vec::new();
    for thread in fs::read_dir("/proc/self/task").ok()? {
        let thread = thread.ok()?;
        // A thread may end while the others are read.
        let Ok(name) = fs::read_to_string(thread.path().join("comm")) else { continue };
        let Ok(schedstat) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
        let role = match name.trim() {
            PROJECTOR => ThreadRole::Projector,
            name if name.starts_with(dynamodb::THREADS) => ThreadRole::Engine,
            _ => ThreadRole::Other,
        };
        let nanos = schedstat.split_whitespace().next()?.parse().ok()?;
        let id = thread.file_name().to_string_lossy().into_owned();
        threads.push(ThreadCpu { id, role, cpu: Duration::from_nanos(nanos) });
    }
    Some(threads)
}
