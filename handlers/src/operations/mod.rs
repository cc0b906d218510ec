//! What an operator can do with a projection: each step of the engine, and the messages that follow it.
//!
//! A step is written before its messages are sent. A crash in between leaves a job without a worker;
//! [`Operations::resume`] sends its messages again.

pub(crate) mod redrive;
pub(crate) mod resume;

use crate::app::App;
use crate::aws::names::Names;
use crate::delivery::notification::NotificationMessage;
use crate::delivery::queue::{Outgoing, Queue, QueueError};
use crate::delivery::rebuild::{Jobs, not_sent};
use crate::operations::redrive::{Redrive, Redriven};
use aws_sdk_sqs::Client;
use chrono::{DateTime, Utc};
use eventstore::{EventStore, ReadError, StreamId};
use projections::rebuild::{RebuildError, Status, StatusError, SegmentTask};
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
    /// Queues by name, as they were found: their addresses do not change.
    found: Arc<Mutex<HashMap<String, Queue>>>,
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// A step was refused, or failed.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// The status cannot be told.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// A stream could not be caught up.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// A queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The read-model table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The event table.
    #[error(transparent)]
    Events(#[from] ReadError),
}

impl OperateError {
    /// Whether nothing failed, and the step is refused as things stand.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Rebuild(error) => error.is_refusal(),
            Self::Status(_) | Self::Project(_) | Self::Queue(_) | Self::Table(_) | Self::Events(_) => false,
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
    /// Messages in its queue, waiting or in flight, about: at least so many commits are not applied yet.
    pub messages: u64,
    /// Messages in its dead-letter queue, about.
    pub dead_letters: u64,
    /// The age of the newest applied event, by the heartbeat, in seconds; 0 if the queue is empty, none
    /// without a heartbeat. A heartbeat is written every five seconds at most.
    pub seconds: Option<u64>,
}

impl Operations {
    /// The steps on that system.
    pub fn new(app: App, store: EventStore, projector: Projector, sqs: Client, names: Names) -> Self {
        Self { app, store, projector, sqs, names, step_time: STEP_TIME, found: Arc::default() }
    }

    /// The same, but a call of [`resume`](Self::resume) or [`redrive`](Self::redrive) works for that long
    /// instead of 20 seconds. Each call handles at least one page of streams or messages.
    #[must_use]
    pub fn with_step_time(self, step_time: Duration) -> Self {
        Self { step_time, ..self }
    }

    /// What can be operated.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// How a projection stands.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn view(&self, projection: &Projection) -> Result<View, OperateError> {
        let status = self.status(projection).await?;
        Ok(View { status, lag: Some(self.lag(projection).await?) })
    }

    /// How a projection stands behind a step that was taken. The step stands although the queues cannot be counted: the answer
    /// is without the lag then.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn view_behind_step(&self, projection: &Projection) -> Result<View, OperateError> {
        let status = self.status(projection).await?;
        let lag = self.lag(projection).await;
        if let Err(error) = &lag {
            let error: &dyn std::error::Error = error;
            tracing::warn!(error, projection = projection.name, "how far it is behind cannot be told");
        }
        Ok(View { status, lag: lag.ok() })
    }

    /// The same without how far it is behind, which the queues would have to tell.
    pub(crate) async fn status(&self, projection: &Projection) -> Result<Status, OperateError> {
        Ok(self.projector.status(projection).await?)
    }

    pub(crate) async fn lag(&self, projection: &Projection) -> Result<Lag, OperateError> {
        let messages = self.queue(projection).await?.count().await?;
        let dead_letters = self.dead_letters(projection).await?.count().await?;
        let seconds = match messages {
            0 => Some(0),
            _ => self.projector.heartbeat(projection).newest().await?.map(|newest| age_s(newest, SystemTime::now())),
        };
        Ok(Lag { messages, dead_letters, seconds })
    }

    /// Begins a new generation of a read model. The job's number.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn rebuild(&self, projection: &Projection, segments: u32) -> Result<Option<u64>, OperateError> {
        self.call(self.projector.rebuild(projection, segments).await?).await
    }

    /// Begins a pass over all streams that catches up those that are behind. The job's number.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn reconcile(&self, projection: &Projection, segments: u32) -> Result<Option<u64>, OperateError> {
        self.call(self.projector.reconcile(projection, segments).await?).await
    }

    /// Lets the job stand still.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn pause(&self, projection: &Projection) -> Result<(), OperateError> {
        Ok(self.projector.pause_job(projection).await?)
    }

    /// Gives the job up. The number of the one that removes what a rebuild had written.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn cancel(&self, projection: &Projection) -> Result<Option<u64>, OperateError> {
        self.call(self.projector.cancel_job(projection).await?).await
    }

    /// Lets readers see the generation that was built. The number of the job that looks once more whether all is in it.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn switch(&self, projection: &Projection, accept_incomplete: bool) -> Result<Option<u64>, OperateError> {
        self.call(self.projector.switch(projection, accept_incomplete).await?).await
    }

    /// Lets readers see again what they saw before a switch. The number of the job that looks once more.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn rollback(&self, projection: &Projection) -> Result<Option<u64>, OperateError> {
        self.call(self.projector.rollback(projection).await?).await
    }

    /// Gives the generation up that is not read. The number of the job that removes its rows.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn drop_generation(
        &self,
        projection: &Projection,
        generation: Option<u32>,
    ) -> Result<Option<u64>, OperateError> {
        self.call(self.projector.drop_generation(projection, generation).await?).await
    }

    /// Lets a job that is not paused go on, in case its calls were lost: for a program that starts.
    ///
    /// # Errors
    /// [`OperateError`].
    pub async fn resume_unfinished(&self, projection: &Projection) -> Result<Option<u64>, OperateError> {
        let job = self.projector.status(projection).await?.job;
        match job.filter(|job| !job.paused) {
            Some(_) => self.resume_job(projection).await,
            None => Ok(None),
        }
    }

    pub(crate) async fn resume_job(&self, projection: &Projection) -> Result<Option<u64>, OperateError> {
        match self.projector.resume_job(projection).await {
            Err(RebuildError::NothingRuns) => Ok(None),
            wakes => self.call(wakes?).await,
        }
    }

    /// Sends what is in the consumer's dead-letter queue to its queue again, as much as fits into
    /// the time of a call.
    ///
    /// # Errors
    /// [`OperateError`]; what was sent until then is sent.
    pub async fn redrive(&self, projection: &Projection) -> Result<Redriven, OperateError> {
        let (queue, dead_letters) = (self.queue(projection).await?, self.dead_letters(projection).await?);
        Redrive { store: &self.store, queue, dead_letters }.run(self.step_time).await
    }

    /// Goes on with a slice of a job, then calls for what comes next.
    pub(crate) async fn work(&self, projection: &Projection, wake: &SegmentTask, slice: Duration) -> Result<(), RebuildError> {
        let reason = format!("reconcile:{}", wake.job);
        let announce = |behind| self.announce(projection, &reason, behind);
        let next = self.projector.work(projection, wake, slice, announce).await?;
        self.jobs().await.map_err(not_sent)?.send(&next).await
    }

    /// Tells a consumer that streams have reached a version, without telling how.
    pub(crate) async fn announce(
        &self,
        projection: &Projection,
        reason: &str,
        behind: Vec<(StreamId, u64)>,
    ) -> Result<(), RebuildError> {
        let queue = self.queue(projection).await.map_err(not_sent)?;
        let message = |(stream, version)| {
            let announcement = NotificationMessage::address(stream, version);
            // The queue looks for doubles within a group, which is the stream.
            let deduplication_id = format!("{reason}:{version}");
            let body = serde_json::to_string(&announcement)?;
            Ok(Outgoing { body, group: announcement.stream.to_string(), deduplication_id })
        };
        let messages = behind.into_iter().map(message).collect::<Result<Vec<_>, serde_json::Error>>();
        let messages = messages.map_err(|error| RebuildError::Queue(Arc::new(error)))?;
        queue.send(&messages).await.map_err(not_sent)
    }

    /// Sends the calls that a step answered with. Their job's number.
    async fn call(&self, wakes: Vec<SegmentTask>) -> Result<Option<u64>, OperateError> {
        let Some(job) = wakes.first().map(|wake| wake.job) else { return Ok(None) };
        self.jobs().await.map_err(not_sent)?.send(&wakes).await?;
        Ok(Some(job))
    }

    async fn jobs(&self) -> Result<Jobs, QueueError> {
        Ok(Jobs::of(self.find(self.names.rebuild_queue()).await?))
    }

    async fn queue(&self, projection: &Projection) -> Result<Queue, QueueError> {
        self.find(self.names.queue(&projection.consumer())).await
    }

    async fn dead_letters(&self, projection: &Projection) -> Result<Queue, QueueError> {
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

/// Whole seconds since then; 0 for a time that is still to come, as another machine's clock may say.
fn age_s(newest: DateTime<Utc>, now: SystemTime) -> u64 {
    u64::try_from((DateTime::<Utc>::from(now) - newest).num_seconds()).unwrap_or(0)
}
