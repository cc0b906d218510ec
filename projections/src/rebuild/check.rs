//! Which streams are behind, and catching them up.

use super::RebuildError;
use super::job::Tally;
use crate::multi_stream::fence_name;
use crate::projection::{Kind, Projection};
use crate::projector::{News, Projector};
use crate::read_models::TableError;
use chrono::{DateTime, Utc};
use eventstore::{Batch, Commit, StreamId};
use std::collections::{BTreeMap, HashMap};

/// What a page of the event table tells of a stream: not all of it, if the stream goes over pages.
pub(super) struct Met {
    pub(super) stream: StreamId,
    pub(super) commits: Vec<Commit>,
}

/// Whom to tell of a stream that is behind, where this is not done here.
pub(super) type Behind = (StreamId, u64);

impl Met {
    pub(super) fn last_version(&self) -> u64 {
        self.commits.last().map_or(0, Commit::last_version)
    }

    /// The last commit that had been recorded by then.
    fn due(&self, time: DateTime<Utc>) -> Option<&Commit> {
        self.commits.iter().rfind(|commit| commit.recorded_at <= time)
    }

    fn begins(&self) -> bool {
        self.commits.first().is_some_and(|commit| commit.version == 1)
    }

    pub(super) fn news(&self) -> News {
        News { stream: self.stream.clone(), version: self.last_version(), commits: self.commits.clone() }
    }
}

/// The page by stream, of those that are followed; and what is counted of it.
pub(super) fn meet(projection: &Projection, batches: Vec<Batch>) -> (Vec<Met>, Tally) {
    let mut tally = Tally::default();
    let mut met: BTreeMap<StreamId, Vec<Commit>> = BTreeMap::new();
    for batch in batches {
        tally.batches += 1;
        if projection.follows.includes(&batch.stream) {
            met.entry(batch.stream).or_default().extend(batch.commits);
        }
    }
    let mut known: HashMap<String, bool> = HashMap::new();
    for event in met.values().flatten().flat_map(|commit| &commit.events) {
        let event_type = &event.body.event_type;
        tally.events += 1;
        if !*known.entry(event_type.clone()).or_insert_with(|| (projection.knows)(event_type)) {
            *tally.ignored.entry(event_type.clone()).or_default() += 1;
        }
    }
    let met = met.into_iter().map(|(stream, mut commits)| {
        commits.sort_by_key(|commit| commit.version);
        Met { stream, commits }
    });
    let met: Vec<Met> = met.collect();
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    tally.commits = met.iter().map(|met| count(met.commits.len())).sum();
    tally.streams = count(met.iter().filter(|met| met.begins()).count());
    (met, tally)
}

impl Projector {
    /// Applies what was met to a generation. A stream that cannot be applied is parked there.
    pub(super) async fn fill(
        &self,
        projection: &Projection,
        generation: u32,
        met: Vec<News>,
    ) -> Result<u64, RebuildError> {
        let mut parked = 0;
        for (stream, error) in self.project_into(projection, generation, met).await {
            if !error.is_lasting() {
                return Err(RebuildError::Project { stream, source: error });
            }
            self.park(projection, generation, &stream, error.version(), &error).await?;
            parked += 1;
        }
        Ok(parked)
    }

    /// Finds which of the streams are behind in the generations, and catches them up; those of a process manager, whose
    /// effects are not done here, are in the answer. Behind is what has not reached the end that the stream had when the
    /// job began, or, of a generation that is not read, what the active one has reached.
    pub(super) async fn check(
        &self,
        projection: &Projection,
        generations: &[u32],
        active: u32,
        since: DateTime<Utc>,
        met: &[Met],
    ) -> Result<(Tally, Vec<Behind>), RebuildError> {
        let (mut tally, mut announce) = (Tally::default(), Vec::new());
        // Read before the others: live events are applied to it last.
        let read = self.reached(projection, active, since, met).await?;
        for (index, number) in generations.iter().enumerate() {
            let reached = self.reached(projection, *number, since, met).await?;
            let (mut behind, mut late) = (Vec::new(), 0);
            for (met, (reached, read)) in met.iter().zip(reached.iter().zip(&read)) {
                tally.present += u64::from(index == 0 && met.begins() && *reached > 0);
                late += u64::from(
                    *reached < met.due(since).map_or(0, Commit::last_version).max(*read.min(&met.last_version())),
                );
                if *reached < met.last_version() {
                    behind.push(met);
                }
            }
            if projection.is_read_model() {
                let parked = self.fill(projection, *number, behind.iter().map(|met| met.news()).collect()).await?;
                tally.parked += parked;
                tally.behind += late.saturating_sub(parked);
            } else {
                tally.behind += late;
                announce.extend(behind.iter().map(|met| (met.stream.clone(), met.last_version())));
            }
        }
        Ok((tally, announce))
    }

    /// The version that each stream has reached in a generation. In the audit index, which only tells of a commit whether it
    /// is entered, it is that of the last commit met, else of the last that was due, else 0.
    async fn reached(
        &self,
        projection: &Projection,
        generation: u32,
        since: DateTime<Utc>,
        met: &[Met],
    ) -> Result<Vec<u64>, TableError> {
        let generation = projection.generation(generation);
        let key = |met: &Met| match projection.kind {
            Kind::SingleStream { .. } => generation.key(met.stream.as_str()),
            Kind::MultiStream { .. } | Kind::Process | Kind::CommitIndex => generation.key(&fence_name(&met.stream)),
        };
        if matches!(projection.kind, Kind::CommitIndex) {
            let asked = met.iter().map(|met| [met.due(since), met.commits.last()]);
            let asked = asked.zip(met).flat_map(|(commits, met)| commits.map(|commit| (commit, met)));
            let asked: Vec<(StreamId, Commit)> =
                asked.filter_map(|(commit, met)| Some((met.stream.clone(), commit?.clone()))).collect();
            let entered = self.audit_index.entered(generation.number, &asked).await?;
            let mut reached: HashMap<&StreamId, u64> = HashMap::new();
            for ((stream, commit), _) in asked.iter().zip(entered).filter(|(_, entered)| *entered) {
                let version = reached.entry(stream).or_default();
                *version = commit.last_version().max(*version);
            }
            return Ok(met.iter().map(|met| reached.get(&met.stream).copied().unwrap_or(0)).collect());
        }
        let keys: Vec<String> = met.iter().map(key).collect();
        let versions = self.read_models.versions(&keys).await?;
        Ok(keys.iter().map(|key| versions.get(key).copied().unwrap_or(0)).collect())
    }
}
