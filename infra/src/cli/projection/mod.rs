//! `ledgerfold projection`: shows and operates projections.
//!
//! | module | what it does |
//! |---|---|
//! | `args` | the arguments |
//! | `print` | the output for people |
//! | `job_text` | jobs and their reports as text |
//! | `wait` | waits for the end of a job |
//! | `worker` | works on jobs in this process |

mod args;
mod job_text;
mod print;
mod wait;
pub(super) mod worker;

use super::exit::{Exit, Failure, stop_signal};
use super::target::Target;
use super::{app, output};
use crate::clients::Clients;
pub(super) use args::Command;
use args::{Dead, Drop, Parked, Resume, Rollback, SegmentedStep, Switch};
use eventstore::StreamId;
use handlers::{Names, OperateError, Operations, Redriven, Resumption, View};
use projections::Projection;
use projections::rebuild::{Accepted, RebuildError};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use wait::JobEnd;

/// The system to operate, and how to print.
struct OperatedSystem {
    operations: Operations,
    clients: Clients,
    names: Names,
    /// Whether it is a data folder. If no `dev` has it open, only this program works on its jobs.
    is_folder: bool,
    json: bool,
    /// Cancelled by Ctrl-C, which is caught before the job begins.
    stopped: CancellationToken,
}

impl Command {
    pub(super) async fn run(self) -> Result<Exit, Failure> {
        let options = self.options();
        let stopped = if self.waits() { stopped()? } else { CancellationToken::new() };
        let target = Target::open(options).await?;
        let projector = target.clients.system(app(), &target.names).projector();
        let system = OperatedSystem {
            operations: target.clients.system(app(), &target.names).operations(projector),
            clients: target.clients.clone(),
            names: target.names.clone(),
            is_folder: options.data.is_some(),
            json: options.json,
            stopped,
        };
        let result = match self.act(&system).await {
            Err(CommandError::Operate(error, projection)) => refused(error, projection),
            Err(CommandError::Failure(failure)) => Err(failure),
            Ok(exit) => Ok(exit),
        };
        let result = match result {
            Err(failure) => Err(target.explain(failure).await),
            Ok(exit) => Ok(exit),
        };
        target.close().await;
        result
    }

    async fn act(&self, system: &OperatedSystem) -> Result<Exit, CommandError> {
        let operations = &system.operations;
        match self {
            Self::List(_) => system.list().await,
            Self::Status(named) => system.status(&named.projection).await,
            Self::Rebuild(SegmentedStep { named, segments, wait }) => {
                let job = operations.rebuild(&named.projection, *segments).await;
                system.follow(&named.projection, job, *wait).await
            }
            Self::Reconcile(SegmentedStep { named, segments, wait }) => {
                let job = operations.reconcile(&named.projection, *segments).await;
                system.follow(&named.projection, job, *wait).await
            }
            Self::Pause(named) => {
                operations.pause(&named.projection).await.map_err(of(&named.projection))?;
                system.show(
                    &operations
                        .view_behind_step(&named.projection)
                        .await
                        .map_err(of(&named.projection))?,
                )
            }
            Self::Resume(resume) => system.resume(resume).await,
            Self::Cancel(step) => {
                let job = operations.cancel(&step.named.projection).await;
                system.follow(&step.named.projection, job, step.wait).await
            }
            Self::Switch(Switch { step, accept_incomplete, accept_new_positions }) => {
                let accepted = Accepted {
                    incomplete: *accept_incomplete,
                    new_positions: *accept_new_positions,
                };
                let job = operations.switch(&step.named.projection, accepted).await;
                system.follow(&step.named.projection, job, step.wait).await
            }
            Self::Rollback(Rollback { step, accept_new_positions }) => {
                let accepted =
                    Accepted { new_positions: *accept_new_positions, ..Accepted::default() };
                let job = operations.rollback(&step.named.projection, accepted).await;
                system.follow(&step.named.projection, job, step.wait).await
            }
            Self::Drop(Drop { step, generation }) => {
                let job = operations.drop_generation(&step.named.projection, *generation).await;
                system.follow(&step.named.projection, job, step.wait).await
            }
            Self::Redrive(named) => system.redrive(&named.projection).await,
            Self::Parked(parked) => system.parked(parked).await,
            Self::Dead(dead) => system.dead(dead).await,
        }
    }
}

/// A token that a stop signal cancels.
fn stopped() -> Result<CancellationToken, Failure> {
    let (signal, stopped) = (stop_signal()?, CancellationToken::new());
    let cancelled = stopped.clone();
    tokio::spawn(async move {
        signal.await;
        cancelled.cancel();
    });
    Ok(stopped)
}

/// Why a command has no answer.
enum CommandError {
    /// An operation on the named projection failed or was refused.
    Operate(OperateError, &'static str),
    /// Another failure.
    Failure(Failure),
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Adds the name of the projection to an error.
fn of(projection: &Projection) -> impl Fn(OperateError) -> CommandError {
    let name = projection.name;
    move |error| CommandError::Operate(error, name)
}

/// A refused step is a negative answer, any other error a failure.
fn refused(error: OperateError, projection: &str) -> Result<Exit, Failure> {
    if error.is_refusal() {
        output::note(&format!("ledgerfold: {error}"));
        return Ok(Exit::Negative);
    }
    if let OperateError::Rebuild(error @ RebuildError::Queue(_)) = error {
        let what = format!(
            "no worker was notified of the job; run `ledgerfold projection resume {projection}`"
        );
        return Err(Failure::new(what, error));
    }
    Err(Failure::from_error(&error))
}

impl OperatedSystem {
    async fn list(&self) -> Result<Exit, CommandError> {
        let mut views = Vec::new();
        for projection in app().consumers() {
            views.push(self.operations.view(projection).await.map_err(of(projection))?);
        }
        if self.json {
            output::json(&json!({ "projections": views }))?;
        } else {
            print::list(&views)?;
        }
        Ok(Exit::Done)
    }

    async fn status(&self, projection: &Projection) -> Result<Exit, CommandError> {
        self.show(&self.operations.view(projection).await.map_err(of(projection))?)
    }

    fn show(&self, view: &View) -> Result<Exit, CommandError> {
        if self.json {
            output::json(view)?
        } else {
            print::status(view)?
        }
        Ok(Exit::Done)
    }

    /// Prints a job that was begun, or waits for its end.
    async fn follow(
        &self,
        projection: &Projection,
        job: Result<Option<u64>, OperateError>,
        wait: bool,
    ) -> Result<Exit, CommandError> {
        let job = job.map_err(of(projection))?;
        if let Some(job) = job.filter(|_| wait) {
            let end = wait::until_ended(self, projection, job).await?;
            if self.json {
                output::json(&end.view)?
            } else {
                print::job_end(&end)?
            }
            return Ok(output::yes_or_no(end.is_complete()));
        }
        let view = self.operations.view_behind_step(projection).await.map_err(of(projection))?;
        if self.json {
            output::json(&view)?
        } else {
            print::begun(&view, job, self.is_folder)?
        }
        Ok(Exit::Done)
    }

    async fn resume(&self, resume: &Resume) -> Result<Exit, CommandError> {
        let projection = &resume.step.named.projection;
        let resumption = self.resume_all(projection, resume.stream.as_ref()).await?;
        if !self.json {
            print::resumed(&resumption, projection.name, self.is_folder && !resume.step.wait)?;
        }
        let end = match resumption.job.filter(|_| resume.step.wait) {
            Some(job) => Some(wait::until_ended(self, projection, job).await?),
            None => None,
        };
        if self.json {
            output::json(&json!({
                "job": resumption.job,
                "streams": resumption.streams,
                "projection": end.as_ref().map(|end| &end.view),
            }))?;
        } else if let Some(end) = &end {
            print::job_end(end)?;
        }
        Ok(output::yes_or_no(
            !resumption.is_stuck() && end.as_ref().is_none_or(JobEnd::is_complete),
        ))
    }

    async fn redrive(&self, projection: &Projection) -> Result<Exit, CommandError> {
        let redriven = self.redrive_all(projection).await?;
        if self.json {
            output::json(&redriven)?
        } else {
            print::redriven(&redriven)?
        }
        Ok(output::yes_or_no(redriven.stays.is_empty() && !redriven.more))
    }

    /// Repeats the call until all parked streams were tried.
    async fn resume_all(
        &self,
        projection: &Projection,
        stream: Option<&StreamId>,
    ) -> Result<Resumption, CommandError> {
        let mut resumption =
            self.operations.resume(projection, stream, None).await.map_err(of(projection))?;
        while let Some(cursor) = resumption.next_cursor.take() {
            output::progress(&format!("{} streams tried", resumption.streams.len()));
            resumption.add(
                self.operations
                    .resume(projection, stream, Some(&cursor))
                    .await
                    .map_err(of(projection))?,
            );
        }
        output::progress("");
        Ok(resumption)
    }

    /// Repeats the call until the dead-letter queue is empty, or all its messages have to stay.
    async fn redrive_all(&self, projection: &Projection) -> Result<Redriven, CommandError> {
        let mut redriven = Redriven::default();
        loop {
            let part = self.operations.redrive(projection).await.map_err(of(projection))?;
            let goes_on = part.more && part.sent > 0;
            redriven.add(part);
            if !goes_on {
                break;
            }
            let (sent, left) = (job_text::grouped(redriven.sent), job_text::grouped(redriven.left));
            output::progress(&format!("{sent} messages sent again, {left} left"));
        }
        output::progress("");
        Ok(redriven)
    }

    async fn dead(&self, Dead { named, limit }: &Dead) -> Result<Exit, CommandError> {
        let projection = &named.projection;
        let sample =
            self.operations.dead_letters(projection, *limit).await.map_err(of(projection))?;
        if self.json {
            output::json(&sample)?
        } else {
            print::dead_letters(&sample, projection.name)?
        }
        Ok(Exit::Done)
    }

    async fn parked(&self, parked: &Parked) -> Result<Exit, CommandError> {
        let (projection, cursor) = (&parked.named.projection, parked.cursor.as_ref());
        let page = self
            .operations
            .parked(projection, parked.limit, cursor)
            .await
            .map_err(of(projection))?;
        if self.json {
            output::json(&page)?
        } else {
            print::parked(&page)?
        }
        Ok(Exit::Done)
    }
}
