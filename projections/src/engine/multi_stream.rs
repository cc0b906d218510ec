//! Rows that come from many streams: one transaction writes the changed rows and the streams' positions.

use crate::definition::fold_context::FoldContext;
use crate::definition::projection::{Change, Fold, Merge, MultiStreamDelta};
use crate::stream_read::TimeLimit;
use crate::engine::notification::{NotifiedStream, facts};
use crate::tables::position::Position;
use crate::engine::project_error::ProjectError;
use crate::engine::projector::{MAX_ATTEMPTS, Projector};
use crate::engine::single_stream::reached;
use crate::tables::read_models::{ConditionalWrite, Written};
use crate::tables::row::{Row, RowData, UnreadableRow};
use crate::tables::table::{MAX_ITEMS, TableError, pause};
use eventstore::StreamId;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A multi-stream projection's functions.
#[derive(Clone, Copy)]
pub(crate) struct Folds<'a> {
    pub(crate) context: FoldContext<'a>,
    pub(crate) fold: &'static Fold<MultiStreamDelta>,
    pub(crate) merge: &'static Merge,
}

/// The changes by one stream's commits.
struct StreamWork {
    position: ConditionalWrite,
    changes: Vec<Change>,
    /// The event after the new position, if it failed.
    failed: Option<ProjectError>,
}

impl StreamWork {
    /// Whether the stream's first event failed.
    fn applies_nothing(&self) -> bool {
        self.failed.is_some() && self.position.row.version == 0
    }
}

/// The result of one pass.
#[derive(Default)]
struct Round {
    /// The streams that are not projected whole yet, each with its position.
    left: Vec<(NotifiedStream, u64)>,
    failures: Failures,
    /// Whether a write conflicted with another projector.
    lost: bool,
}

type Failures = Vec<(StreamId, ProjectError)>;

impl Folds<'_> {
    /// Projects every stream up to its notified version, in transactions that fit. Each round takes a page
    /// of each stream, so that a long gap of one stream holds up no other.
    pub(crate) async fn project(
        &self,
        projector: &Projector,
        mut news: Vec<NotifiedStream>,
        limit: TimeLimit,
    ) -> Failures {
        let mut failures = Failures::new();
        let (mut trusting, mut losses) = (true, 0);
        while losses < MAX_ATTEMPTS {
            let round = match self.round(projector, &news, trusting, limit).await {
                Ok(round) => round,
                Err(TableError::Unreadable(_)) if news.len() > 1 => {
                    failures.extend(self.each_alone(projector, news, limit).await);
                    return failures;
                }
                Err(error) => return spread(&error, news, failures),
            };
            failures.extend(round.failures);
            // A round that finished a stream is progress, not a lost attempt.
            losses = if round.left.len() < news.len() { 0 } else { losses };
            if !trusting && !round.lost && limit.is_over() {
                let out_of_time =
                    |(news, reached): (NotifiedStream, u64)| (news.stream, ProjectError::OutOfTime { reached });
                failures.extend(round.left.into_iter().map(out_of_time));
                return failures;
            }
            news = round.left.into_iter().map(|(news, _)| news).collect();
            if news.is_empty() {
                return failures;
            }
            trusting = false;
            if round.lost {
                pause(losses).await;
                losses += 1;
            }
        }
        failures.extend(news.into_iter().map(|news| (news.stream, ProjectError::Contention)));
        failures
    }

    /// One stream at a time: an unreadable row fails only the streams that need it.
    async fn each_alone(&self, projector: &Projector, news: Vec<NotifiedStream>, limit: TimeLimit) -> Failures {
        let mut failures = Failures::new();
        for news in news {
            failures.extend(Box::pin(self.project(projector, vec![news], limit)).await);
        }
        failures
    }

    async fn round(
        &self,
        projector: &Projector,
        news: &[NotifiedStream],
        trusting: bool,
        limit: TimeLimit,
    ) -> Result<Round, TableError> {
        let positions = self.positions(projector, news, trusting).await?;
        let (mut round, mut work) = (Round::default(), Vec::new());
        for news in news {
            let position = positions.get(&self.position_key(&news.stream));
            let at = reached(position, &news.stream)?;
            if at.version >= news.version {
                let confirmed = projector.confirm(news, at).await;
                round.failures.extend(confirmed.err().map(|error| (news.stream.clone(), error)));
                continue;
            }
            match self.fold_stream(projector, news, position, at, limit).await {
                // A newer program may have applied the first event: the position was not read yet.
                Ok(stream_work) if trusting && stream_work.applies_nothing() => round.left.push((news.clone(), 0)),
                Ok(stream_work) => work.push((news, stream_work)),
                Err(error) => round.failures.push((news.stream.clone(), error)),
            }
        }
        for group in fitting(work) {
            let written = self.write(projector, &group).await?;
            round.note(written, group);
        }
        Ok(round)
    }

    fn position_key(&self, stream: &StreamId) -> String {
        self.context.generation.key(&position_name(stream))
    }

    /// The positions. A stream that has just begun probably has none: if it has, the write conflicts and
    /// the next round reads it.
    async fn positions(
        &self,
        projector: &Projector,
        news: &[NotifiedStream],
        trusting: bool,
    ) -> Result<HashMap<String, Row>, TableError> {
        let unknown = news.iter().filter(|news| !(trusting && news.begins_the_stream()));
        let keys: Vec<String> = unknown.map(|news| self.position_key(&news.stream)).collect();
        projector.read_models.get_all(&keys).await
    }

    /// Folds the commits after the position, up to the first event that fails.
    async fn fold_stream(
        &self,
        projector: &Projector,
        news: &NotifiedStream,
        position: Option<&Row>,
        at: Position,
        limit: TimeLimit,
    ) -> Result<StreamWork, ProjectError> {
        let commits = projector.missing(news, at, limit).await?;
        let mut memory = position.and_then(Row::data).cloned();
        let (mut changes, mut last, mut failed) = (Vec::new(), at, None);
        for (position, fact) in facts(&news.stream, &commits).filter(|(position, _)| position.version > at.version) {
            match self.context.apply(&fact, |fact| (self.fold)(memory.as_ref(), fact)) {
                Ok(Some(effect)) => {
                    changes.extend(effect.changes);
                    (memory, last) = (Some(effect.memory), position);
                }
                Ok(None) => last = position,
                Err(source) => {
                    failed = Some(ProjectError::Fold { version: position.version, source });
                    break;
                }
            }
        }
        let content = RowData { data: memory.unwrap_or_default(), listing: None };
        let row = Row::at(self.context.generation, &position_name(&news.stream), last, content);
        let position = ConditionalWrite { row, expected: position.map(|position| position.version) };
        Ok(StreamWork { position, changes, failed })
    }

    /// Writes changed rows and positions together.
    async fn write(
        &self,
        projector: &Projector,
        group: &[(&NotifiedStream, StreamWork)],
    ) -> Result<Written, TableError> {
        let generation = self.context.generation;
        let mut changes: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
        for change in group.iter().flat_map(|(_, work)| &work.changes) {
            changes.entry(&change.row).or_default().push(change);
        }
        let keys: Vec<String> = changes.keys().map(|name| generation.key(name)).collect();
        let rows = projector.read_models.get_all(&keys).await?;
        let moved = group
            .iter()
            .map(|(_, work)| &work.position)
            .filter(|position| Some(position.row.version) != position.expected);
        let mut writes: Vec<ConditionalWrite> = moved.filter(|position| position.row.version > 0).cloned().collect();
        for (name, changes) in changes {
            let standing = rows.get(&generation.key(name));
            let row = self.merge_all(name, standing, &changes)?;
            writes.push(ConditionalWrite { expected: standing.map(|row| row.version), row });
        }
        if writes.is_empty() { Ok(Written::Yes) } else { projector.read_models.put_all(&writes).await }
    }

    fn merge_all(&self, name: &str, row: Option<&Row>, changes: &[&Change]) -> Result<Row, UnreadableRow> {
        let generation = self.context.generation;
        let mut content = row.map(|row| row.content.clone());
        for change in changes {
            let merged = (self.merge)(content.as_ref().map(|content| &content.data), change);
            let unreadable = |error| UnreadableRow { key: generation.key(name), source: Some(Arc::new(error)) };
            content = Some(merged.map_err(unreadable)?);
        }
        let content = content.unwrap_or(RowData { data: Value::Null, listing: None });
        Ok(Row::of(generation, name, row.map_or(0, |row| row.version) + 1, content))
    }
}

/// The prefix of the names of position rows. It is stored: it stays.
const POSITION_PREFIX: &str = "fence/";

/// The name of the row with a stream's position.
pub(crate) fn position_name(stream: &StreamId) -> String {
    format!("{POSITION_PREFIX}{stream}")
}

/// The stream of a position row, by the row's name.
pub(crate) fn stream_of_position(name: &str) -> Option<&str> {
    name.strip_prefix(POSITION_PREFIX)
}

impl Round {
    /// Adds the result of a group. After a conflict all of it is folded again, failures too.
    fn note(&mut self, written: Written, group: Vec<(&NotifiedStream, StreamWork)>) {
        let lost = matches!(written, Written::Lost(_));
        self.lost |= lost;
        for (news, work) in group {
            match work.failed {
                Some(error) if !lost => self.failures.push((news.stream.clone(), error)),
                _ if lost => self.left.push((news.clone(), work.position.expected.unwrap_or(0))),
                _ if work.position.row.version < news.version => {
                    self.left.push((news.clone(), work.position.row.version))
                }
                _ => {}
            }
        }
    }
}

/// Groups that fit into a transaction: one position for each stream, one row for each changed key.
fn fitting(work: Vec<(&NotifiedStream, StreamWork)>) -> Vec<Vec<(&NotifiedStream, StreamWork)>> {
    let mut groups: Vec<Vec<(&NotifiedStream, StreamWork)>> = Vec::new();
    let mut rows: BTreeSet<String> = BTreeSet::new();
    for entry in work {
        let changed: BTreeSet<String> = entry.1.changes.iter().map(|change| change.row.clone()).collect();
        let positions = groups.last().map_or(MAX_ITEMS, Vec::len);
        if positions + 1 + rows.union(&changed).count() > MAX_ITEMS {
            groups.push(Vec::new());
            rows.clear();
        }
        rows.extend(changed);
        if let Some(group) = groups.last_mut() {
            group.push(entry);
        }
    }
    groups
}

/// The table failed: so does every stream that is not done.
fn spread(error: &TableError, news: Vec<NotifiedStream>, mut failures: Failures) -> Failures {
    let known: Vec<StreamId> = failures.iter().map(|(stream, _)| stream.clone()).collect();
    let left = news.into_iter().map(|news| news.stream).filter(|stream| !known.contains(stream));
    failures.extend(left.map(|stream| (stream, error.clone().into())));
    failures
}
