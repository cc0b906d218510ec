//! Online rebuilds of read models, and passes over all streams that find what is behind.
//!
//! A job is divided into segments of a table. Each segment has a row with its progress, and every
//! change is a conditional put. So a message to continue ([`SegmentTask`]) may be duplicated, late
//! or lost: the row says what is left. There is no lock and no leader. If a worker dies, another
//! repeats its slice, and the positions drop duplicates.
//!
//! | file | what it is |
//! |---|---|
//! | `steps.rs` | which steps may follow each other: pure |
//! | `progress.rs` | tasks in the queue, and the progress of segments: the data |
//! | `work.rs` | a slice of a segment, and the next step after the last one |
//! | `proof.rs` | which streams are behind |
//! | `divergence.rs` | which positions are not part of their streams |
//! | `status.rs` | the status for operators |

mod divergence;
mod progress;
mod proof;
mod status;
mod steps;
mod work;

pub use crate::generations::job::{Job, JobKind, Report, Tally};
pub use progress::SegmentTask;
pub use status::{JobStatus, Status, StatusError};
pub use steps::{DEFAULT_SEGMENTS, MAX_SEGMENTS};

use crate::definition::projection::Projection;
use crate::engine::project_error::ProjectError;
use crate::engine::projector::Projector;
use crate::generations::now;
use crate::generations::{GenerationState, Generations, OtherShape};
use crate::tables::table::{TableError, pause};
use chrono::{DateTime, Utc};
use eventstore::{StoreError, StreamId};

/// How often a change of the generations is tried after conflicts.
const MAX_ATTEMPTS: u32 = 10;

/// Why a job cannot be started, changed or continued.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Another job is running.
    #[error("a {} is under way: wait for its end, or cancel it", kind.word())]
    Busy {
        /// The kind of that job.
        kind: JobKind,
    },
    /// There is a second generation already.
    #[error("generation {number} is {}: drop it first", state.word())]
    Kept {
        /// Its number.
        number: u32,
        /// Its state.
        state: GenerationState,
    },
    /// No job is running, or it is paused already.
    #[error("nothing is under way")]
    NothingRuns,
    /// There is no second generation.
    #[error("there is no generation but the active one: rebuild first")]
    NoOther,
    /// The generation is not complete yet.
    #[error("generation {number} is {}: it can be switched to when every stream is complete in it", state.word())]
    NotComplete {
        /// Its number.
        number: u32,
        /// Its state.
        state: GenerationState,
    },
    /// The standby generation was not built by a rebuild.
    #[error("generation {number} is {}: there is nothing new to switch to", state.word())]
    NotBuilt {
        /// Its number.
        number: u32,
        /// Its state.
        state: GenerationState,
    },
    /// There was no switch that could be undone.
    #[error("there is no previous generation to roll back to")]
    NothingToRollBackTo,
    /// The active generation cannot be dropped.
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
    /// A process cannot be rebuilt.
    #[error("{name} is a process, not a read model: its effects are not repeated")]
    NoReadModel {
        /// The process.
        name: &'static str,
    },
    /// Readers store positions, and the other generation has other ones.
    #[error(
        "positions change: readers of {name} that stored one have to begin again. Say that you accept new positions"
    )]
    NewPositions {
        /// The projection.
        name: &'static str,
    },
    /// Only a program of another shape can do the job.
    #[error(transparent)]
    OtherShape(#[from] OtherShape),
    /// Every change conflicted with another.
    #[error("{MAX_ATTEMPTS} changes of the generations conflicted with others: try again")]
    Contention,
    /// A stream could not be projected this time.
    #[error("stream {stream} could not be projected")]
    Project {
        /// The stream.
        stream: StreamId,
        /// Why.
        #[source]
        source: ProjectError,
    },
    /// The queue did not take a message.
    #[error("the queue did not take the messages")]
    Queue(#[source] eventstore::ErrorSource),
    /// The event table failed.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// The read-model table failed.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl RebuildError {
    /// Whether the step is refused in the current state; false if something failed.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::Kept { .. } | Self::NothingRuns | Self::NoOther => true,
            Self::NotComplete { .. } | Self::NotBuilt { .. } | Self::NothingToRollBackTo => true,
            Self::Active { .. }
            | Self::NoGeneration { .. }
            | Self::NoReadModel { .. }
            | Self::NewPositions { .. }
            | Self::OtherShape(_) => true,
            Self::Contention
            | Self::Project { .. }
            | Self::Queue(_)
            | Self::Read(_)
            | Self::Table(_) => false,
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

/// What an operator accepts when another generation becomes the active one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accepted {
    /// That streams are parked in it, or were not complete at the last pass.
    pub incomplete: bool,
    /// That its positions are other ones, so that readers begin again: see
    /// [`Projection::has_stored_cursors`].
    pub new_positions: bool,
}

impl Accepted {
    /// Whether the positions of the projection may change.
    ///
    /// # Errors
    /// [`RebuildError::NewPositions`] if not, and readers may have stored one.
    pub fn check_positions(self, projection: &Projection) -> Result<(), RebuildError> {
        if projection.has_stored_cursors() && !self.new_positions {
            return Err(RebuildError::NewPositions { name: projection.name });
        }
        Ok(())
    }
}

impl Projector {
    /// Begins a new generation of the read model. Returns the tasks of its segments.
    ///
    /// # Errors
    /// [`RebuildError`]. After a fault the step may have been taken: then
    /// [`resume_job`](Self::resume_job) calls for it.
    pub async fn rebuild(
        &self,
        projection: &Projection,
        segments: u32,
    ) -> Result<Vec<SegmentTask>, RebuildError> {
        if !projection.is_read_model() {
            return Err(RebuildError::NoReadModel { name: projection.name });
        }
        self.change(projection, |generations, now| generations.rebuild(segments, now)).await
    }

    /// Begins a pass over all streams that catches up those that are behind, in every written
    /// generation.
    ///
    /// # Errors
    /// [`RebuildError`]. After a fault the step may have been taken: then
    /// [`resume_job`](Self::resume_job) calls for it.
    pub async fn reconcile(
        &self,
        projection: &Projection,
        segments: u32,
    ) -> Result<Vec<SegmentTask>, RebuildError> {
        self.change(projection, |generations, now| {
            generations.admit(projection, generations.active)?;
            generations.reconcile(segments, now)
        })
        .await
    }

    /// Pauses a job: each worker stops at the end of its page.
    ///
    /// # Errors
    /// [`RebuildError`]. After a fault the step may have been taken: then
    /// [`resume_job`](Self::resume_job) calls for it.
    pub async fn pause_job(&self, projection: &Projection) -> Result<(), RebuildError> {
        self.change(projection, |generations, _| generations.pause()).await.map(drop)
    }

    /// Continues a job, paused or not. Returns the tasks of all segments that are not done.
    ///
    /// # Errors
    /// [`RebuildError`]. After a fault the step may have been taken: then
    /// [`resume_job`](Self::resume_job) calls for it.
    pub async fn resume_job(
        &self,
        projection: &Projection,
    ) -> Result<Vec<SegmentTask>, RebuildError> {
        self.change(projection, |generations, _| generations.resume()).await
    }

    /// Cancels a job; the generation of a rebuild is removed.
    ///
    /// # Errors
    /// [`RebuildError`]. After a fault the step may have been taken: then
    /// [`resume_job`](Self::resume_job) calls for it.
    pub async fn cancel_job(
        &self,
        projection: &Projection,
    ) -> Result<Vec<SegmentTask>, RebuildError> {
        self.change(projection, Generations::cancel).await
    }

    /// Makes the standby generation active; readers see it within about a second. Begins one more
    /// pass over all streams.
    ///
    /// # Errors
    /// [`RebuildError`]. After a fault the step may have been taken: then
    /// [`resume_job`](Self::resume_job) calls for it.
    pub async fn switch(
        &self,
        projection: &Projection,
        accept_incomplete: bool,
    ) -> Result<Vec<SegmentTask>, RebuildError> {
        self.change(projection, |generations, now| generations.switch(accept_incomplete, now)).await
    }

    /// Undoes a switch: makes the previous generation active again. Begins one more pass over all
    /// streams.
    ///
    /// # Errors
    /// [`RebuildError`]. After a fault the step may have been taken: then
    /// [`resume_job`](Self::resume_job) calls for it.
    pub async fn rollback(
        &self,
        projection: &Projection,
    ) -> Result<Vec<SegmentTask>, RebuildError> {
        self.change(projection, Generations::rollback).await
    }

    /// Drops the standby generation and removes its rows.
    ///
    /// # Errors
    /// [`RebuildError`]. After a fault the step may have been taken: then
    /// [`resume_job`](Self::resume_job) calls for it.
    pub async fn drop_generation(
        &self,
        projection: &Projection,
        number: Option<u32>,
    ) -> Result<Vec<SegmentTask>, RebuildError> {
        self.change(projection, |generations, now| generations.drop_other(number, now)).await
    }

    /// Takes a step if it is allowed in the stored state. Returns the tasks that follow.
    async fn change(
        &self,
        projection: &Projection,
        step: impl Fn(&mut Generations, DateTime<Utc>) -> Result<(), RebuildError>,
    ) -> Result<Vec<SegmentTask>, RebuildError> {
        for attempt in 0..MAX_ATTEMPTS {
            let stored = self.registry.read(projection).await?;
            let mut next = stored.generations.clone();
            step(&mut next, now())?;
            if self.replace(projection, &stored, &next).await? {
                return self.open_tasks(projection, &next).await;
            }
            pause(attempt).await;
        }
        Err(RebuildError::Contention)
    }
}
