//! Waiting for the end of a job: with progress where a person looks on, and with workers where nobody else works.

use super::{System, job_text, worker};
use crate::cli::failure::Failure;
use crate::cli::output;
use handlers::View;
use projections::Projection;
use projections::rebuild::{DEFAULT_SEGMENTS, JobStatus, Report};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(250);
/// After this long without any progress a person is told.
const PATIENCE: Duration = Duration::from_secs(20);

/// What there is to tell when the waiting is over.
pub(super) struct Ending {
    /// How the projection stands.
    pub(super) view: View,
    /// What became of the job.
    pub(super) outcome: Outcome,
}

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has ended, as the report says.
    Ended,
    /// Somebody lets it stand still.
    Paused,
    /// Somebody gave it up, or began another one behind it.
    Gone,
}

impl Ending {
    /// The job's report, if it has ended.
    pub(super) fn report(&self) -> Option<&Report> {
        self.view.status.report.as_ref().filter(|_| self.outcome == Outcome::Ended)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.report().is_some_and(|report| report.complete)
    }
}

/// Waits until the job has ended, or Ctrl-C. On a folder that nobody else has open, works on it meanwhile.
pub(super) async fn until_ended(system: &System, projection: &Projection, job: u64) -> Result<Ending, Failure> {
    let workers = if system.is_folder { Some(Workers::start(system, projection).await?) } else { None };
    let ending = tokio::select! {
        ending = look_on(system, projection, job) => ending,
        () = system.stopped.cancelled() => Err(stopped_waiting(system, projection)),
    };
    output::progress("");
    if let Some(workers) = workers {
        workers.stop().await;
    }
    ending
}

fn stopped_waiting(system: &System, projection: &Projection) -> Failure {
    let name = projection.name;
    if system.is_folder {
        let how = format!("`ledgerfold projection resume {name} --wait` goes on, and so does `ledgerfold dev`");
        return Failure::new("stopped: the job stays where it is", how);
    }
    let how = format!("`ledgerfold projection status {name}` tells how far it is");
    Failure::new("stopped waiting: the job goes on", how)
}

async fn look_on(system: &System, projection: &Projection, number: u64) -> Result<Ending, Failure> {
    let mut movement = Movement { at: Instant::now(), seen: None, told: system.is_folder };
    loop {
        let view = system.operations.view(projection).await.map_err(|error| Failure::from_error(&error))?;
        let Some(job) = view.status.job.as_ref().filter(|job| job.number == number) else {
            let ended = view.status.report.as_ref().is_some_and(|report| report.job == number);
            return Ok(Ending { view, outcome: if ended { Outcome::Ended } else { Outcome::Gone } });
        };
        if job.paused {
            return Ok(Ending { view, outcome: Outcome::Paused });
        }
        output::progress(&job_text::progress(&view.status, job));
        movement.note(job);
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether a job moves.
struct Movement {
    at: Instant,
    seen: Option<(u32, u32, u64)>,
    told: bool,
}

impl Movement {
    /// Tells once if nothing has moved for a while.
    fn note(&mut self, job: &JobStatus) {
        let seen = Some((job.pass, job.segments_done, job.tally.batches + job.tally.removed));
        if seen != self.seen {
            (self.seen, self.at) = (seen, Instant::now());
        } else if !self.told && self.at.elapsed() >= PATIENCE {
            output::note(
                "nothing has moved for a while: is there a `ledgerfold dev` or a function that works on jobs?",
            );
            self.told = true;
        }
    }
}

/// Workers in this process, as many as the job has segments.
struct Workers {
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Workers {
    async fn start(system: &System, projection: &Projection) -> Result<Self, Failure> {
        let name = system.names.rebuild_queue();
        let answer = system.clients.sqs.get_queue_url().queue_name(&name).send().await;
        let answer = answer.map_err(|error| Failure::new(format!("queue {name} cannot be found"), error))?;
        let view = system.operations.view(projection).await.map_err(|error| Failure::from_error(&error))?;
        let segments = view.status.job.map_or(DEFAULT_SEGMENTS, |job| job.segments);
        let mut mapping =
            worker::mapping(&answer.queue_url.unwrap_or_default(), usize::try_from(segments).unwrap_or(1));
        // A stop waits for a poll.
        mapping.poll = Duration::ZERO;
        let stop = CancellationToken::new();
        let work = worker::run(mapping, system.operations.clone(), system.clients.sqs.clone(), stop.clone());
        Ok(Self { stop, running: tokio::spawn(work) })
    }

    /// Lets the workers finish what they have in hand.
    async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.running.await {
            tracing::error!(%error, "the workers did not end as they should");
        }
    }
}
