//! What an operator can do with a projection: each step of the engine, and the messages that follow
//! it.
//!
//! A step is written before its messages are sent. A crash in between leaves a job without a
//! worker; [`Operations::resume`] sends its messages again.

pub(crate) mod dead_letters;
pub(crate) mod redrive;
pub(crate) mod resume;

use crate::app::App;
use crate::aws::names::Names;
use crate::delivery::notification::NotificationMessage;
use crate::delivery::queue::{Outgoing, Queue, QueueError};
use crate::delivery::rebuild::{Jobs, not_sent};
use crate::operations::dead_letters::DeadLetters;
use crate::operations::redrive::{Redrive, Redriven};
use aws_sdk_sqs::Client;
use chrono::{DateTime, Utc};
use eventstore::{EventStore, ReadError, StreamId};
use projections::rebuild::{Accepted, RebuildError, SegmentTask, Status, StatusError};
use projections::{ProjectError, Projection, Projector, TableError};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// How long one call of `resume` or `redrive` works: it must be answered within the 28 seconds of a
/// function.
const STEP_TIME: Duration = Duration::from_secs(20);

/// The steps of an operator on one system.
#[derive(Clone)]
pub struct Operations {
    app: App,
    pub(crate) store: EventStore,
    pub(crate) projector: Projector,
    sqs: Client,
    names: Names,
    /// The time limit of one call of an unbounded step.
    pub(crate) step_time: Duration,
    /// Known queues by name: their addresses do not change.
    found: Arc<Mutex<HashMap<String, Queue>>>,
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// A step was refused, or failed.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// The status could not be read.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// A stream could not be caught up.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// A redrive or another look has received dead letters.
    #[error(
        "dead letters are in flight: a redrive or another look has them; try again in a minute"
    )]
    DeadLettersInFlight,
    /// A queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The read-model table failed.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The event table failed, or a stream is corrupt.
    #[error(transparent)]
    Events(#[from] ReadError),
}

impl OperateError {
    /// Whether the step is refused in the current state; false if something failed.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Rebuild(error) => error.is_refusal(),
            Self::DeadLettersInFlight => true,
            Self::Status(_)
            | Self::Project(_)
            | Self::Queue(_)
            | Self::Table(_)
            | Self::Events(_) => false,
        }
    }
}

/// The status and lag of a projection.
#[derive(Debug, Clone, Serialize)]
pub struct View {
    /// Its generations, its job, its parked streams.
    #[serde(flatten)]
    pub status: Status,
    /// Its lag; none if its queues could not be read after a step.
    pub lag: Option<Lag>,
}

/// The lag of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Lag {
    /// Messages in its queue, waiting or in flight, about: at least so many commits are not applied
    /// yet.
    pub messages: u64,
    /// Messages in its dead-letter queue, about.
    pub dead_letters: u64,
    /// The age of the newest applied event, by the heartbeat, in seconds; 0 if the queue is empty,
    /// none without a heartbeat. A heartbeat is written every five seconds at most.
    pub seconds: Option<u64>,
}

impl Operations {
    /// The steps on that system.
    pub fn new(
        app: App,
        store: EventStore,
        projector: Projector,
        sqs: Client,
        names: Names,
    ) -> Self {
        Self { app, store, projector, sqs, names, step_time: STEP_TIME, found: Arc::default() }
    }

    /// The same, but a call of [`resume`](Self::resume) or [`redrive`](Self::redrive) works for
    /// that long instead of 20 seconds. Each call handles at least one page of streams or messages.
    #[must_use]
    pub fn with_step_time(self, step_time: Duration) -> Self {
        Self { step_time, ..self }
    }

    /// The app whose projections are operated.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The status and lag of a projection.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn view(&self, projection: &Projection) -> Result<View, OperateError> {
        let status = self.status(projection).await?;
        Ok(View { status, lag: Some(self.lag(projection).await?) })
    }

    /// The same after a step. The step was taken even if the queues cannot be counted; then the lag
    /// is missing.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn view_behind_step(&self, projection: &Projection) -> Result<View, OperateError> {
        let status = self.status(projection).await?;
        let lag = self.lag(projection).await;
        if let Err(error) = &lag {
            let error: &dyn std::error::Error = error;
            tracing::warn!(error, projection = projection.name, "the lag could not be read");
        }
        Ok(View { status, lag: lag.ok() })
    }

    /// The status without the lag: reads no queue.
    pub(crate) async fn status(&self, projection: &Projection) -> Result<Status, OperateError> {
        Ok(self.projector.status(projection).await?)
    }

    pub(crate) async fn lag(&self, projection: &Projection) -> Result<Lag, OperateError> {
        let messages = self.queue(projection).await?.count().await?;
        let dead_letters = self.dead_letter_queue(projection).await?.count().await?;
        let seconds = match messages {
            0 => Some(0),
            _ => self
                .projector
                .heartbeat(projection)
                .newest()
                .await?
                .map(|newest| age_s(newest, SystemTime::now())),
        };
        Ok(Lag { messages, dead_letters, seconds })
    }

    /// Begins a new generation of a read model. Returns the job's number.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn rebuild(
        &self,
        projection: &Projection,
        segments: u32,
    ) -> Result<Option<u64>, OperateError> {
        self.send_tasks(self.projector.rebuild(projection, segments).await?).await
    }

    /// Begins a pass over all streams that catches up those that are behind. Returns the job's
    /// number.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn reconcile(
        &self,
        projection: &Projection,
        segments: u32,
    ) -> Result<Option<u64>, OperateError> {
        self.send_tasks(self.projector.reconcile(projection, segments).await?).await
    }

    /// Pauses the job.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn pause(&self, projection: &Projection) -> Result<(), OperateError> {
        Ok(self.projector.pause_job(projection).await?)
    }

    /// Cancels the job. Returns the number of the job that removes the generation of a rebuild.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn cancel(&self, projection: &Projection) -> Result<Option<u64>, OperateError> {
        self.send_tasks(self.projector.cancel_job(projection).await?).await
    }

    /// Makes the standby generation active. Returns the number of the job that checks all streams
    /// again.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn switch(
        &self,
        projection: &Projection,
        accepted: Accepted,
    ) -> Result<Option<u64>, OperateError> {
        accepted.check_positions(projection)?;
        self.send_tasks(self.projector.switch(projection, accepted.incomplete).await?).await
    }

    /// Makes the previous generation active again. Returns the number of the job that checks all
    /// streams.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn rollback(
        &self,
        projection: &Projection,
        accepted: Accepted,
    ) -> Result<Option<u64>, OperateError> {
        accepted.check_positions(projection)?;
        self.send_tasks(self.projector.rollback(projection).await?).await
    }

    /// Drops the standby generation. Returns the number of the job that removes its rows.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn drop_generation(
        &self,
        projection: &Projection,
        generation: Option<u32>,
    ) -> Result<Option<u64>, OperateError> {
        self.send_tasks(self.projector.drop_generation(projection, generation).await?).await
    }

    /// Sends the tasks of a job again that is not paused, in case they were lost. For the start of
    /// a program.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn resume_unfinished(
        &self,
        projection: &Projection,
    ) -> Result<Option<u64>, OperateError> {
        let job = self.projector.status(projection).await?.job;
        match job.filter(|job| !job.paused) {
            Some(_) => self.resume_job(projection).await,
            None => Ok(None),
        }
    }

    pub(crate) async fn resume_job(
        &self,
        projection: &Projection,
    ) -> Result<Option<u64>, OperateError> {
        match self.projector.resume_job(projection).await {
            Err(RebuildError::NothingRuns) => Ok(None),
            tasks => self.send_tasks(tasks?).await,
        }
    }

    /// Moves the messages of the consumer's dead-letter queue back to its queue, within the time of
    /// a call.
    ///
    /// # Errors
    /// [`OperateError`]; some messages may have been moved.
    pub async fn redrive(&self, projection: &Projection) -> Result<Redriven, OperateError> {
        let (queue, dead_letters) =
            (self.queue(projection).await?, self.dead_letter_queue(projection).await?);
        Redrive { store: &self.store, queue, dead_letters }.run(self.step_time).await
    }

    /// Shows at most so many messages of the consumer's dead-letter queue, up to 100. They are
    /// received and given back, which counts as a receive and moves nothing.
    ///
    /// # Errors
    /// [`OperateError::DeadLettersInFlight`] during a redrive or another look; a failed request.
    pub async fn dead_letters(
        &self,
        projection: &Projection,
        limit: u32,
    ) -> Result<DeadLetters, OperateError> {
        dead_letters::sample(&self.dead_letter_queue(projection).await?, limit).await
    }

    /// Works on a slice of a job, then sends the tasks that come next.
    pub(crate) async fn work(
        &self,
        projection: &Projection,
        task: &SegmentTask,
        slice: Duration,
    ) -> Result<(), RebuildError> {
        let reason = format!("reconcile:{}", task.job);
        let notify = |behind| self.notify(projection, &reason, behind);
        let next = self.projector.work(projection, task, slice, notify).await?;
        self.jobs().await.map_err(not_sent)?.send(&next).await
    }

    /// Notifies a consumer of the versions of streams, without their commits.
    pub(crate) async fn notify(
        &self,
        projection: &Projection,
        reason: &str,
        behind: Vec<(StreamId, u64)>,
    ) -> Result<(), RebuildError> {
        let queue = self.queue(projection).await.map_err(not_sent)?;
        let message = |(stream, version)| {
            let notification = NotificationMessage::address(stream, version);
            // SQS deduplicates within a message group, which is the stream.
            let deduplication_id = format!("{reason}:{version}");
            let body = serde_json::to_string(&notification)?;
            Ok(Outgoing { body, group: notification.stream.to_string(), deduplication_id })
        };
        let messages =
            behind.into_iter().map(message).collect::<Result<Vec<_>, serde_json::Error>>();
        let messages = messages.map_err(|error| RebuildError::Queue(Arc::new(error)))?;
        queue.send(&messages).await.map_err(not_sent)
    }

    /// Sends the tasks of a step. Returns their job's number.
    async fn send_tasks(&self, tasks: Vec<SegmentTask>) -> Result<Option<u64>, OperateError> {
        let Some(job) = tasks.first().map(|task| task.job) else { return Ok(None) };
        self.jobs().await.map_err(not_sent)?.send(&tasks).await?;
        Ok(Some(job))
    }

    async fn jobs(&self) -> Result<Jobs, QueueError> {
        Ok(Jobs::of(self.find(self.names.rebuild_queue()).await?))
    }

    async fn queue(&self, projection: &Projection) -> Result<Queue, QueueError> {
        self.find(self.names.queue(&projection.consumer())).await
    }

    async fn dead_letter_queue(&self, projection: &Projection) -> Result<Queue, QueueError> {
        self.find(self.names.dead_letter_queue(&projection.consumer())).await
    }

    async fn find(&self, name: String) -> Result<Queue, QueueError> {
        let known = || self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known().get(&name).cloned();
        if let Some(queue) = found {
            return Ok(queue);
        }
        let queue = Queue::named(self.sqs.clone(), &name).await?;
        known().insert(name, queue.clone());
        Ok(queue)
    }
}

/// Whole seconds since then; 0 for a time in the future, because clocks of machines differ.
fn age_s(newest: DateTime<Utc>, now: SystemTime) -> u64 {
    u64::try_from((DateTime::<Utc>::from(now) - newest).num_seconds()).unwrap_or(0)
}
