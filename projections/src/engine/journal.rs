//! Appends notified commits to the journal, and those before them that it lacks.

use crate::engine::gap::{check_position, missing_commits};
use crate::engine::notification::NotifiedStream;
use crate::engine::project_error::{MAX_ATTEMPTS, ProjectError};
use crate::journal::{Journal, JournalWriter, PutOutcome, StreamEnd};
use crate::stream_read::TimeLimit;
use crate::tables::position::Position;
use crate::tables::table::{TableError, pause};
use eventstore::{Commit, Direction, EventStore, MAX_VERSION, StreamId};
use futures::StreamExt;
use std::collections::HashMap;

/// How many streams are compared with the store at once.
const CONCURRENT_STREAMS: usize = 10;

/// Streams that could not be journaled.
type Failures = Vec<(StreamId, ProjectError)>;

/// The journal of a generation, and the store that it follows.
pub(crate) struct JournalAppend<'a> {
    pub(crate) journal: &'a Journal,
    pub(crate) store: &'a EventStore,
    pub(crate) generation: u32,
}

/// A stream of this call, and how often it was appended to.
struct Open {
    notified: NotifiedStream,
    appended: bool,
}

impl JournalAppend<'_> {
    /// Appends what the streams lack up to their notified versions. Returns the streams that
    /// failed.
    pub(crate) async fn append(&self, notified: Vec<NotifiedStream>, limit: TimeLimit) -> Failures {
        let mut open: Vec<Open> =
            notified.into_iter().map(|notified| Open { notified, appended: false }).collect();
        let mut failures = Vec::new();
        let mut writer = match self.journal.writer(self.generation).await {
            Ok(writer) => writer,
            Err(error) => return all_failed(&open, &error),
        };
        let mut conflicts = 0;
        loop {
            match self.round(&mut writer, &mut open, &mut failures, limit).await {
                Ok(PutOutcome::Done) if open.is_empty() => {
                    writer.end();
                    return failures;
                }
                Ok(PutOutcome::Done) => {}
                Ok(PutOutcome::Conflict) if conflicts < MAX_ATTEMPTS => {
                    pause(conflicts).await;
                    conflicts += 1;
                }
                Ok(PutOutcome::Conflict) => {
                    writer.end();
                    let failed = open.into_iter().map(|open| open.notified.stream);
                    failures.extend(failed.map(|stream| (stream, ProjectError::Contention)));
                    return failures;
                }
                // The writer is dropped: another one reads where the journal ends.
                Err(error) => {
                    failures.extend(all_failed(&open, &error));
                    return failures;
                }
            }
        }
    }

    /// Appends the next commits of each open stream. Keeps the streams that may lack more.
    async fn round(
        &self,
        writer: &mut JournalWriter<'_>,
        open: &mut Vec<Open>,
        failures: &mut Failures,
        limit: TimeLimit,
    ) -> Result<PutOutcome, TableError> {
        let streams: Vec<StreamId> = open.iter().map(|open| open.notified.stream.clone()).collect();
        let ends = writer.ends(&streams).await?;
        let work = std::mem::take(open).into_iter().map(|open| {
            let end = ends.get(&open.notified.stream).copied();
            async move { (self.lacking(&open, end, limit).await, open) }
        });
        // In the order of the streams, so that the same messages give the same journal.
        let lacking: Vec<_> =
            futures::stream::iter(work).buffered(CONCURRENT_STREAMS).collect().await;
        let mut commits = Vec::new();
        for (lacking, mut still) in lacking {
            match lacking {
                Ok(lacking) if lacking.is_empty() => {}
                Ok(lacking) => {
                    let stream = &still.notified.stream;
                    commits.extend(lacking.into_iter().map(|commit| (stream.clone(), commit)));
                    still.appended = true;
                    open.push(still);
                }
                Err(error) => failures.push((still.notified.stream, error)),
            }
        }
        writer.put(&commits, ends).await
    }

    /// The next commits of a stream that the journal lacks; none if it has all.
    async fn lacking(
        &self,
        Open { notified, appended }: &Open,
        end: Option<StreamEnd>,
        limit: TimeLimit,
    ) -> Result<Vec<Commit>, ProjectError> {
        let stream = &notified.stream;
        let mut at = end.map_or_else(|| Position::beginning(stream), |end| end.reached);
        let last = notified.commits.last().map(Commit::last_version);
        let is_end = last == Some(at.version) && !at.is_contradicted(&notified.commits);
        let is_behind = at.version < notified.version;
        if !is_behind && (is_end || *appended) {
            return Ok(Vec::new());
        }
        if *appended && limit.is_over() {
            return Err(ProjectError::OutOfTime { reached: at.version });
        }
        if is_behind {
            match missing_commits(self.store, notified, at, limit).await {
                Err(ProjectError::Diverged { .. }) => {}
                found => return found,
            }
        }
        // An old message, or one of a restored store: only the store knows.
        match end {
            Some(end) => at = self.shared(stream, end).await?,
            None => return Ok(Vec::new()),
        }
        if at.version >= notified.version {
            return Ok(Vec::new());
        }
        missing_commits(self.store, notified, at, limit).await
    }

    /// The last position that the journal shares with the stream: that of the stream's end in the
    /// journal, unless the store was restored to an earlier time.
    pub(crate) async fn shared(
        &self,
        stream: &StreamId,
        end: StreamEnd,
    ) -> Result<Position, ProjectError> {
        let (mut at, mut position, mut store_end) = (end.reached, end.position, u64::MAX);
        loop {
            if at.version <= store_end {
                match check_position(self.store, stream, at).await {
                    Err(ProjectError::Diverged { .. }) => {}
                    checked => return checked.map(|()| at),
                }
            }
            if store_end == u64::MAX {
                let page = self.store.read(stream, MAX_VERSION, Direction::Backwards, 1).await?;
                store_end = page.commits.first().map_or(0, Commit::last_version);
            }
            let entry = self.journal.entry(self.generation, position).await?;
            let Some(previous) = entry.and_then(|entry| entry.previous) else {
                return Ok(Position::beginning(stream));
            };
            let Some(entry) = self.journal.entry(self.generation, previous).await? else {
                return Ok(Position::beginning(stream));
            };
            at = Position { version: entry.last_version, hash: entry.hash };
            position = previous;
        }
    }

    /// How far each stream is journaled, as far as the store still has the same commits.
    pub(crate) async fn positions(
        &self,
        streams: &[(StreamId, &[Commit])],
    ) -> Result<HashMap<StreamId, Position>, (StreamId, ProjectError)> {
        let names: Vec<StreamId> = streams.iter().map(|(stream, _)| stream.clone()).collect();
        let Some(first) = names.first().cloned() else { return Ok(HashMap::new()) };
        let ends = self.journal.stored_ends(self.generation, &names).await;
        let ends = ends.map_err(|error| (first, error.into()))?;
        let mut positions = HashMap::new();
        for (stream, commits) in streams {
            let Some(end) = ends.get(stream).copied() else { continue };
            let last = commits.last().map_or(0, Commit::last_version);
            let is_sure = end.reached.version <= last && !end.reached.is_contradicted(commits);
            let at = if is_sure { Ok(end.reached) } else { self.shared(stream, end).await };
            let at = at.map_err(|error| (stream.clone(), error))?;
            positions.insert(stream.clone(), at);
        }
        Ok(positions)
    }
}

fn all_failed(open: &[Open], error: &TableError) -> Failures {
    let failed = |open: &Open| (open.notified.stream.clone(), error.clone().into());
    open.iter().map(failed).collect()
}
