//! Rows that come from one stream each: row and position change in one conditional write.

use crate::definition::fold_context::FoldContext;
use crate::definition::projection::Fold;
use crate::engine::gap::{confirm, missing_commits};
use crate::engine::notification::{NotifiedStream, recorded_events};
use crate::engine::project_error::{MAX_ATTEMPTS, ProjectError};
use crate::stream_read::TimeLimit;
use crate::tables::read_models::{ConditionalWrite, ReadModels, Written};
use crate::tables::row::{Row, RowData};
use crate::tables::table::{TableError, pause};
use eventstore::{Commit, EventStore, StreamId};
use serde_json::Value;

/// A single-stream projection into one generation.
#[derive(Clone, Copy)]
pub(crate) struct SingleStream<'a> {
    pub(crate) store: &'a EventStore,
    pub(crate) read_models: &'a ReadModels,
    pub(crate) context: FoldContext<'a>,
    pub(crate) fold: RowFold,
}

type RowFold = &'static Fold<RowData>;

impl SingleStream<'_> {
    /// The key of the stream's row.
    pub(crate) fn key(&self, stream: &StreamId) -> String {
        self.context.generation.key(stream.as_str())
    }

    /// Applies the stream's commits up to the notified version. `prefetched` is the row, if it was
    /// read.
    pub(crate) async fn project(
        &self,
        notified: &NotifiedStream,
        prefetched: Option<Option<Row>>,
        limit: TimeLimit,
    ) -> Result<(), ProjectError> {
        let stream = &notified.stream;
        // A stream that begins with this notification probably has no row: none is read before the
        // write.
        let mut unread = notified.begins_the_stream();
        let mut row = match prefetched {
            _ if unread => None,
            Some(row) => row,
            None => self.read(stream).await?,
        };
        let (mut conflicts, mut written) = (0, false);
        while conflicts < MAX_ATTEMPTS {
            let at = Row::position_in(row.as_ref(), stream).map_err(TableError::from)?;
            if at.version >= notified.version {
                return confirm(self.store, notified, at).await;
            }
            if written && limit.is_over() {
                return Err(ProjectError::OutOfTime { reached: at.version });
            }
            let commits = missing_commits(self.store, notified, at, limit).await?;
            let Folded { row: next, failed } =
                fold_row(self.context, self.fold, stream, row.as_ref(), &commits);
            if let Some(next) = next {
                let write = ConditionalWrite { expected: row.map(|row| row.version), row: next };
                match self.read_models.put(&write).await? {
                    Written::Yes => (row, written) = (Some(write.row), true),
                    Written::Conflict(theirs) => {
                        // Folds again onto the other projector's row; an event may succeed now.
                        row = match theirs {
                            Some(theirs) => Some(*theirs),
                            None => {
                                pause(conflicts).await;
                                self.read(stream).await?
                            }
                        };
                        conflicts += 1;
                        continue;
                    }
                }
            }
            match failed {
                // A newer program may have applied the event.
                Some(_) if unread && row.is_none() => {
                    (row, unread) = (self.read(stream).await?, false)
                }
                Some(error) => return Err(error),
                None => {}
            }
        }
        Err(ProjectError::Contention)
    }

    async fn read(&self, stream: &StreamId) -> Result<Option<Row>, TableError> {
        self.read_models.get(self.key(stream), true).await
    }
}

/// A row folded as far as it goes.
pub(crate) struct Folded {
    /// The row to write; none when no event could be applied.
    pub(crate) row: Option<Row>,
    /// The event that could not be applied.
    pub(crate) failed: Option<ProjectError>,
}

/// Folds the commits after the row's position into it, up to the first event that fails.
pub(crate) fn fold_row(
    context: FoldContext<'_>,
    fold: RowFold,
    stream: &StreamId,
    row: Option<&Row>,
    commits: &[Commit],
) -> Folded {
    let applied = row.map_or(0, |row| row.version);
    let mut content = row.map_or(RowData { data: Value::Null, listing: None }, |row| {
        row.content_in(context.generation)
    });
    let (mut reached, mut failed) = (None, None);
    for (position, event) in
        recorded_events(stream, commits).filter(|(position, _)| position.version > applied)
    {
        let data = Some(&content.data).filter(|data| !data.is_null());
        match context.apply(&event, |event| fold(data, event)) {
            Ok(folded) => (content, reached) = (folded.unwrap_or(content), Some(position)),
            Err(source) => {
                failed = Some(ProjectError::Fold { version: position.version, source });
                break;
            }
        }
    }
    let moved =
        reached.map(|position| Row::at(context.generation, stream.as_str(), position, content));
    Folded { row: moved, failed }
}
