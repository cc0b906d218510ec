//! Rows that come from many streams: one transaction writes the changed rows and the streams'
//! positions.

use crate::definition::fold_context::FoldContext;
use crate::definition::projection::{Change, Fold, Merge, MultiStreamDelta};
use crate::engine::gap::{confirm, missing_commits};
use crate::engine::notification::{NotifiedStream, recorded_events};
use crate::engine::project_error::{MAX_ATTEMPTS, ProjectError};
use crate::stream_read::TimeLimit;
use crate::tables::position::{Position, position_name};
use crate::tables::read_models::{ConditionalWrite, ReadModels, Written};
use crate::tables::row::{Row, RowData, UnreadableRow};
use crate::tables::table::{MAX_ITEMS, TableError, pause};
use eventstore::{EventStore, StreamId};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A multi-stream projection into one generation.
#[derive(Clone, Copy)]
pub(crate) struct MultiStream<'a> {
    pub(crate) store: &'a EventStore,
    pub(crate) read_models: &'a ReadModels,
    pub(crate) context: FoldContext<'a>,
    pub(crate) fold: &'static Fold<MultiStreamDelta>,
    pub(crate) merge: &'static Merge,
}

/// What one stream's commits change.
struct StreamChanges {
    position: ConditionalWrite,
    changes: Vec<Change>,
    /// The event after the new position, if it failed.
    failed: Option<ProjectError>,
}

impl StreamChanges {
    /// Whether the stream's first event failed.
    fn applies_nothing(&self) -> bool {
        self.failed.is_some() && self.position.row.version == 0
    }
}

/// The result of one pass over the streams.
#[derive(Default)]
struct PassResult {
    /// The streams that have more commits to apply, each with its position.
    left: Vec<(NotifiedStream, u64)>,
    failures: Failures,
    /// Whether a write conflicted with another projector.
    conflicted: bool,
}

type Failures = Vec<(StreamId, ProjectError)>;

impl MultiStream<'_> {
    /// Projects every stream up to its notified version, in transactions that fit. Each pass takes
    /// a page of each stream, so that a long gap of one stream does not delay the others.
    pub(crate) async fn project(
        &self,
        mut notified: Vec<NotifiedStream>,
        limit: TimeLimit,
    ) -> Failures {
        let mut failures = Failures::new();
        let (mut first, mut conflicts) = (true, 0);
        while conflicts < MAX_ATTEMPTS {
            let pass = match self.pass(&notified, first, limit).await {
                Ok(pass) => pass,
                Err(TableError::Unreadable(_)) if notified.len() > 1 => {
                    failures.extend(self.project_one_by_one(notified, limit).await);
                    return failures;
                }
                Err(error) => return fail_rest(&error, notified, failures),
            };
            failures.extend(pass.failures);
            // A pass that finished a stream is progress, not a failed attempt.
            conflicts = if pass.left.len() < notified.len() { 0 } else { conflicts };
            if !first && !pass.conflicted && limit.is_over() {
                let out_of_time = |(notified, reached): (NotifiedStream, u64)| {
                    (notified.stream, ProjectError::OutOfTime { reached })
                };
                failures.extend(pass.left.into_iter().map(out_of_time));
                return failures;
            }
            notified = pass.left.into_iter().map(|(notified, _)| notified).collect();
            if notified.is_empty() {
                return failures;
            }
            first = false;
            if pass.conflicted {
                pause(conflicts).await;
                conflicts += 1;
            }
        }
        failures.extend(
            notified.into_iter().map(|notified| (notified.stream, ProjectError::Contention)),
        );
        failures
    }

    /// An unreadable row then fails only the streams that need it.
    async fn project_one_by_one(
        &self,
        notified: Vec<NotifiedStream>,
        limit: TimeLimit,
    ) -> Failures {
        let mut failures = Failures::new();
        for notified in notified {
            failures.extend(Box::pin(self.project(vec![notified], limit)).await);
        }
        failures
    }

    async fn pass(
        &self,
        notified: &[NotifiedStream],
        first: bool,
        limit: TimeLimit,
    ) -> Result<PassResult, TableError> {
        let positions = self.positions(notified, first).await?;
        let (mut pass, mut changes) = (PassResult::default(), Vec::new());
        for notified in notified {
            let position = positions.get(&self.position_key(&notified.stream));
            let at = Row::position_in(position, &notified.stream)?;
            if at.version >= notified.version {
                let confirmed = confirm(self.store, notified, at).await;
                pass.failures.extend(confirmed.err().map(|error| (notified.stream.clone(), error)));
                continue;
            }
            match self.fold_stream(notified, position, at, limit).await {
                // A newer program may have applied the first event: the position was not read yet.
                Ok(changed) if first && changed.applies_nothing() => {
                    pass.left.push((notified.clone(), 0))
                }
                Ok(changed) => changes.push((notified, changed)),
                Err(error) => pass.failures.push((notified.stream.clone(), error)),
            }
        }
        for group in group_by_transaction(changes) {
            let written = self.write(&group).await?;
            pass.add(written, group);
        }
        Ok(pass)
    }

    fn position_key(&self, stream: &StreamId) -> String {
        self.context.generation.key(&position_name(stream))
    }

    /// The positions. A stream that begins with the notification probably has none. If it has one,
    /// the write conflicts, and the next pass reads it.
    async fn positions(
        &self,
        notified: &[NotifiedStream],
        first: bool,
    ) -> Result<HashMap<String, Row>, TableError> {
        let likely = notified.iter().filter(|notified| !(first && notified.begins_the_stream()));
        let keys: Vec<String> =
            likely.map(|notified| self.position_key(&notified.stream)).collect();
        self.read_models.get_all(&keys).await
    }

    /// Folds the commits after the position, up to the first event that fails.
    async fn fold_stream(
        &self,
        notified: &NotifiedStream,
        position: Option<&Row>,
        at: Position,
        limit: TimeLimit,
    ) -> Result<StreamChanges, ProjectError> {
        let stream = &notified.stream;
        let commits = missing_commits(self.store, notified, at, limit).await?;
        let mut memory = position.and_then(Row::data).cloned();
        let (mut changes, mut last, mut failed) = (Vec::new(), at, None);
        for (position, event) in
            recorded_events(stream, &commits).filter(|(position, _)| position.version > at.version)
        {
            match self.context.apply(&event, |event| (self.fold)(memory.as_ref(), event)) {
                Ok(Some(delta)) => {
                    changes.extend(delta.changes);
                    (memory, last) = (Some(delta.memory), position);
                }
                Ok(None) => last = position,
                Err(source) => {
                    failed = Some(ProjectError::Fold { version: position.version, source });
                    break;
                }
            }
        }
        let content = RowData { data: memory.unwrap_or_default(), listing: None };
        let row = Row::at(self.context.generation, &position_name(stream), last, content);
        let position =
            ConditionalWrite { row, expected: position.map(|position| position.version) };
        Ok(StreamChanges { position, changes, failed })
    }

    /// Writes changed rows and positions together.
    async fn write(
        &self,
        group: &[(&NotifiedStream, StreamChanges)],
    ) -> Result<Written, TableError> {
        let generation = self.context.generation;
        let mut changes: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
        for change in group.iter().flat_map(|(_, changed)| &changed.changes) {
            changes.entry(&change.row).or_default().push(change);
        }
        let keys: Vec<String> = changes.keys().map(|name| generation.key(name)).collect();
        let rows = self.read_models.get_all(&keys).await?;
        let moved = group
            .iter()
            .map(|(_, changed)| &changed.position)
            .filter(|position| Some(position.row.version) != position.expected);
        let mut writes: Vec<ConditionalWrite> =
            moved.filter(|position| position.row.version > 0).cloned().collect();
        for (name, changes) in changes {
            let stored = rows.get(&generation.key(name));
            let row = self.merge_all(name, stored, &changes)?;
            writes.push(ConditionalWrite { expected: stored.map(|row| row.version), row });
        }
        if writes.is_empty() { Ok(Written::Yes) } else { self.read_models.put_all(&writes).await }
    }

    fn merge_all(
        &self,
        name: &str,
        row: Option<&Row>,
        changes: &[&Change],
    ) -> Result<Row, UnreadableRow> {
        let generation = self.context.generation;
        let mut content = row.map(|row| row.content.clone());
        for change in changes {
            let merged = (self.merge)(content.as_ref().map(|content| &content.data), change);
            let unreadable =
                |error| UnreadableRow { key: generation.key(name), source: Some(Arc::new(error)) };
            content = Some(merged.map_err(unreadable)?);
        }
        let content = content.unwrap_or(RowData { data: Value::Null, listing: None });
        Ok(Row::of(generation, name, row.map_or(0, |row| row.version) + 1, content))
    }
}

impl PassResult {
    /// Adds the result of a group. After a conflict all of it is folded again, failures too.
    fn add(&mut self, written: Written, group: Vec<(&NotifiedStream, StreamChanges)>) {
        let conflicted = matches!(written, Written::Conflict(_));
        self.conflicted |= conflicted;
        for (notified, changed) in group {
            match changed.failed {
                Some(error) if !conflicted => self.failures.push((notified.stream.clone(), error)),
                _ if conflicted => {
                    self.left.push((notified.clone(), changed.position.expected.unwrap_or(0)))
                }
                _ if changed.position.row.version < notified.version => {
                    self.left.push((notified.clone(), changed.position.row.version))
                }
                _ => {}
            }
        }
    }
}

/// Groups that fit into a transaction: one position for each stream, one row for each changed key.
fn group_by_transaction(
    changes: Vec<(&NotifiedStream, StreamChanges)>,
) -> Vec<Vec<(&NotifiedStream, StreamChanges)>> {
    let mut groups: Vec<Vec<(&NotifiedStream, StreamChanges)>> = Vec::new();
    let mut rows: BTreeSet<String> = BTreeSet::new();
    for entry in changes {
        let changed: BTreeSet<String> =
            entry.1.changes.iter().map(|change| change.row.clone()).collect();
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

/// The table failed: so does every stream that has not failed yet.
fn fail_rest(
    error: &TableError,
    notified: Vec<NotifiedStream>,
    mut failures: Failures,
) -> Failures {
    let known: Vec<StreamId> = failures.iter().map(|(stream, _)| stream.clone()).collect();
    let left = notified
        .into_iter()
        .map(|notified| notified.stream)
        .filter(|stream| !known.contains(stream));
    failures.extend(left.map(|stream| (stream, error.clone().into())));
    failures
}
