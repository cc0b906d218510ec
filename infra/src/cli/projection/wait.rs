//! Waits for the end of a job and shows its progress. In a data folder without a `dev`, it also
//! works on the job.

use super::{OperatedSystem, job_text, worker};
use crate::cli::exit::Failure;
use crate::cli::output;
use handlers::View;
use projections::Projection;
use projections::rebuild::{DEFAULT_SEGMENTS, JobStatus, Report};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often the status is read.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// A note is printed after this time without progress.
const STALL_TIMEOUT: Duration = Duration::from_secs(20);

/// How a job ended.
pub(super) struct JobEnd {
    /// The status of the projection.
    pub(super) view: View,
    pub(super) outcome: JobOutcome,
}

/// The outcome of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobOutcome {
    /// It has a report.
    Ended,
    /// It was paused.
    Paused,
    /// It was cancelled, or another job has replaced it.
    Gone,
}

impl JobEnd {
    /// The job's report, if it has ended.
    pub(super) fn report(&self) -> Option<&Report> {
        self.view.status.report.as_ref().filter(|_| self.outcome == JobOutcome::Ended)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.report().is_some_and(|report| report.complete)
    }
}

/// Waits until the job has ended, or Ctrl-C. In a data folder, works on it meanwhile.
pub(super) async fn until_ended(
    system: &OperatedSystem,
    projection: &Projection,
    job: u64,
) -> Result<JobEnd, Failure> {
    let workers =
        if system.is_folder { Some(Workers::start(system, projection).await?) } else { None };
    let end = tokio::select! {
        end = poll(system, projection, job) => end,
        () = system.stopped.cancelled() => Err(stopped_waiting(system, projection)),
    };
    output::progress("");
    if let Some(workers) = workers {
        workers.stop().await;
    }
    end
}

fn stopped_waiting(system: &OperatedSystem, projection: &Projection) -> Failure {
    let name = projection.name;
    if system.is_folder {
        let how = format!(
            "`ledgerfold projection resume {name} --wait` or `ledgerfold dev` continues it"
        );
        return Failure::new("stopped: the job is interrupted", how);
    }
    let how = format!("`ledgerfold projection status {name}` shows its progress");
    Failure::new("stopped waiting: the job continues", how)
}

async fn poll(
    system: &OperatedSystem,
    projection: &Projection,
    number: u64,
) -> Result<JobEnd, Failure> {
    let mut stall = StallDetector { since: Instant::now(), last: None, noted: system.is_folder };
    loop {
        let view = system
            .operations
            .view(projection)
            .await
            .map_err(|error| Failure::from_error(&error))?;
        let Some(job) = view.status.job.as_ref().filter(|job| job.number == number) else {
            let ended = view.status.report.as_ref().is_some_and(|report| report.job == number);
            return Ok(JobEnd {
                view,
                outcome: if ended { JobOutcome::Ended } else { JobOutcome::Gone },
            });
        };
        if job.paused {
            return Ok(JobEnd { view, outcome: JobOutcome::Paused });
        }
        output::progress(&job_text::progress(&view.status, job));
        stall.check(job);
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Detects that a job makes no progress.
struct StallDetector {
    since: Instant,
    last: Option<(u32, u32, u64)>,
    noted: bool,
}

impl StallDetector {
    /// Prints one note after a while without progress.
    fn check(&mut self, job: &JobStatus) {
        let progress = Some((job.pass, job.segments_done, job.tally.batches + job.tally.removed));
        if progress != self.last {
            (self.last, self.since) = (progress, Instant::now());
        } else if !self.noted && self.since.elapsed() >= STALL_TIMEOUT {
            output::note(
                "the job makes no progress: is a `ledgerfold dev` running, or the function that works on jobs?",
            );
            self.noted = true;
        }
    }
}

/// Workers in this process, one per segment.
struct Workers {
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Workers {
    async fn start(system: &OperatedSystem, projection: &Projection) -> Result<Self, Failure> {
        let name = system.names.rebuild_queue();
        let answer = system.clients.sqs.get_queue_url().queue_name(&name).send().await;
        let answer =
            answer.map_err(|error| Failure::new(format!("queue {name} cannot be found"), error))?;
        let view = system
            .operations
            .view(projection)
            .await
            .map_err(|error| Failure::from_error(&error))?;
        let segments = view.status.job.map_or(DEFAULT_SEGMENTS, |job| job.segments);
        let mut mapping = worker::mapping(
            &answer.queue_url.unwrap_or_default(),
            usize::try_from(segments).unwrap_or(1),
        );
        // No long polls, because a stop waits for the current poll.
        mapping.poll = Duration::ZERO;
        let stop = CancellationToken::new();
        let work = worker::run(
            mapping,
            system.operations.clone(),
            system.clients.sqs.clone(),
            stop.clone(),
        );
        Ok(Self { stop, running: tokio::spawn(work) })
    }

    /// Stops the workers after their current slices.
    async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.running.await {
            tracing::error!(%error, "the workers panicked");
        }
    }
}
