//! The steps of a projection's generations: pure. A step is refused in a state that does not allow
//! it.

use super::RebuildError;
use crate::generations::job::{Job, JobKind, Report};
use crate::generations::{GenerationState, Generations, OtherGeneration};
use chrono::{DateTime, Utc};

/// The most segments of a job.
pub const MAX_SEGMENTS: u32 = 64;

impl Generations {
    /// Begins a new generation.
    pub(super) fn rebuild(
        &mut self,
        segments: u32,
        now: DateTime<Utc>,
    ) -> Result<(), RebuildError> {
        self.idle()?;
        if let Some(OtherGeneration { number, state }) = self.other {
            return Err(RebuildError::Kept { number, state });
        }
        self.newest += 1;
        self.other =
            Some(OtherGeneration { number: self.newest, state: GenerationState::Building });
        self.begin(JobKind::Rebuild, segments, now);
        Ok(())
    }

    /// Begins a pass over all streams.
    pub(super) fn reconcile(
        &mut self,
        segments: u32,
        now: DateTime<Utc>,
    ) -> Result<(), RebuildError> {
        self.idle()?;
        self.begin(JobKind::Reconcile, segments, now);
        Ok(())
    }

    pub(super) fn pause(&mut self) -> Result<(), RebuildError> {
        let job = self.job.as_mut().filter(|job| !job.paused);
        job.ok_or(RebuildError::NothingRuns)?.paused = true;
        Ok(())
    }

    /// Continues a job. For one that is not paused the tasks are sent again, in case they were
    /// lost.
    pub(super) fn resume(&mut self) -> Result<(), RebuildError> {
        let job = self.job.as_mut().ok_or(RebuildError::NothingRuns)?;
        job.paused = false;
        job.resumed += 1;
        Ok(())
    }

    /// Cancels a job. The generation that a rebuild has begun is removed.
    pub(super) fn cancel(&mut self, now: DateTime<Utc>) -> Result<(), RebuildError> {
        match self.job.as_ref().map(|job| (job.kind, job.segments)) {
            Some((JobKind::Rebuild, segments)) => {
                self.remove_other(segments, now);
                Ok(())
            }
            Some((JobKind::Reconcile, _)) => {
                self.job = None;
                Ok(())
            }
            // Half of an unusable generation would remain.
            Some((JobKind::Remove, _)) => Err(RebuildError::Busy { kind: JobKind::Remove }),
            None => Err(RebuildError::NothingRuns),
        }
    }

    /// Makes the standby generation active; an incomplete one only with `accept_incomplete`.
    pub(super) fn switch(
        &mut self,
        accept_incomplete: bool,
        now: DateTime<Utc>,
    ) -> Result<(), RebuildError> {
        let other = self.other.ok_or(RebuildError::NoOther)?;
        match other.state {
            GenerationState::Complete => {}
            GenerationState::Incomplete if accept_incomplete => {}
            state @ (GenerationState::Building | GenerationState::Incomplete) => {
                return Err(RebuildError::NotComplete { number: other.number, state });
            }
            state @ (GenerationState::Previous | GenerationState::Removing) => {
                return Err(RebuildError::NotBuilt { number: other.number, state });
            }
        }
        self.exchange(GenerationState::Previous, now)
    }

    /// Makes the previous generation active again.
    pub(super) fn rollback(&mut self, now: DateTime<Utc>) -> Result<(), RebuildError> {
        let other = self.other.filter(|other| other.state == GenerationState::Previous);
        other.ok_or(RebuildError::NothingToRollBackTo)?;
        // It may have been accepted incomplete: the report of the new pass sets its state.
        self.exchange(GenerationState::Incomplete, now)
    }

    fn exchange(&mut self, old: GenerationState, now: DateTime<Utc>) -> Result<(), RebuildError> {
        let segments = self.idle_or_reconciling()?;
        let Some(other) = self.other else { return Err(RebuildError::NoOther) };
        self.other = Some(OtherGeneration { number: self.active, state: old });
        self.active = other.number;
        // Other processes may act on the old row for a second: one more pass finds what they left
        // out.
        self.begin(JobKind::Reconcile, segments, now);
        Ok(())
    }

    /// Drops the standby generation.
    pub(super) fn drop_other(
        &mut self,
        wanted: Option<u32>,
        now: DateTime<Utc>,
    ) -> Result<(), RebuildError> {
        if wanted == Some(self.active) {
            return Err(RebuildError::Active { number: self.active });
        }
        let other = self.other.ok_or(RebuildError::NoOther)?;
        if let Some(number) = wanted.filter(|number| *number != other.number) {
            return Err(RebuildError::NoGeneration { number });
        }
        let segments = self.idle_or_reconciling()?;
        self.remove_other(segments, now);
        Ok(())
    }

    fn remove_other(&mut self, segments: u32, now: DateTime<Utc>) {
        if let Some(other) = &mut self.other {
            other.state = GenerationState::Removing;
        }
        self.begin(JobKind::Remove, segments, now);
    }

    /// Begins the next pass over all streams.
    pub(super) fn next_pass(&mut self, now: DateTime<Utc>) {
        if let Some(job) = &mut self.job {
            job.pass += 1;
            job.pass_started_at = now;
        }
    }

    /// Ends the job with its report.
    pub(super) fn end(&mut self, report: Report) {
        match report.kind {
            JobKind::Rebuild => {
                let state = if report.complete {
                    GenerationState::Complete
                } else {
                    GenerationState::Incomplete
                };
                self.other = self.other.map(|other| OtherGeneration { state, ..other });
            }
            JobKind::Remove => self.other = None,
            // Streams that were parked may have caught up since, and others may be parked now.
            JobKind::Reconcile => {
                let built = [GenerationState::Complete, GenerationState::Incomplete];
                if let Some(other) =
                    self.other.as_mut().filter(|other| built.contains(&other.state))
                {
                    other.state = if report.complete {
                        GenerationState::Complete
                    } else {
                        GenerationState::Incomplete
                    };
                }
            }
        }
        self.job = None;
        self.report = Some(report);
    }

    fn begin(&mut self, kind: JobKind, segments: u32, now: DateTime<Utc>) {
        self.newest_job += 1;
        let number = self.newest_job;
        let segments = segments.clamp(1, MAX_SEGMENTS);
        self.job = Some(Job {
            number,
            kind,
            segments,
            pass: 0,
            paused: false,
            resumed: 0,
            started_at: now,
            pass_started_at: now,
        });
    }

    fn idle(&self) -> Result<(), RebuildError> {
        match &self.job {
            Some(job) => Err(RebuildError::Busy { kind: job.kind }),
            None => Ok(()),
        }
    }

    /// The segments for the next job: a reconciliation may be replaced by another job.
    fn idle_or_reconciling(&self) -> Result<u32, RebuildError> {
        match &self.job {
            Some(job) if job.kind != JobKind::Reconcile => {
                Err(RebuildError::Busy { kind: job.kind })
            }
            Some(job) => Ok(job.segments),
            None => Ok(DEFAULT_SEGMENTS),
        }
    }
}

/// The number of segments of a job, by default.
pub const DEFAULT_SEGMENTS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rebuild::Tally;
    use std::collections::BTreeMap;

    type Step = fn(&mut Generations, DateTime<Utc>) -> Result<(), RebuildError>;

    /// All steps of operators and workers.
    const STEPS: [(&str, Step); 12] = [
        ("rebuild", |all, now| all.rebuild(4, now)),
        ("reconcile", |all, now| all.reconcile(4, now)),
        ("pause", |all, _| all.pause()),
        ("resume", |all, _| all.resume()),
        ("cancel", |all, now| all.cancel(now)),
        ("switch", |all, now| all.switch(false, now)),
        ("switch to an incomplete one", |all, now| all.switch(true, now)),
        ("rollback", |all, now| all.rollback(now)),
        ("drop", |all, now| all.drop_other(None, now)),
        ("end complete", |all, now| end(all, true, now)),
        ("end incomplete", |all, now| end(all, false, now)),
        ("next pass", |all, now| {
            all.next_pass(now);
            Ok(())
        }),
    ];

    fn end(all: &mut Generations, complete: bool, now: DateTime<Utc>) -> Result<(), RebuildError> {
        let job = all.job.clone().ok_or(RebuildError::NothingRuns)?;
        let (first_pass, last_pass) = (Tally::default(), Tally::default());
        let (kind, passes, started_at) = (job.kind, job.pass + 1, job.started_at);
        let number = job.number;
        all.end(Report {
            job: number,
            kind,
            generation: None,
            complete,
            started_at,
            ended_at: now,
            passes,
            first_pass,
            last_pass,
        });
        Ok(())
    }

    /// The part of the state that decides which steps are allowed.
    fn situation(all: &Generations) -> (Option<GenerationState>, Option<JobKind>, bool) {
        (
            all.other.map(|other| other.state),
            all.job.as_ref().map(|job| job.kind),
            all.job.as_ref().is_some_and(|job| job.paused),
        )
    }

    fn makes_sense(before: &Generations, step: &str, after: &Generations) {
        let context = format!("{step} on {before:?} is {after:?}");
        let state = after.other.map(|other| other.state);
        let kind = after.job.as_ref().map(|job| job.kind);
        assert_eq!(
            state == Some(GenerationState::Building),
            kind == Some(JobKind::Rebuild),
            "{context}"
        );
        assert_eq!(
            state == Some(GenerationState::Removing),
            kind == Some(JobKind::Remove),
            "{context}"
        );
        assert!(
            after.newest >= before.newest && after.newest_job >= before.newest_job,
            "{context}"
        );
        assert!(after.active <= after.newest, "{context}");
        if let Some(other) = after.other {
            assert!(other.number != after.active && other.number <= after.newest, "{context}");
            let known = [Some(before.active), before.other.map(|other| other.number)]
                .contains(&Some(other.number));
            assert!(known || other.number > before.newest, "no number is given twice: {context}");
        }
        if let Some(job) = &after.job {
            let same = before
                .job
                .as_ref()
                .is_some_and(|before| (before.number, before.kind) == (job.number, job.kind));
            assert!(
                job.number == after.newest_job && (same || job.number > before.newest_job),
                "{context}"
            );
        }
        if after.active != before.active {
            let read =
                before.other.filter(|other| other.number == after.active).map(|other| other.state);
            let usable =
                [GenerationState::Complete, GenerationState::Incomplete, GenerationState::Previous];
            assert!(read.is_some_and(|state| usable.contains(&state)), "{context}");
            assert_eq!(kind, Some(JobKind::Reconcile), "one more pass: {context}");
        }
    }

    #[test]
    fn every_order_of_steps_keeps_the_invariants() {
        let now = DateTime::UNIX_EPOCH;
        let (mut open, mut scanned) = (vec![Generations::default()], BTreeMap::new());
        while let Some(before) = open.pop() {
            for (name, step) in STEPS {
                let mut after = before.clone();
                if step(&mut after, now).is_err() {
                    assert_eq!(after, before, "{name} is refused, and changes nothing");
                    continue;
                }
                makes_sense(&before, name, &after);
                if scanned.insert(format!("{:?}", situation(&after)), after.clone()).is_none() {
                    open.push(after);
                }
            }
        }
        // No job, or a reconciliation (paused or not), with each standby state of none, complete,
        // incomplete and previous; and a rebuild and a removal, paused or not.
        assert_eq!(scanned.len(), 4 * 3 + 2 + 2, "{:?}", scanned.keys());
    }
}
