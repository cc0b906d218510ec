//! Online rebuilds of read models, and passes over all streams that find what is behind.
//!
//! A job is cut into segments of a table. Each segment has a row with its progress, and every change is a
//! conditional put. So a call to continue ([`Wake`]) may be duplicated, late or lost: the row says what is
//! to be done. There is no lock and no leader. If a worker dies, another repeats its slice; the positions
//! drop duplicates.
//!
//! | file | what it is |
//! |---|---|
//! | `job.rs` | jobs, calls, progress, reports: the data |
//! | `steps.rs` | which steps may follow each other: pure |
//! | `work.rs` | a slice of a segment, and what comes after the last one |
//! | `check.rs` | which streams are behind |
//! | `strays.rs` | which positions are not part of their streams |
//! | `status.rs` | what operators see of it |

mod check;
mod job;
mod status;
mod steps;
mod strays;
mod work;

pub use job::{Job, JobKind, Report, Tally, Wake};
pub use status::{JobStatus, Status, StatusError};
pub use steps::{DEFAULT_SEGMENTS, MAX_SEGMENTS};

use crate::definition::projection::Projection;
use crate::engine::project_error::ProjectError;
use crate::engine::projector::Projector;
use crate::generations::{GenerationState, Generations, OtherShape};
use crate::tables::table::{TableError, pause};
use chrono::{DateTime, SubsecRound, Utc};
use eventstore::{StoreError, StreamId};
use std::time::SystemTime;

/// How often a change of the generations is tried against others.
const MAX_ATTEMPTS: u32 = 10;

/// Why a rebuild cannot be begun, changed or gone on with.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Something is being worked on.
    #[error("a {} is under way: wait for its end, or cancel it", kind.word())]
    Busy {
        /// What.
        kind: JobKind,
    },
    /// There is a second generation already.
    #[error("generation {number} is {}: drop it first", state.word())]
    Kept {
        /// Its number.
        number: u32,
        /// What it is.
        state: GenerationState,
    },
    /// Nothing is being worked on, or it stands still already.
    #[error("nothing is under way")]
    NothingRuns,
    /// There is no second generation.
    #[error("there is no generation but the active one: rebuild first")]
    NoOther,
    /// The generation cannot be read yet.
    #[error("generation {number} is {}: it can be switched to when every stream is complete in it", state.word())]
    NotComplete {
        /// Its number.
        number: u32,
        /// What it is.
        state: GenerationState,
    },
    /// The generation was not built anew.
    #[error("generation {number} is {}: there is nothing new to switch to", state.word())]
    NotBuilt {
        /// Its number.
        number: u32,
        /// What it is.
        state: GenerationState,
    },
    /// No switch can be taken back.
    #[error("there is no previous generation to roll back to")]
    NothingToRollBackTo,
    /// The generation that is read cannot be dropped.
    #[error("generation {number} is the active one: readers see it")]
    Active {
        /// Its number.
        number: u32,
    },
    /// There is no such generation.
    #[error("there is no generation {number}")]
    NoGeneration {
        /// The number.
        number: u32,
    },
    /// It has no rows that could be made anew.
    #[error("{name} is no read model: what it has done is not done again")]
    NoReadModel {
        /// The process manager.
        name: &'static str,
    },
    /// The job is one for a program of another shape.
    #[error(transparent)]
    OtherShape(#[from] OtherShape),
    /// Others changed the generations every time.
    #[error("others changed the generations {MAX_ATTEMPTS} times: try again")]
    Contention,
    /// A stream could not be projected this time.
    #[error("stream {stream} could not be projected")]
    Project {
        /// The stream.
        stream: StreamId,
        /// Why not.
        #[source]
        source: ProjectError,
    },
    /// The queue did not take a message.
    #[error("the queue did not take the messages")]
    Queue(#[source] eventstore::ErrorSource),
    /// The event table did not answer.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// The read-model table did not answer as it should.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl RebuildError {
    /// Whether the step makes no sense as things stand: nothing failed, and it is refused until something else is done.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::Kept { .. } | Self::NothingRuns | Self::NoOther => true,
            Self::NotComplete { .. } | Self::NotBuilt { .. } | Self::NothingToRollBackTo => true,
            Self::Active { .. } | Self::NoGeneration { .. } | Self::NoReadModel { .. } | Self::OtherShape(_) => true,
            Self::Contention | Self::Project { .. } | Self::Queue(_) | Self::Read(_) | Self::Table(_) => false,
        }
    }
}

impl JobKind {
    /// The kind as a noun.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rebuild => "rebuild",
            Self::Reconcile => "reconciliation",
            Self::Remove => "removal",
        }
    }
}

impl GenerationState {
    /// The state as an adjective.
    pub fn word(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::Previous => "previous",
            Self::Removing => "removing",
        }
    }
}

impl Projector {
    /// Begins a new generation of the read model. The answer calls for its segments.
    ///
    /// # Errors
    /// [`RebuildError`]. After a fault the step may have been taken: then [`resume_job`](Self::resume_job) calls for it.
    pub async fn rebuild(&self, projection: &Projection, segments: u32) -> Result<Vec<Wake>, RebuildError> {
        if !projection.is_read_model() {
            return Err(RebuildError::NoReadModel { name: projection.name });
        }
        self.change(projection, |generations, now| generations.rebuild(segments, now)).await
    }

    /// Begins a pass over all streams that catches up those that are behind, in every generation that is written.
    ///
    /// # Errors
    /// [`RebuildError`]. After a fault the step may have been taken: then [`resume_job`](Self::resume_job) calls for it.
    pub async fn reconcile(&self, projection: &Projection, segments: u32) -> Result<Vec<Wake>, RebuildError> {
        self.change(projection, |generations, now| {
            generations.admit(projection, generations.active)?;
            generations.reconcile(segments, now)
        })
        .await
    }

    /// Lets a job stand still, at the end of the page that each worker has in hand.
    ///
    /// # Errors
    /// [`RebuildError`]. After a fault the step may have been taken: then [`resume_job`](Self::resume_job) calls for it.
    pub async fn pause_job(&self, projection: &Projection) -> Result<(), RebuildError> {
        self.change(projection, |generations, _| generations.pause()).await.map(drop)
    }

    /// Lets a job go on, paused or not: the answer calls for all that is not done.
    ///
    /// # Errors
    /// [`RebuildError`]. After a fault the step may have been taken: then [`resume_job`](Self::resume_job) calls for it.
    pub async fn resume_job(&self, projection: &Projection) -> Result<Vec<Wake>, RebuildError> {
        self.change(projection, |generations, _| generations.resume()).await
    }

    /// Gives a job up; the generation of a rebuild is removed.
    ///
    /// # Errors
    /// [`RebuildError`]. After a fault the step may have been taken: then [`resume_job`](Self::resume_job) calls for it.
    pub async fn cancel_job(&self, projection: &Projection) -> Result<Vec<Wake>, RebuildError> {
        self.change(projection, Generations::cancel).await
    }

    /// Lets readers see the generation that was built, within a second or so; and begins one more pass over all streams.
    ///
    /// # Errors
    /// [`RebuildError`]. After a fault the step may have been taken: then [`resume_job`](Self::resume_job) calls for it.
    pub async fn switch(&self, projection: &Projection, accept_incomplete: bool) -> Result<Vec<Wake>, RebuildError> {
        self.change(projection, |generations, now| generations.switch(accept_incomplete, now)).await
    }

    /// Lets readers see again the generation that they saw before a switch; and begins one more pass over all streams.
    ///
    /// # Errors
    /// [`RebuildError`]. After a fault the step may have been taken: then [`resume_job`](Self::resume_job) calls for it.
    pub async fn rollback(&self, projection: &Projection) -> Result<Vec<Wake>, RebuildError> {
        self.change(projection, Generations::rollback).await
    }

    /// Gives the generation up that is not read, and removes its rows.
    ///
    /// # Errors
    /// [`RebuildError`]. After a fault the step may have been taken: then [`resume_job`](Self::resume_job) calls for it.
    pub async fn drop_generation(
        &self,
        projection: &Projection,
        number: Option<u32>,
    ) -> Result<Vec<Wake>, RebuildError> {
        self.change(projection, |generations, now| generations.drop_other(number, now)).await
    }

    /// Takes a step if it may follow on what stands there, and calls for what is to be done then.
    async fn change(
        &self,
        projection: &Projection,
        step: impl Fn(&mut Generations, DateTime<Utc>) -> Result<(), RebuildError>,
    ) -> Result<Vec<Wake>, RebuildError> {
        for attempt in 0..MAX_ATTEMPTS {
            let standing = self.registry.standing(projection).await?;
            let mut next = standing.generations.clone();
            step(&mut next, now())?;
            if self.replace(projection, &standing, &next).await? {
                return self.wakes(projection, &next).await;
            }
            pause(attempt).await;
        }
        Err(RebuildError::Contention)
    }
}

/// The time, in milliseconds as everything here tells it.
pub(crate) fn now() -> DateTime<Utc> {
    DateTime::<Utc>::from(SystemTime::now()).trunc_subsecs(3)
}
