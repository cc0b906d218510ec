//! Rows that come from one stream each: row and position change in one conditional write.

use crate::stream_read::TimeLimit;
use super::notification::{NotifiedStream, facts};
use crate::tables::position::Position;
use super::project_error::ProjectError;
use super::projector::{MAX_ATTEMPTS, Projector};
use crate::definition::fold_context::FoldContext;
use crate::definition::projection::Fold;
use crate::tables::read_models::{ConditionalWrite, Written};
use crate::tables::row::{Generation, Row, RowData};
use crate::tables::table::{TableError, pause};
use eventstore::{Commit, StreamId};
use serde_json::Value;

impl Projector {
    pub(super) async fn project_row(
        &self,
        context: FoldContext<'_>,
        fold: RowFold,
        news: &NotifiedStream,
        seen: Option<Option<Row>>,
        limit: TimeLimit,
    ) -> Result<(), ProjectError> {
        let generation = context.generation;
        let look = || self.read_models.get(generation.key(news.stream.as_str()), true);
        let mut trusting = news.begins_the_stream();
        let mut row = match seen {
            _ if trusting => None,
            Some(row) => row,
            None => look().await?,
        };
        let (mut losses, mut written) = (0, false);
        while losses < MAX_ATTEMPTS {
            let at = reached(row.as_ref(), &news.stream)?;
            if at.version >= news.version {
                return self.confirm(news, at).await;
            }
            if written && limit.is_over() {
                return Err(ProjectError::OutOfTime { reached: at.version });
            }
            let commits = self.missing(news, at, limit).await?;
            let Folded { row: next, failed } = fold_row(context, fold, &news.stream, row.as_ref(), &commits);
            if let Some(next) = next {
                let write = ConditionalWrite { expected: row.map(|row| row.version), row: next };
                match self.read_models.put(&write).await? {
                    Written::Yes => (row, written) = (Some(write.row), true),
                    Written::Lost(theirs) => {
                        // Folds again onto the other projector's row; an event may succeed now.
                        row = self.winner(generation, news, theirs, losses).await?;
                        losses += 1;
                        continue;
                    }
                }
            }
            match failed {
                // A newer program may have applied it: the row was not read yet.
                Some(_) if trusting && row.is_none() => (row, trusting) = (look().await?, false),
                Some(error) => return Err(error),
                None => {}
            }
        }
        Err(ProjectError::Contention)
    }

    /// The row of the projector that was quicker; read if the failed write did not return it.
    async fn winner(
        &self,
        generation: Generation,
        news: &NotifiedStream,
        theirs: Option<Box<Row>>,
        losses: u32,
    ) -> Result<Option<Row>, TableError> {
        match theirs {
            Some(row) => Ok(Some(*row)),
            None => {
                pause(losses).await;
                self.read_models.get(generation.key(news.stream.as_str()), true).await
            }
        }
    }
}

/// The position that a row has reached.
pub(crate) fn reached(row: Option<&Row>, stream: &StreamId) -> Result<Position, TableError> {
    Ok(row.map_or_else(|| Ok(Position::beginning(stream)), Row::position)?)
}

type RowFold = &'static Fold<RowData>;

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
    let mut content =
        row.map_or(RowData { data: Value::Null, listing: None }, |row| row.content_in(context.generation));
    let (mut reached, mut failed) = (None, None);
    for (position, fact) in facts(stream, commits).filter(|(position, _)| position.version > applied) {
        let data = Some(&content.data).filter(|data| !data.is_null());
        match context.apply(&fact, |fact| fold(data, fact)) {
            Ok(folded) => (content, reached) = (folded.unwrap_or(content), Some(position)),
            Err(source) => {
                failed = Some(ProjectError::Fold { version: position.version, source });
                break;
            }
        }
    }
    let moved = reached.map(|position| Row::at(context.generation, stream.as_str(), position, content));
    Folded { row: moved, failed }
}
