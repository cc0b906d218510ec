//! Which streams are behind, and catching them up.

use super::RebuildError;
use crate::audit_index::EntryMatch;
use crate::definition::projection::{Kind, Projection};
use crate::engine::notification::NotifiedStream;
use crate::engine::projector::Projector;
use crate::generations::job::Tally;
use crate::stream_read::TimeLimit;
use crate::tables::position::Position;
use crate::tables::table::{TableError, pause};
use chrono::{DateTime, Utc};
use eventstore::{Commit, ScanPage, StreamId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// How many streams are applied before the worker checks again that the generation is still
/// written.
const STREAMS_AT_ONCE: usize = 100;
/// How long a page waits for commits that a process may be handling. A worker has 5 s for the last
/// page of its slice.
const HANDLING_TIME: Duration = Duration::from_secs(2);

/// The commits of a stream on one page of the event table.
pub(super) struct ScannedStream {
    pub(super) stream: StreamId,
    pub(super) commits: Vec<Commit>,
    /// The version of the last unreadable item; 0 if all are readable. The projection stops at this
    /// version.
    corrupt_at: u64,
}

/// A stream on which a process is behind, with the version to notify.
pub(super) type Behind = (StreamId, u64);

impl ScannedStream {
    pub(super) fn last_version(&self) -> u64 {
        self.last_readable().max(self.corrupt_at)
    }

    /// The last commit that was recorded up to that time. Other machines' clocks may be ahead, so a
    /// commit with a later time may be older than the job, too.
    fn due(&self, time: DateTime<Utc>) -> Option<&Commit> {
        self.commits.iter().rfind(|commit| commit.recorded_at <= time)
    }

    fn last_readable(&self) -> u64 {
        self.commits.last().map_or(0, Commit::last_version)
    }

    fn begins(&self) -> bool {
        self.commits.first().is_some_and(|commit| commit.version == 1)
    }

    pub(super) fn notified(&self) -> NotifiedStream {
        NotifiedStream {
            stream: self.stream.clone(),
            version: self.last_version(),
            commits: self.commits.clone(),
        }
    }
}

/// The page by followed stream, and its counts.
pub(super) fn by_stream(projection: &Projection, page: ScanPage) -> (Vec<ScannedStream>, Tally) {
    let mut tally = Tally { batches: count(page.batches.len()), ..Tally::default() };
    let mut scanned: BTreeMap<StreamId, ScannedStream> = BTreeMap::new();
    let entry = |stream: StreamId| ScannedStream { stream, commits: Vec::new(), corrupt_at: 0 };
    for batch in page.batches.into_iter().filter(|batch| projection.follows.includes(&batch.stream))
    {
        scanned
            .entry(batch.stream.clone())
            .or_insert_with(|| entry(batch.stream))
            .commits
            .extend(batch.commits);
    }
    for corrupt in page.damaged {
        match StreamId::new(corrupt.stream.as_str()) {
            Ok(stream) if !projection.follows.includes(&stream) => continue,
            Ok(stream) => {
                let scanned = scanned.entry(stream.clone()).or_insert_with(|| entry(stream));
                scanned.corrupt_at = scanned.corrupt_at.max(corrupt.version);
            }
            // An item without a readable stream name may belong to any stream.
            Err(_) => {}
        }
        tally = tally.plus(&Tally {
            damaged: 1,
            damages: vec![corrupt.to_string()],
            ..Tally::default()
        });
    }
    let mut scanned: Vec<ScannedStream> = scanned.into_values().collect();
    for scanned in &mut scanned {
        scanned.commits.sort_by_key(|commit| commit.version);
    }
    (tally.events, tally.ignored) = events_of(projection, &scanned);
    tally.commits = scanned.iter().map(|scanned| count(scanned.commits.len())).sum();
    tally.streams = count(scanned.iter().filter(|scanned| scanned.begins()).count());
    (scanned, tally)
}

/// The number of events, and of ignored events by type.
fn events_of(projection: &Projection, scanned: &[ScannedStream]) -> (u64, BTreeMap<String, u64>) {
    let (mut events, mut ignored) = (0, BTreeMap::new());
    let mut known: HashMap<(&str, u32), bool> = HashMap::new();
    let commits = scanned.iter().flat_map(|scanned| &scanned.commits);
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
    /// Applies the scanned commits to a generation, while it is written. Parks the streams that
    /// cannot be applied, and returns them.
    pub(super) async fn fill(
        &self,
        projection: &Projection,
        generation: u32,
        scanned: Vec<NotifiedStream>,
    ) -> Result<BTreeSet<StreamId>, RebuildError> {
        let mut parked = BTreeSet::new();
        for chunk in scanned.chunks(STREAMS_AT_ONCE) {
            if !self.registry.writes(projection, generation).await? {
                break;
            }
            for (stream, error) in
                self.project_into(projection, generation, chunk.to_vec(), TimeLimit::NONE).await
            {
                if !error.is_permanent() {
                    return Err(RebuildError::Project { stream, source: error });
                }
                self.park(projection, generation, &stream, error.version(), &error).await?;
                parked.insert(stream);
            }
        }
        Ok(parked)
    }

    /// Finds the streams that are behind in the generations, and catches them up. A process must do
    /// its effects itself: its streams are returned, to be notified.
    ///
    /// A stream is behind if it has not reached the last commit from before the job. In a standby
    /// generation it is also behind if the active one is further. Later commits are applied here; a
    /// process gets a moment for them, and is behind after it.
    pub(super) async fn check(
        &self,
        projection: &Projection,
        generations: &[u32],
        active: u32,
        since: DateTime<Utc>,
        scanned: &[ScannedStream],
    ) -> Result<(Tally, Vec<Behind>), RebuildError> {
        let (mut tally, mut to_notify) = (Tally::default(), Vec::new());
        // The active one is read first, because live events are applied to it last.
        let read = self.reached(projection, active, since, scanned).await?;
        for (index, number) in generations.iter().enumerate() {
            let reached = self.reached(projection, *number, since, scanned).await?;
            let diverged = self.find_diverged(projection, *number, scanned, &reached).await?;
            tally = tally.plus(&diverged.tally);
            let (mut behind, mut late) = (Vec::new(), BTreeSet::new());
            for (scanned, (reached, read)) in scanned.iter().zip(reached.iter().zip(&read)) {
                tally.present += u64::from(index == 0 && scanned.begins() && reached.version > 0);
                if diverged.streams.contains(&scanned.stream) {
                    continue;
                }
                let due = scanned.due(since).map_or(0, Commit::last_version);
                if reached.version < due.max(read.version.min(scanned.last_version())) {
                    late.insert(scanned.stream.clone());
                }
                if reached.version < scanned.last_version() {
                    behind.push(scanned);
                }
            }
            if projection.is_read_model() {
                let parked = self
                    .fill(
                        projection,
                        *number,
                        behind.iter().map(|scanned| scanned.notified()).collect(),
                    )
                    .await?;
                tally.parked += count(parked.len() + diverged.streams.len());
                tally.behind += count(late.difference(&parked).count());
            } else {
                let in_hand = behind
                    .iter()
                    .copied()
                    .filter(|scanned| !late.contains(&scanned.stream))
                    .collect();
                let left = self.unhandled(projection, *number, in_hand).await?;
                tally.behind += count(late.len() + left);
                to_notify.extend(
                    behind.iter().map(|scanned| (scanned.stream.clone(), scanned.last_version())),
                );
            }
        }
        Ok((tally, to_notify))
    }

    /// Waits a moment; returns how many streams the process has not handled to their scanned end.
    async fn unhandled(
        &self,
        projection: &Projection,
        generation: u32,
        mut behind: Vec<&ScannedStream>,
    ) -> Result<usize, TableError> {
        let (limit, mut attempt) = (TimeLimit::after(HANDLING_TIME), 0);
        loop {
            let reached = self.positions(projection, generation, behind.iter().copied()).await?;
            let compared = behind.into_iter().zip(reached);
            let left =
                compared.filter(|(scanned, reached)| reached.version < scanned.last_readable());
            behind = left.map(|(scanned, _)| scanned).collect();
            if behind.is_empty() || limit.is_over() {
                return Ok(behind.len());
            }
            pause(attempt).await;
            attempt += 1;
        }
    }

    /// The position of each stream in a generation. The audit index only knows whether a commit is
    /// entered. There the position is that of the last scanned commit, else of the last that was
    /// due, else the beginning.
    async fn reached(
        &self,
        projection: &Projection,
        generation: u32,
        since: DateTime<Utc>,
        scanned: &[ScannedStream],
    ) -> Result<Vec<Position>, RebuildError> {
        if matches!(projection.kind, Kind::CommitIndex) {
            let asked = scanned.iter().map(|scanned| [scanned.due(since), scanned.commits.last()]);
            let asked = asked
                .zip(scanned)
                .flat_map(|(commits, scanned)| commits.map(|commit| (commit, scanned)));
            let asked: Vec<(StreamId, Commit)> = asked
                .filter_map(|(commit, scanned)| Some((scanned.stream.clone(), commit?.clone())))
                .collect();
            let entered = self.audit_index.entered(generation, &asked).await?;
            let mut reached: HashMap<&StreamId, Position> = HashMap::new();
            for ((stream, commit), _) in
                asked.iter().zip(entered).filter(|(_, entry)| *entry == EntryMatch::Same)
            {
                let at = Position::in_commit(commit, commit.last_version());
                reached.entry(stream).and_modify(|known| *known = known.later(at)).or_insert(at);
            }
            let at = |scanned: &ScannedStream| reached.get(&scanned.stream).copied();
            return Ok(scanned
                .iter()
                .map(|scanned| at(scanned).unwrap_or_else(|| Position::beginning(&scanned.stream)))
                .collect());
        }
        if matches!(projection.kind, Kind::Journal) {
            return self.journaled(generation, scanned).await;
        }
        Ok(self.positions(projection, generation, scanned.iter()).await?)
    }

    /// How far each stream is in the journal.
    async fn journaled(
        &self,
        generation: u32,
        scanned: &[ScannedStream],
    ) -> Result<Vec<Position>, RebuildError> {
        let streams: Vec<(StreamId, &[Commit])> =
            scanned.iter().map(|scanned| (scanned.stream.clone(), &*scanned.commits)).collect();
        let positions = self.journal_append(generation).positions(&streams).await;
        let positions =
            positions.map_err(|(stream, source)| RebuildError::Project { stream, source })?;
        let at = |scanned: &ScannedStream| positions.get(&scanned.stream).copied();
        Ok(scanned
            .iter()
            .map(|scanned| at(scanned).unwrap_or_else(|| Position::beginning(&scanned.stream)))
            .collect())
    }

    /// The position that each stream has in its row.
    async fn positions<'a>(
        &self,
        projection: &Projection,
        generation: u32,
        scanned: impl Iterator<Item = &'a ScannedStream> + Clone,
    ) -> Result<Vec<Position>, TableError> {
        let generation = projection.generation(generation);
        let key = |scanned: &ScannedStream| {
            projection.position_name_of(&scanned.stream).map(|name| generation.key(&name))
        };
        let keys: Vec<String> = scanned.clone().filter_map(key).collect();
        let positions = self.read_models.positions(&keys).await?;
        let at = |scanned: &ScannedStream| positions.get(&key(scanned)?).copied();
        Ok(scanned
            .map(|scanned| at(scanned).unwrap_or_else(|| Position::beginning(&scanned.stream)))
            .collect())
    }
}
