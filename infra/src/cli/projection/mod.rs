//! `ledgerfold projection`.

mod args;
mod job_text;
mod print;
mod wait;
pub(super) mod worker;

use super::failure::{Exit, Failure};
use super::target::Target;
use super::{app, dev, output};
use crate::clients::Clients;
pub(super) use args::Command;
use args::{Cut, Drop, Parked, Resume, Switch};
use eventstore::StreamId;
use handlers::{Names, OperateError, Operations, Redriven, Resumption, View};
use projections::Projection;
use projections::rebuild::RebuildError;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use wait::Ending;

/// The system that is operated, and how it is told of.
struct System {
    operations: Operations,
    clients: Clients,
    names: Names,
    /// Whether it is a folder that nobody else has open: nobody works on its jobs then but this program.
    is_folder: bool,
    json: bool,
    /// Ctrl-C. It is listened for from the beginning, so that nobody who sees the job can come too early.
    stopped: CancellationToken,
}

impl Command {
    pub(super) async fn run(self) -> Result<Exit, Failure> {
        let common = self.common();
        let stopped = if self.waits() { stopped()? } else { CancellationToken::new() };
        let target = Target::open(common).await?;
        let projector = target.clients.system(app(), &target.names).projector();
        let system = System {
            operations: target.clients.system(app(), &target.names).operations(projector),
            clients: target.clients.clone(),
            names: target.names.clone(),
            is_folder: common.data.is_some(),
            json: common.json,
            stopped,
        };
        let ended = match self.act(&system).await {
            Err(Stopped::Operate(error, projection)) => refused(error, projection),
            Err(Stopped::Failure(failure)) => Err(failure),
            Ok(exit) => Ok(exit),
        };
        let ended = match ended {
            Err(failure) => Err(target.explain(failure).await),
            Ok(exit) => Ok(exit),
        };
        target.close().await;
        ended
    }

    async fn act(&self, system: &System) -> Result<Exit, Stopped> {
        let operations = &system.operations;
        match self {
            Self::List(_) => system.list().await,
            Self::Status(named) => system.status(&named.projection).await,
            Self::Rebuild(Cut { named, segments, wait }) => {
                let job = operations.rebuild(&named.projection, *segments).await;
                system.follow(&named.projection, job, *wait).await
            }
            Self::Reconcile(Cut { named, segments, wait }) => {
                let job = operations.reconcile(&named.projection, *segments).await;
                system.follow(&named.projection, job, *wait).await
            }
            Self::Pause(named) => {
                operations.pause(&named.projection).await.map_err(of(&named.projection))?;
                system.show(&operations.view_behind_step(&named.projection).await.map_err(of(&named.projection))?)
            }
            Self::Resume(resume) => system.resume(resume).await,
            Self::Cancel(step) => {
                let job = operations.cancel(&step.named.projection).await;
                system.follow(&step.named.projection, job, step.wait).await
            }
            Self::Switch(Switch { step, accept_incomplete }) => {
                let job = operations.switch(&step.named.projection, *accept_incomplete).await;
                system.follow(&step.named.projection, job, step.wait).await
            }
            Self::Rollback(step) => {
                let job = operations.rollback(&step.named.projection).await;
                system.follow(&step.named.projection, job, step.wait).await
            }
            Self::Drop(Drop { step, generation }) => {
                let job = operations.drop_generation(&step.named.projection, *generation).await;
                system.follow(&step.named.projection, job, step.wait).await
            }
            Self::Redrive(named) => system.redrive(&named.projection).await,
            Self::Parked(parked) => system.parked(parked).await,
        }
    }
}

/// Cancelled by Ctrl-C, or the system's request to end.
fn stopped() -> Result<CancellationToken, Failure> {
    let (ended, stopped) = (dev::ended()?, CancellationToken::new());
    let told = stopped.clone();
    tokio::spawn(async move {
        ended.await;
        told.cancel();
    });
    Ok(stopped)
}

/// Why a command came to no answer.
enum Stopped {
    /// The operation on that projection.
    Operate(OperateError, &'static str),
    /// Everything else.
    Failure(Failure),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Says whose error it is.
fn of(projection: &Projection) -> impl Fn(OperateError) -> Stopped {
    let name = projection.name;
    move |error| Stopped::Operate(error, name)
}

/// A refusal is a negative answer; everything else is a failure.
fn refused(error: OperateError, projection: &str) -> Result<Exit, Failure> {
    if error.is_refusal() {
        output::note(&format!("ledgerfold: {error}"));
        return Ok(Exit::Negative);
    }
    if let OperateError::Rebuild(error @ RebuildError::Queue(_)) = error {
        let what = format!("nobody was told of the job; `ledgerfold projection resume {projection}` tells again");
        return Err(Failure::new(what, error));
    }
    Err(Failure::from_error(&error))
}

impl System {
    async fn list(&self) -> Result<Exit, Stopped> {
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

    async fn status(&self, projection: &Projection) -> Result<Exit, Stopped> {
        self.show(&self.operations.view(projection).await.map_err(of(projection))?)
    }

    fn show(&self, view: &View) -> Result<Exit, Stopped> {
        if self.json {
            output::json(view)?
        } else {
            print::status(view)?
        }
        Ok(Exit::Done)
    }

    /// Tells of a job that was begun; to its end, if that is wanted.
    async fn follow(
        &self,
        projection: &Projection,
        job: Result<Option<u64>, OperateError>,
        wait: bool,
    ) -> Result<Exit, Stopped> {
        let job = job.map_err(of(projection))?;
        if let Some(job) = job.filter(|_| wait) {
            let ending = wait::until_ended(self, projection, job).await?;
            if self.json {
                output::json(&ending.view)?
            } else {
                print::ending(&ending)?
            }
            return Ok(output::answer(ending.is_complete()));
        }
        let view = self.operations.view_behind_step(projection).await.map_err(of(projection))?;
        if self.json {
            output::json(&view)?
        } else {
            print::begun(&view, job, self.is_folder)?
        }
        Ok(Exit::Done)
    }

    async fn resume(&self, resume: &Resume) -> Result<Exit, Stopped> {
        let projection = &resume.step.named.projection;
        let resumption = self.resume_all(projection, resume.stream.as_ref()).await?;
        if !self.json {
            print::resumed(&resumption, projection.name, self.is_folder && !resume.step.wait)?;
        }
        let ending = match resumption.job.filter(|_| resume.step.wait) {
            Some(job) => Some(wait::until_ended(self, projection, job).await?),
            None => None,
        };
        if self.json {
            output::json(&json!({
                "job": resumption.job,
                "streams": resumption.streams,
                "projection": ending.as_ref().map(|ending| &ending.view),
            }))?;
        } else if let Some(ending) = &ending {
            print::ending(ending)?;
        }
        Ok(output::answer(!resumption.is_stuck() && ending.as_ref().is_none_or(Ending::is_complete)))
    }

    async fn redrive(&self, projection: &Projection) -> Result<Exit, Stopped> {
        let redriven = self.redrive_all(projection).await?;
        if self.json {
            output::json(&redriven)?
        } else {
            print::redriven(&redriven)?
        }
        Ok(output::answer(redriven.stays.is_empty() && !redriven.more))
    }

    /// Calls until nothing is parked that was not looked at.
    async fn resume_all(&self, projection: &Projection, stream: Option<&StreamId>) -> Result<Resumption, Stopped> {
        let mut resumption = self.operations.resume(projection, stream, None).await.map_err(of(projection))?;
        while let Some(cursor) = resumption.next_cursor.take() {
            output::progress(&format!("{} streams looked at", resumption.streams.len()));
            resumption.add(self.operations.resume(projection, stream, Some(&cursor)).await.map_err(of(projection))?);
        }
        output::progress("");
        Ok(resumption)
    }

    /// Calls until the dead-letter queue is empty, or has only messages that stay.
    async fn redrive_all(&self, projection: &Projection) -> Result<Redriven, Stopped> {
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

    async fn parked(&self, parked: &Parked) -> Result<Exit, Stopped> {
        let (projection, cursor) = (&parked.named.projection, parked.cursor.as_ref());
        let page = self.operations.parked(projection, parked.limit, cursor).await.map_err(of(projection))?;
        if self.json {
            output::json(&page)?
        } else {
            print::parked(&page)?
        }
        Ok(Exit::Done)
    }
}
