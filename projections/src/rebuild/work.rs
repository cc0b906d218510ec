//! A slice of a segment, and what comes after the last one.

use super::check::{Behind, meet};
use crate::generations::job::{Cursor, Job, JobKind, Progress, Report, Tally, Wake};
use super::{RebuildError, now};
use crate::audit_index::RemoveCursor;
use crate::definition::projection::{Kind, Projection};
use crate::engine::notification::NotifiedStream;
use crate::engine::projector::Projector;
use crate::generations::Generations;
use crate::generations::registry::VersionedGenerations;
use crate::tables::read_models::{ConditionalWrite, Written};
use crate::tables::row::{Row, RowData, UnreadableRow};
use crate::tables::table::{TableError, pause};
use eventstore::{ScanCursor, Segment};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the streams are gone through before somebody must look.
const MAX_PASSES: u32 = 10;
/// How often the next step is looked for against others.
const MAX_ATTEMPTS: u32 = 10;

/// What every page of a slice needs.
struct Slice<'a> {
    projection: &'a Projection,
    generations: &'a Generations,
    job: &'a Job,
    segment: Segment,
}

impl Projector {
    /// Goes on with a segment for about `budget`, and answers with the calls for what is to be done next. `announce` tells a
    /// process manager of streams that are behind; it must have told when it returns.
    ///
    /// # Errors
    /// [`RebuildError`]: call again, nothing of what was done is lost.
    pub async fn work<F, A>(
        &self,
        projection: &Projection,
        wake: &Wake,
        budget: Duration,
        announce: A,
    ) -> Result<Vec<Wake>, RebuildError>
    where
        F: Future<Output = Result<(), RebuildError>>,
        A: Fn(Vec<Behind>) -> F,
    {
        let deadline = Instant::now() + budget;
        let Some((standing, job)) = self.running(projection, wake).await? else { return Ok(Vec::new()) };
        let mut generations = standing.generations;
        if let Some(number) = job.fills(&generations) {
            generations.admit(projection, number)?;
        }
        self.until_known(projection, &job).await;
        if job.pass != wake.pass {
            return self.wakes(projection, &generations).await;
        }
        let key = progress_key(projection, &job, job.pass, wake.segment);
        let row = self.read_models.get(key.clone(), true).await?;
        let mut progress: Progress =
            row.as_ref().map(Row::read).transpose().map_err(TableError::from)?.unwrap_or_default();
        if progress.done || wake.slice < progress.slice {
            return self.wakes(projection, &generations).await;
        }
        let segment = Segment { index: wake.segment, total: job.segments };
        loop {
            let slice = Slice { projection, generations: &generations, job: &job, segment };
            let behind = self.page(&slice, &mut progress).await?;
            if !behind.is_empty() {
                announce(behind).await?;
            }
            if progress.done || Instant::now() >= deadline {
                break;
            }
            match self.running(projection, wake).await? {
                Some((standing, _)) => generations = standing.generations,
                None => break,
            }
        }
        progress.slice += 1;
        self.keep(key.clone(), row.map(|row| row.version), &progress).await?;
        let VersionedGenerations { generations, .. } = self.registry.standing(projection).await?;
        if generations.job.as_ref().is_none_or(|now| now.number != job.number) {
            // It was given up meanwhile, and its progress forgotten.
            self.read_models.remove(&[key]).await?;
        }
        self.wakes(projection, &generations).await
    }

    /// A removal waits until everybody knows of it, and has done what was in hand when it began: before that the rows may still
    /// be read, and written.
    async fn until_known(&self, projection: &Projection, job: &Job) {
        if job.kind == JobKind::Remove {
            // From when this process knew of it, whatever anybody's clock says.
            let known_for = self.registry.knows_job(projection, job.number).elapsed();
            tokio::time::sleep((self.registry.remembers * 2).saturating_sub(known_for)).await;
        }
    }

    /// The job that the call is for, if it is still to be done.
    async fn running(
        &self,
        projection: &Projection,
        wake: &Wake,
    ) -> Result<Option<(VersionedGenerations, Job)>, TableError> {
        let standing = self.registry.standing(projection).await?;
        let job = standing.generations.job.clone().filter(|job| job.number == wake.job && !job.paused);
        Ok(job.map(|job| (standing, job)))
    }

    /// Writes how far the segment has come. Somebody who was quicker has done the same, or more.
    async fn keep(&self, key: String, expected: Option<u64>, progress: &Progress) -> Result<bool, TableError> {
        let unwritable = |error| UnreadableRow { key: key.clone(), source: Some(Arc::new(error)) };
        let data = serde_json::to_value(progress).map_err(unwritable)?;
        let row =
            Row { key: key.clone(), version: progress.slice, hash: None, content: RowData { data, listing: None } };
        Ok(matches!(self.read_models.put(&ConditionalWrite { expected, row }).await?, Written::Yes))
    }

    /// Does a page of the segment.
    async fn page(&self, slice: &Slice<'_>, progress: &mut Progress) -> Result<Vec<Behind>, RebuildError> {
        if slice.job.kind == JobKind::Remove {
            self.remove_page(slice, progress).await?;
            return Ok(Vec::new());
        }
        if let Some(Cursor::Rows(behind)) = &progress.cursor {
            let written = slice.generations.written_by(slice.projection);
            let walked = self.walk_rows(slice.projection, &written, slice.segment, behind.as_deref()).await?;
            progress.done = walked.next.is_none();
            progress.cursor = walked.next.map(|key| Cursor::Rows(Some(key)));
            progress.tally = std::mem::take(&mut progress.tally).plus(&walked.tally);
            return Ok(Vec::new());
        }
        let page = self.store.scan(slice.segment, events_cursor(progress)).await?;
        let next = page.next.clone();
        let (met, mut tally) = meet(slice.projection, page);
        let active = slice.generations.active;
        let other = slice.generations.other.map(|other| other.number);
        let behind = match (slice.job.kind, slice.job.pass, other) {
            (JobKind::Rebuild, 0, Some(number)) => {
                let news: Vec<NotifiedStream> = met.iter().map(super::check::ScannedStream::news).collect();
                let parked = self.fill(slice.projection, number, news).await?;
                tally.parked = u64::try_from(parked.len()).unwrap_or(u64::MAX);
                Vec::new()
            }
            (JobKind::Rebuild, _, Some(number)) => {
                let since = slice.job.started_at;
                let (checked, behind) = self.check(slice.projection, &[number], active, since, &met).await?;
                tally = tally.plus(&checked);
                behind
            }
            _ => {
                let (written, since) = (slice.generations.written_by(slice.projection), slice.job.started_at);
                let (checked, behind) = self.check(slice.projection, &written, active, since, &met).await?;
                tally = tally.plus(&checked);
                behind
            }
        };
        progress.cursor = match next {
            Some(next) => Some(Cursor::Events(next)),
            // Streams that are gone are met in no event: the rows come next.
            None if slice.job.kind == JobKind::Reconcile && slice.projection.has_positions() => {
                Some(Cursor::Rows(None))
            }
            None => None,
        };
        progress.done = progress.cursor.is_none();
        progress.tally = std::mem::take(&mut progress.tally).plus(&tally);
        Ok(behind)
    }

    /// Removes the rows of a page that belong to the generation that was given up.
    async fn remove_page(&self, slice: &Slice<'_>, progress: &mut Progress) -> Result<(), TableError> {
        let Some(other) = slice.generations.other else {
            progress.done = true;
            return Ok(());
        };
        let generation = slice.projection.generation(other.number);
        let behind = match (progress.cursor.take(), slice.projection.kind) {
            (Some(Cursor::Rows(behind)), _) => behind,
            (cursor, Kind::CommitIndex) => {
                let entries =
                    self.audit_index.remove_slice(other.number, slice.segment, entries_cursor(cursor)).await?;
                progress.tally.removed += u64::try_from(entries.removed).unwrap_or(u64::MAX);
                progress.cursor = Some(entries.next.map_or(Cursor::Rows(None), Cursor::Entries));
                return Ok(());
            }
            _ => None,
        };
        let (keys, next) = self.read_models.scan_keys(slice.segment, behind.as_deref()).await?;
        let keys: Vec<String> = keys.into_iter().filter(|key| generation.name(key).is_some()).collect();
        self.read_models.remove(&keys).await?;
        progress.tally.removed += u64::try_from(keys.len()).unwrap_or(u64::MAX);
        progress.done = next.is_none();
        progress.cursor = next.map(|key| Cursor::Rows(Some(key)));
        Ok(())
    }

    /// Calls for every segment that is not done. When all are, takes the job's next step first.
    pub(super) async fn wakes(
        &self,
        projection: &Projection,
        generations: &Generations,
    ) -> Result<Vec<Wake>, RebuildError> {
        let mut generations = generations.clone();
        for attempt in 0..MAX_ATTEMPTS {
            let Some(job) = generations.job.clone().filter(|job| !job.paused) else { return Ok(Vec::new()) };
            let progress = self.progress(projection, &job, job.pass).await?;
            let open = (0..job.segments).zip(&progress).filter(|(_, progress)| !progress.done);
            let wakes: Vec<Wake> =
                open.map(|(segment, progress)| call(projection, &job, segment, progress.slice)).collect();
            if !wakes.is_empty() {
                return Ok(wakes);
            }
            let standing = self.registry.standing(projection).await?;
            generations = standing.generations.clone();
            if generations.job.as_ref().is_none_or(|now| (now.number, now.pass) != (job.number, job.pass)) {
                continue;
            }
            self.step(projection, &job, &mut generations, &progress).await?;
            if !self.replace(projection, &standing, &generations).await? {
                pause(attempt).await;
                generations = self.registry.standing(projection).await?.generations;
            }
        }
        Err(RebuildError::Contention)
    }

    /// What comes after a pass.
    async fn step(
        &self,
        projection: &Projection,
        job: &Job,
        generations: &mut Generations,
        progress: &[Progress],
    ) -> Result<(), RebuildError> {
        let mut total = sum(progress);
        if !projection.is_read_model() {
            // What is held stands at the end of its stream: only the note tells.
            let held = self.parked(projection, generations.active, 1, None).await?.streams.len();
            total.parked += u64::try_from(held).unwrap_or(u64::MAX);
        }
        let nothing_left = match job.kind {
            JobKind::Rebuild => job.pass > 0 && total.behind == 0,
            JobKind::Reconcile => total.behind == 0,
            JobKind::Remove => job.pass > 0 && total.removed == 0,
        };
        // Who acts on its own does so when it is told; another pass at once would only tell it again.
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

    /// How far each segment of a pass has come.
    pub(super) async fn progress(
        &self,
        projection: &Projection,
        job: &Job,
        pass: u32,
    ) -> Result<Vec<Progress>, TableError> {
        let keys: Vec<String> = (0..job.segments).map(|segment| progress_key(projection, job, pass, segment)).collect();
        let rows = self.read_models.get_all(&keys).await?;
        let read = |key| rows.get(key).map(Row::read).transpose().map(Option::unwrap_or_default);
        keys.iter().map(|key| read(key).map_err(TableError::from)).collect()
    }

    /// Replaces what stands there, if it is still that; then the progress of a job that is no more is forgotten.
    pub(super) async fn replace(
        &self,
        projection: &Projection,
        standing: &VersionedGenerations,
        next: &Generations,
    ) -> Result<bool, TableError> {
        let replaced = self.registry.replace(projection, standing, next).await?;
        let still = next.job.as_ref().map(|job| job.number);
        let ended = standing.generations.job.as_ref().filter(|job| Some(job.number) != still);
        if let Some(job) = ended.filter(|_| replaced) {
            self.forget(projection, job).await;
        }
        Ok(replaced)
    }

    /// Removes the progress of a job that has ended. What is left behind after a failure is some small rows.
    async fn forget(&self, projection: &Projection, job: &Job) {
        let passes = (0..=job.pass).flat_map(|pass| (0..job.segments).map(move |segment| (pass, segment)));
        let keys: Vec<String> = passes.map(|(pass, segment)| progress_key(projection, job, pass, segment)).collect();
        if let Err(error) = self.read_models.remove(&keys).await {
            let error: &(dyn std::error::Error + Send + Sync) = &error;
            tracing::warn!(
                projection = projection.name,
                job = job.number,
                error,
                "the progress of a job was left behind"
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

fn call(projection: &Projection, job: &Job, segment: u32, slice: u64) -> Wake {
    let (projection, job_number) = (projection.name.to_owned(), job.number);
    Wake { projection, job: job_number, pass: job.pass, segment, slice, resumed: job.resumed }
}

pub(super) fn sum(progress: &[Progress]) -> Tally {
    progress.iter().fold(Tally::default(), |sum, progress| sum.plus(&progress.tally))
}

fn progress_key(projection: &Projection, job: &Job, pass: u32, segment: u32) -> String {
    format!("{}/job/{}/{pass}/{segment}", projection.name, job.number)
}
