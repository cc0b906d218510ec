//! A slice of a segment, and the next step of the job after the last one.

use super::RebuildError;
use super::progress::{Cursor, Progress, SegmentTask};
use super::proof::{Behind, by_stream};
use crate::definition::projection::{Kind, Projection};
use crate::engine::notification::NotifiedStream;
use crate::engine::projector::Projector;
use crate::generations::Generations;
use crate::generations::job::{Job, JobKind, Report, Tally};
use crate::generations::now;
use crate::generations::registry::VersionedGenerations;
use crate::tables::read_models::{ConditionalWrite, Written};
use crate::tables::removal::RemoveCursor;
use crate::tables::row::{Row, RowData, UnreadableRow};
use crate::tables::table::{TableError, pause};
use eventstore::{ScanCursor, Segment};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most passes of a job; the report then says what is incomplete.
const MAX_PASSES: u32 = 10;
/// How often the next step is tried after conflicts.
const MAX_ATTEMPTS: u32 = 10;

/// What every page of a slice needs.
struct Slice<'a> {
    projection: &'a Projection,
    generations: &'a Generations,
    job: &'a Job,
    segment: Segment,
}

impl Projector {
    /// Works on a segment for about `budget`, and returns the tasks that come next. `notify` sends
    /// notifications of streams on which a process is behind; when it returns, they must be sent.
    ///
    /// # Errors
    /// [`RebuildError`]: call again; no progress is lost.
    pub async fn work<F, A>(
        &self,
        projection: &Projection,
        task: &SegmentTask,
        budget: Duration,
        notify: A,
    ) -> Result<Vec<SegmentTask>, RebuildError>
    where
        F: Future<Output = Result<(), RebuildError>>,
        A: Fn(Vec<Behind>) -> F,
    {
        let deadline = Instant::now() + budget;
        let Some((stored, job)) = self.running(projection, task).await? else {
            return Ok(Vec::new());
        };
        let mut generations = stored.generations;
        if let Some(number) = job.fills(&generations) {
            generations.admit(projection, number)?;
        }
        self.until_known(projection, &job).await;
        if job.pass != task.pass {
            return self.open_tasks(projection, &generations).await;
        }
        let key = progress_key(projection, &job, job.pass, task.segment);
        let row = self.read_models.get(key.clone(), true).await?;
        let mut progress: Progress =
            row.as_ref().map(Row::read).transpose().map_err(TableError::from)?.unwrap_or_default();
        if progress.done || task.slice < progress.slice {
            return self.open_tasks(projection, &generations).await;
        }
        let segment = Segment { index: task.segment, total: job.segments };
        loop {
            let slice = Slice { projection, generations: &generations, job: &job, segment };
            let behind = self.page(&slice, &mut progress).await?;
            if !behind.is_empty() {
                notify(behind).await?;
            }
            if progress.done || Instant::now() >= deadline {
                break;
            }
            match self.running(projection, task).await? {
                Some((stored, _)) => generations = stored.generations,
                None => break,
            }
        }
        progress.slice += 1;
        self.store_progress(key.clone(), row.map(|row| row.version), &progress).await?;
        let VersionedGenerations { generations, .. } = self.registry.read(projection).await?;
        if generations.job.as_ref().is_none_or(|now| now.number != job.number) {
            // The job was cancelled meanwhile, and its progress removed.
            self.read_models.remove(&[key]).await?;
        }
        self.open_tasks(projection, &generations).await
    }

    /// A removal waits until no process has the old row of generations cached, or works by it:
    /// until then the rows may be read and written.
    async fn until_known(&self, projection: &Projection, job: &Job) {
        if job.kind == JobKind::Remove {
            // Measured in this process, because clocks of machines differ.
            let known_for = self.registry.first_saw_job(projection, job.number).elapsed();
            tokio::time::sleep((self.registry.cache_time * 2).saturating_sub(known_for)).await;
        }
    }

    /// The job of the task, if it is still running.
    async fn running(
        &self,
        projection: &Projection,
        task: &SegmentTask,
    ) -> Result<Option<(VersionedGenerations, Job)>, TableError> {
        let stored = self.registry.read(projection).await?;
        let job =
            stored.generations.job.clone().filter(|job| job.number == task.job && !job.paused);
        Ok(job.map(|job| (stored, job)))
    }

    /// Writes the progress of the segment. After a conflict nothing is lost: the other worker did
    /// at least the same slice.
    async fn store_progress(
        &self,
        key: String,
        expected: Option<u64>,
        progress: &Progress,
    ) -> Result<bool, TableError> {
        let unwritable = |error| UnreadableRow { key: key.clone(), source: Some(Arc::new(error)) };
        let data = serde_json::to_value(progress).map_err(unwritable)?;
        let row = Row {
            key: key.clone(),
            version: progress.slice,
            hash: None,
            content: RowData { data, listing: None },
        };
        Ok(matches!(self.read_models.put(&ConditionalWrite { expected, row }).await?, Written::Yes))
    }

    /// Does a page of the segment.
    async fn page(
        &self,
        slice: &Slice<'_>,
        progress: &mut Progress,
    ) -> Result<Vec<Behind>, RebuildError> {
        if slice.job.kind == JobKind::Remove {
            self.remove_page(slice, progress).await?;
            return Ok(Vec::new());
        }
        if let Some(Cursor::Rows(behind)) = &progress.cursor {
            let written = slice.generations.written_by(slice.projection);
            let rows = self
                .check_rows(slice.projection, &written, slice.segment, behind.as_deref())
                .await?;
            progress.done = rows.next.is_none();
            progress.cursor = rows.next.map(|key| Cursor::Rows(Some(key)));
            progress.tally = std::mem::take(&mut progress.tally).plus(&rows.tally);
            return Ok(Vec::new());
        }
        let page = self.store.scan(slice.segment, events_cursor(progress)).await?;
        let next = page.next.clone();
        let (scanned, mut tally) = by_stream(slice.projection, page);
        let active = slice.generations.active;
        let other = slice.generations.other.map(|other| other.number);
        let behind = match (slice.job.kind, slice.job.pass, other) {
            (JobKind::Rebuild, 0, Some(number)) => {
                let notified: Vec<NotifiedStream> =
                    scanned.iter().map(super::proof::ScannedStream::notified).collect();
                let parked = self.fill(slice.projection, number, notified).await?;
                tally.parked = u64::try_from(parked.len()).unwrap_or(u64::MAX);
                Vec::new()
            }
            (JobKind::Rebuild, _, Some(number)) => {
                let since = slice.job.started_at;
                let (checked, behind) =
                    self.check(slice.projection, &[number], active, since, &scanned).await?;
                tally = tally.plus(&checked);
                behind
            }
            _ => {
                let (written, since) =
                    (slice.generations.written_by(slice.projection), slice.job.started_at);
                let (checked, behind) =
                    self.check(slice.projection, &written, active, since, &scanned).await?;
                tally = tally.plus(&checked);
                behind
            }
        };
        progress.cursor = match next {
            Some(next) => Some(Cursor::Events(next)),
            // No event shows a stream that is gone: the rows come next.
            None if slice.job.kind == JobKind::Reconcile && slice.projection.has_positions() => {
                Some(Cursor::Rows(None))
            }
            None => None,
        };
        progress.done = progress.cursor.is_none();
        progress.tally = std::mem::take(&mut progress.tally).plus(&tally);
        Ok(behind)
    }

    /// Removes the rows of a page that belong to the dropped generation.
    async fn remove_page(
        &self,
        slice: &Slice<'_>,
        progress: &mut Progress,
    ) -> Result<(), TableError> {
        let Some(other) = slice.generations.other else {
            progress.done = true;
            return Ok(());
        };
        let generation = slice.projection.generation(other.number);
        let behind = match (progress.cursor.take(), slice.projection.kind) {
            (Some(Cursor::Rows(behind)), _) => behind,
            (cursor, Kind::CommitIndex) => {
                let entries = self
                    .audit_index
                    .remove_slice(other.number, slice.segment, entries_cursor(cursor))
                    .await?;
                progress.tally.removed += u64::try_from(entries.removed).unwrap_or(u64::MAX);
                progress.cursor = Some(entries.next.map_or(Cursor::Rows(None), Cursor::Entries));
                return Ok(());
            }
            (cursor, Kind::Journal) => {
                let items = self
                    .journal
                    .remove_slice(other.number, slice.segment, entries_cursor(cursor))
                    .await?;
                progress.tally.removed += u64::try_from(items.removed).unwrap_or(u64::MAX);
                progress.cursor = Some(items.next.map_or(Cursor::Rows(None), Cursor::Entries));
                return Ok(());
            }
            _ => None,
        };
        let (keys, next) = self.read_models.scan_keys(slice.segment, behind.as_deref()).await?;
        let keys: Vec<String> =
            keys.into_iter().filter(|key| generation.name(key).is_some()).collect();
        self.read_models.remove(&keys).await?;
        progress.tally.removed += u64::try_from(keys.len()).unwrap_or(u64::MAX);
        progress.done = next.is_none();
        progress.cursor = next.map(|key| Cursor::Rows(Some(key)));
        Ok(())
    }

    /// The tasks of all segments that are not done. If all are done, takes the job's next step
    /// first.
    pub(super) async fn open_tasks(
        &self,
        projection: &Projection,
        generations: &Generations,
    ) -> Result<Vec<SegmentTask>, RebuildError> {
        let mut generations = generations.clone();
        for attempt in 0..MAX_ATTEMPTS {
            let Some(job) = generations.job.clone().filter(|job| !job.paused) else {
                return Ok(Vec::new());
            };
            let progress = self.progress(projection, &job, job.pass).await?;
            let open = (0..job.segments).zip(&progress).filter(|(_, progress)| !progress.done);
            let open_tasks: Vec<SegmentTask> = open
                .map(|(segment, progress)| call(projection, &job, segment, progress.slice))
                .collect();
            if !open_tasks.is_empty() {
                return Ok(open_tasks);
            }
            let stored = self.registry.read(projection).await?;
            generations = stored.generations.clone();
            if generations
                .job
                .as_ref()
                .is_none_or(|now| (now.number, now.pass) != (job.number, job.pass))
            {
                continue;
            }
            self.step(projection, &job, &mut generations, &progress).await?;
            if !self.replace(projection, &stored, &generations).await? {
                pause(attempt).await;
                generations = self.registry.read(projection).await?.generations;
            }
        }
        Err(RebuildError::Contention)
    }

    /// The next pass, or the end of the job.
    async fn step(
        &self,
        projection: &Projection,
        job: &Job,
        generations: &mut Generations,
        progress: &[Progress],
    ) -> Result<(), RebuildError> {
        let mut total = sum(progress);
        if !projection.is_read_model() {
            // A stream with a held instance has a position at its end: only its parked row shows
            // it.
            let held = self.parked(projection, generations.active, 1, None).await?.streams.len();
            total.parked += u64::try_from(held).unwrap_or(u64::MAX);
        }
        let nothing_left = match job.kind {
            JobKind::Rebuild => job.pass > 0 && total.behind == 0,
            JobKind::Reconcile => total.behind == 0,
            JobKind::Remove => job.pass > 0 && total.removed == 0,
        };
        // A process works on its notifications later; another pass at once would only repeat them.
        if !nothing_left && job.pass + 1 < MAX_PASSES && projection.is_read_model() {
            generations.next_pass(now());
            return Ok(());
        }
        let first_pass = match job.pass {
            0 => total.clone(),
            _ => sum(&self.progress(projection, job, 0).await?),
        };
        for number in generations.written() {
            self.forget_outdated(projection, number).await?;
        }
        let other = generations.other.map(|other| other.number);
        generations.end(Report {
            job: job.number,
            kind: job.kind,
            generation: other.filter(|_| job.kind != JobKind::Reconcile),
            complete: nothing_left && total.is_sound(),
            started_at: job.started_at,
            ended_at: now(),
            passes: job.pass + 1,
            first_pass,
            last_pass: total,
        });
        Ok(())
    }

    /// The progress of each segment of a pass.
    pub(super) async fn progress(
        &self,
        projection: &Projection,
        job: &Job,
        pass: u32,
    ) -> Result<Vec<Progress>, TableError> {
        let keys: Vec<String> =
            (0..job.segments).map(|segment| progress_key(projection, job, pass, segment)).collect();
        let rows = self.read_models.get_all(&keys).await?;
        let read = |key| rows.get(key).map(Row::read).transpose().map(Option::unwrap_or_default);
        keys.iter().map(|key| read(key).map_err(TableError::from)).collect()
    }

    /// Replaces the generations, if they are unchanged. Then removes the progress of a job that
    /// ended.
    pub(super) async fn replace(
        &self,
        projection: &Projection,
        stored: &VersionedGenerations,
        next: &Generations,
    ) -> Result<bool, TableError> {
        let replaced = self.registry.replace(projection, stored, next).await?;
        let still = next.job.as_ref().map(|job| job.number);
        let ended = stored.generations.job.as_ref().filter(|job| Some(job.number) != still);
        if let Some(job) = ended.filter(|_| replaced) {
            self.remove_progress(projection, job).await;
        }
        Ok(replaced)
    }

    /// Removes the progress of a job that has ended. A failure leaves only some small rows.
    async fn remove_progress(&self, projection: &Projection, job: &Job) {
        let passes =
            (0..=job.pass).flat_map(|pass| (0..job.segments).map(move |segment| (pass, segment)));
        let keys: Vec<String> =
            passes.map(|(pass, segment)| progress_key(projection, job, pass, segment)).collect();
        if let Err(error) = self.read_models.remove(&keys).await {
            let error: &(dyn std::error::Error + Send + Sync) = &error;
            tracing::warn!(
                projection = projection.name,
                job = job.number,
                error,
                "rows with the progress of a job could not be removed"
            );
        }
    }
}

fn events_cursor(progress: &Progress) -> Option<&ScanCursor> {
    match &progress.cursor {
        Some(Cursor::Events(cursor)) => Some(cursor),
        Some(Cursor::Entries(_) | Cursor::Rows(_)) | None => None,
    }
}

fn entries_cursor(cursor: Option<Cursor>) -> Option<RemoveCursor> {
    match cursor {
        Some(Cursor::Entries(cursor)) => Some(cursor),
        Some(Cursor::Events(_) | Cursor::Rows(_)) | None => None,
    }
}

fn call(projection: &Projection, job: &Job, segment: u32, slice: u64) -> SegmentTask {
    let (projection, job_number) = (projection.name.to_owned(), job.number);
    SegmentTask {
        projection,
        job: job_number,
        pass: job.pass,
        segment,
        slice,
        resumed: job.resumed,
    }
}

pub(super) fn sum(progress: &[Progress]) -> Tally {
    progress.iter().fold(Tally::default(), |sum, progress| sum.plus(&progress.tally))
}

fn progress_key(projection: &Projection, job: &Job, pass: u32, segment: u32) -> String {
    format!("{}/job/{}/{pass}/{segment}", projection.name, job.number)
}
