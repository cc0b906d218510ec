//! The status of a projection: its generations, its job, its parked streams.

use super::work::sum;
use crate::definition::projection::Projection;
use crate::engine::projector::Projector;
use crate::generations::OtherGeneration;
use crate::generations::job::{Job, JobKind, Report, Tally};
use crate::generations::now;
use crate::tables::table::TableError;
use chrono::{DateTime, Utc};
use eventstore::StoreError;
use serde::Serialize;

/// The most parked streams that a status counts.
const MAX_COUNTED: u32 = 500;

/// Why the status could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The read-model table failed.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The event table failed.
    #[error(transparent)]
    Events(#[from] StoreError),
}

/// The status of a projection.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Its name.
    pub name: &'static str,
    /// Whether it is a read model, which can be rebuilt.
    pub read_model: bool,
    /// The active generation.
    pub active: u32,
    /// The standby generation.
    pub other: Option<OtherGeneration>,
    /// The current job.
    pub job: Option<JobStatus>,
    /// The report of the last job.
    pub report: Option<Report>,
    /// The shape of the rows that this program writes.
    pub shape: &'static str,
    /// The shape of the active generation; none before the first write.
    pub active_shape: Option<String>,
    /// The shape of the standby generation.
    pub other_shape: Option<String>,
    /// The number of parked streams in all generations; at most 500 are counted in each.
    pub parked: u64,
}

impl Status {
    /// The shape of the active generation, if it differs from the program's. This program does not
    /// write such a generation, so it falls behind.
    pub fn foreign_shape(&self) -> Option<&str> {
        self.active_shape.as_deref().filter(|shape| self.read_model && *shape != self.shape)
    }
}

/// The progress of a job.
#[derive(Debug, Clone, Serialize)]
pub struct JobStatus {
    /// Its number.
    pub number: u64,
    /// What it does.
    pub kind: JobKind,
    /// The number of the pass over all streams, from 0.
    pub pass: u32,
    /// Whether an operator paused it.
    pub paused: bool,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// The number of segments.
    pub segments: u32,
    /// How many of them are done in this pass.
    pub segments_done: u32,
    /// The counts of this pass.
    pub tally: Tally,
    /// The approximate number of items in the table; none if unknown.
    pub items_expected: Option<u64>,
    /// Items per second in this pass.
    pub items_per_second: f64,
    /// The estimated time left for this pass, in seconds; none if unknown.
    pub seconds_left: Option<u64>,
}

impl Projector {
    /// The status of the projection.
    ///
    /// # Errors
    /// [`StatusError`].
    pub async fn status(&self, projection: &Projection) -> Result<Status, StatusError> {
        let generations = self.registry.read(projection).await?.generations;
        let mut parked = 0;
        for number in generations.written() {
            let page = self.parked(projection, number, MAX_COUNTED, None).await?;
            parked += u64::try_from(page.streams.len()).unwrap_or(u64::MAX);
        }
        let job = match &generations.job {
            Some(job) => Some(self.job_status(projection, job).await?),
            None => None,
        };
        let shape_of = |number: u32| generations.shapes.get(&number).cloned();
        Ok(Status {
            shape: projection.shape,
            active_shape: shape_of(generations.active),
            other_shape: generations.other.and_then(|other| shape_of(other.number)),
            name: projection.name,
            read_model: projection.is_read_model(),
            active: generations.active,
            other: generations.other,
            job,
            report: generations.report,
            parked,
        })
    }

    async fn job_status(
        &self,
        projection: &Projection,
        job: &Job,
    ) -> Result<JobStatus, StatusError> {
        let progress = self.progress(projection, job, job.pass).await?;
        let tally = sum(&progress);
        let items_expected = match (job.kind, job.pass) {
            (JobKind::Remove, _) => None,
            (_, 0) => self.store.approximate_items().await?.filter(|items| *items >= tally.batches),
            _ => Some(sum(&self.progress(projection, job, 0).await?).batches.max(tally.batches)),
        };
        let seconds = (now() - job.pass_started_at).as_seconds_f64().max(0.001);
        let items_per_second = number(tally.batches) / seconds;
        let left = items_expected.map(|expected| expected - tally.batches);
        let seconds_left = left.filter(|_| tally.batches > 0 && !job.paused);
        Ok(JobStatus {
            number: job.number,
            kind: job.kind,
            pass: job.pass,
            paused: job.paused,
            started_at: job.started_at,
            segments: job.segments,
            segments_done: u32::try_from(progress.iter().filter(|progress| progress.done).count())
                .unwrap_or(u32::MAX),
            items_expected,
            items_per_second,
            seconds_left: seconds_left.map(|left| whole(number(left) / items_per_second)),
            tally,
        })
    }
}

/// Exact below 2^53; no table has so many items.
#[expect(clippy::as_conversions, reason = "there is no From from u64 to f64")]
fn number(count: u64) -> f64 {
    count as f64
}

/// Whole seconds, rounded up.
#[expect(
    clippy::as_conversions,
    reason = "there is no From from f64 to u64; the cast stops at the bounds"
)]
fn whole(seconds: f64) -> u64 {
    seconds.ceil().max(0.0) as u64
}
