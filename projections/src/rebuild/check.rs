//! Which streams are behind, and catching them up.

use super::RebuildError;
use crate::generations::job::Tally;
use crate::audit_index::Entry;
use crate::definition::projection::{Kind, Projection};
use crate::stream_read::TimeLimit;
use crate::engine::notification::NotifiedStream;
use crate::tables::position::Position;
use crate::engine::projector::Projector;
use crate::tables::table::{TableError, pause};
use chrono::{DateTime, Utc};
use eventstore::{Commit, ScanPage, StreamId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// Streams that are applied before it is asked again whether the generation is still wanted.
const STREAMS_AT_ONCE: usize = 100;
/// How long a page waits for commits that a process manager may just be handling. A worker has 5 s for the page that its
/// slice ends with.
const IN_HAND: Duration = Duration::from_secs(2);

/// What a page of the event table tells of a stream: not all of it, if the stream goes over pages.
pub(super) struct ScannedStream {
    pub(super) stream: StreamId,
    pub(super) commits: Vec<Commit>,
    /// The version of the last item that cannot be read: who comes to it stands still there.
    damaged_at: u64,
}

/// Whom to tell of a stream that is behind, where this is not done here.
pub(super) type Behind = (StreamId, u64);

impl ScannedStream {
    pub(super) fn last_version(&self) -> u64 {
        self.last_readable().max(self.damaged_at)
    }

    /// The last commit that is dated up to then. The clock of another machine dated it, so a later date proves nothing: such a
    /// commit may have been there before.
    fn due(&self, time: DateTime<Utc>) -> Option<&Commit> {
        self.commits.iter().rfind(|commit| commit.recorded_at <= time)
    }

    fn last_readable(&self) -> u64 {
        self.commits.last().map_or(0, Commit::last_version)
    }

    fn begins(&self) -> bool {
        self.commits.first().is_some_and(|commit| commit.version == 1)
    }

    pub(super) fn news(&self) -> NotifiedStream {
        NotifiedStream { stream: self.stream.clone(), version: self.last_version(), commits: self.commits.clone() }
    }
}

/// The page by stream, of those that are followed; and what is counted of it.
pub(super) fn meet(projection: &Projection, page: ScanPage) -> (Vec<ScannedStream>, Tally) {
    let mut tally = Tally { batches: count(page.batches.len()), ..Tally::default() };
    let mut met: BTreeMap<StreamId, ScannedStream> = BTreeMap::new();
    let entry = |stream: StreamId| ScannedStream { stream, commits: Vec::new(), damaged_at: 0 };
    for batch in page.batches.into_iter().filter(|batch| projection.follows.includes(&batch.stream)) {
        met.entry(batch.stream.clone()).or_insert_with(|| entry(batch.stream)).commits.extend(batch.commits);
    }
    for damaged in page.damaged {
        match StreamId::new(damaged.stream.as_str()) {
            Ok(stream) if !projection.follows.includes(&stream) => continue,
            Ok(stream) => {
                let met = met.entry(stream.clone()).or_insert_with(|| entry(stream));
                met.damaged_at = met.damaged_at.max(damaged.version);
            }
            // It may have been anybody's.
            Err(_) => {}
        }
        tally = tally.plus(&Tally { damaged: 1, damages: vec![damaged.to_string()], ..Tally::default() });
    }
    let mut met: Vec<ScannedStream> = met.into_values().collect();
    for met in &mut met {
        met.commits.sort_by_key(|commit| commit.version);
    }
    (tally.events, tally.ignored) = events_of(projection, &met);
    tally.commits = met.iter().map(|met| count(met.commits.len())).sum();
    tally.streams = count(met.iter().filter(|met| met.begins()).count());
    (met, tally)
}

/// How many events there are, and those that are ignored by type.
fn events_of(projection: &Projection, met: &[ScannedStream]) -> (u64, BTreeMap<String, u64>) {
    let (mut events, mut ignored) = (0, BTreeMap::new());
    let mut known: HashMap<(&str, u32), bool> = HashMap::new();
    let commits = met.iter().flat_map(|met| &met.commits);
    for event in commits.flat_map(|commit| &commit.events) {
        let event_type = event.body.event_type.as_str();
        events += 1;
        if *known
            .entry((event_type, event.body.schema))
            .or_insert_with(|| matches!(projection.ignores(&event.body), Ok(true)))
        {
            *ignored.entry(event_type.to_owned()).or_default() += 1;
        }
    }
    (events, ignored)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

impl Projector {
    /// Applies what was met to a generation, as long as that is written. A stream that cannot be applied is parked there: those
    /// are in the answer.
    pub(super) async fn fill(
        &self,
        projection: &Projection,
        generation: u32,
        met: Vec<NotifiedStream>,
    ) -> Result<BTreeSet<StreamId>, RebuildError> {
        let mut parked = BTreeSet::new();
        for news in met.chunks(STREAMS_AT_ONCE) {
            if !self.registry.writes(projection, generation).await? {
                break;
            }
            for (stream, error) in self.project_into(projection, generation, news.to_vec(), TimeLimit::NONE).await {
                if !error.is_permanent() {
                    return Err(RebuildError::Project { stream, source: error });
                }
                self.park(projection, generation, &stream, error.version(), &error).await?;
                parked.insert(stream);
            }
        }
        Ok(parked)
    }

    /// Finds which of the streams are behind in the generations, and catches them up; those of a process manager, whose
    /// effects are not done here, are in the answer. Behind is what has not reached the last commit that is dated before the
    /// job, or, of a generation that is not read, what the active one has reached. What is dated later is caught up here, or
    /// the process manager must handle it within a moment: else it is behind too.
    pub(super) async fn check(
        &self,
        projection: &Projection,
        generations: &[u32],
        active: u32,
        since: DateTime<Utc>,
        met: &[ScannedStream],
    ) -> Result<(Tally, Vec<Behind>), RebuildError> {
        let (mut tally, mut announce) = (Tally::default(), Vec::new());
        // Read before the others: live events are applied to it last.
        let read = self.reached(projection, active, since, met).await?;
        for (index, number) in generations.iter().enumerate() {
            let reached = self.reached(projection, *number, since, met).await?;
            let strays = self.strays(projection, *number, met, &reached).await?;
            tally = tally.plus(&strays.tally);
            let (mut behind, mut late) = (Vec::new(), BTreeSet::new());
            for (met, (reached, read)) in met.iter().zip(reached.iter().zip(&read)) {
                tally.present += u64::from(index == 0 && met.begins() && reached.version > 0);
                if strays.streams.contains(&met.stream) {
                    continue;
                }
                let due = met.due(since).map_or(0, Commit::last_version);
                if reached.version < due.max(read.version.min(met.last_version())) {
                    late.insert(met.stream.clone());
                }
                if reached.version < met.last_version() {
                    behind.push(met);
                }
            }
            if projection.is_read_model() {
                let parked = self.fill(projection, *number, behind.iter().map(|met| met.news()).collect()).await?;
                tally.parked += count(parked.len() + strays.streams.len());
                tally.behind += count(late.difference(&parked).count());
            } else {
                let in_hand = behind.iter().copied().filter(|met| !late.contains(&met.stream)).collect();
                let left = self.unhandled(projection, *number, in_hand).await?;
                tally.behind += count(late.len() + left);
                announce.extend(behind.iter().map(|met| (met.stream.clone(), met.last_version())));
            }
        }
        Ok((tally, announce))
    }

    /// How many of the streams a process manager has not handled to the end met, also after a moment's wait.
    async fn unhandled(
        &self,
        projection: &Projection,
        generation: u32,
        mut behind: Vec<&ScannedStream>,
    ) -> Result<usize, TableError> {
        let (limit, mut attempt) = (TimeLimit::after(IN_HAND), 0);
        loop {
            let reached = self.positions(projection, generation, behind.iter().copied()).await?;
            let compared = behind.into_iter().zip(reached);
            let left = compared.filter(|(met, reached)| reached.version < met.last_readable());
            behind = left.map(|(met, _)| met).collect();
            if behind.is_empty() || limit.is_over() {
                return Ok(behind.len());
            }
            pause(attempt).await;
            attempt += 1;
        }
    }

    /// The place that each stream has reached in a generation. In the audit index, which only tells of a commit whether it
    /// is entered, it is that of the last commit met, else of the last that was due, else the beginning.
    async fn reached(
        &self,
        projection: &Projection,
        generation: u32,
        since: DateTime<Utc>,
        met: &[ScannedStream],
    ) -> Result<Vec<Position>, TableError> {
        if matches!(projection.kind, Kind::CommitIndex) {
            let asked = met.iter().map(|met| [met.due(since), met.commits.last()]);
            let asked = asked.zip(met).flat_map(|(commits, met)| commits.map(|commit| (commit, met)));
            let asked: Vec<(StreamId, Commit)> =
                asked.filter_map(|(commit, met)| Some((met.stream.clone(), commit?.clone()))).collect();
            let entered = self.audit_index.entered(generation, &asked).await?;
            let mut reached: HashMap<&StreamId, Position> = HashMap::new();
            for ((stream, commit), _) in asked.iter().zip(entered).filter(|(_, entry)| *entry == Entry::Same) {
                let at = Position::in_commit(commit, commit.last_version());
                reached.entry(stream).and_modify(|known| *known = known.later(at)).or_insert(at);
            }
            let at = |met: &ScannedStream| reached.get(&met.stream).copied();
            return Ok(met.iter().map(|met| at(met).unwrap_or_else(|| Position::beginning(&met.stream))).collect());
        }
        self.positions(projection, generation, met.iter()).await
    }

    /// The position that each stream has in its row.
    async fn positions<'a>(
        &self,
        projection: &Projection,
        generation: u32,
        met: impl Iterator<Item = &'a ScannedStream> + Clone,
    ) -> Result<Vec<Position>, TableError> {
        let generation = projection.generation(generation);
        let key = |met: &ScannedStream| projection.position_name_of(&met.stream).map(|name| generation.key(&name));
        let keys: Vec<String> = met.clone().filter_map(key).collect();
        let positions = self.read_models.positions(&keys).await?;
        let at = |met: &ScannedStream| positions.get(&key(met)?).copied();
        Ok(met.map(|met| at(met).unwrap_or_else(|| Position::beginning(&met.stream))).collect())
    }
}
