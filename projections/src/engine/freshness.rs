//! Fresh reads (`at_least`): commits that the row lacks are folded in memory.

use crate::definition::projection::{Kind, Projection};
use crate::engine::project_error::ProjectError;
use crate::engine::projector::Projector;
use crate::engine::single_stream::{Folded, fold_row};
use crate::stream_read::sound_page;
use crate::tables::position::stream_of_position;
use crate::tables::row::Row;
use crate::tables::table::TableError;
use eventstore::StreamId;

/// The most events that are read at once for a fresh row.
const PAGE_EVENTS: u32 = 500;

/// Why a fresh row could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FreshError {
    /// The requested version does not exist yet.
    #[error("the stream is at version {head}, not yet at {at_least}")]
    Beyond {
        /// The requested version.
        at_least: u64,
        /// The version of the stream.
        head: u64,
    },
    /// The store or the table failed, or an event cannot be applied.
    #[error(transparent)]
    Project(#[from] ProjectError),
}

impl Projector {
    /// A row of a multi-stream projection, eventually consistent.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn row_of_many(
        &self,
        projection: &Projection,
        key: &str,
    ) -> Result<Option<Row>, TableError> {
        // Rows with positions are not rows of the read model.
        if stream_of_position(key).is_some() {
            return Ok(None);
        }
        let generation = self.active(projection).await?;
        let row = self.read_models.get(generation.key(key), false).await?;
        Ok(row.filter(|row| row.data().is_some()))
    }

    /// A single-stream projection's row, at least as fresh as version `at_least` of its stream.
    /// Writes nothing.
    ///
    /// A row of another shape, or one that is not part of the stream, is not used: the row is then
    /// folded from the stream's beginning.
    ///
    /// # Errors
    /// [`FreshError`].
    pub async fn row(
        &self,
        projection: &Projection,
        stream: &StreamId,
        at_least: u64,
    ) -> Result<Option<Row>, FreshError> {
        let generations = self.registry.recent(projection).await.map_err(ProjectError::from)?;
        let generation = projection.generation(generations.active);
        let row = self.read_models.get(generation.key(stream.as_str()), false).await;
        let mut row = row.map_err(ProjectError::from)?;
        let Kind::SingleStream { fold } = projection.kind else { return Ok(row) };
        let context = self.context(projection, generation);
        let mut at_least = at_least;
        if !generations.fits(projection, generations.active) {
            at_least = row.take().map_or(0, |row| row.version).max(at_least);
        }
        loop {
            let applied = row.as_ref().map_or(0, |row| row.version);
            if applied >= at_least {
                return Ok(row.filter(|row| row.data().is_some()));
            }
            let page = sound_page(&self.store, stream, applied + 1, PAGE_EVENTS).await;
            let page = page.map_err(ProjectError::from)?;
            if page.commits.is_empty() {
                return Err(FreshError::Beyond { at_least, head: applied });
            }
            let usable = |row: &Row| row.position().is_ok_and(|at| at.linked(&page.commits) > 0);
            if row.take_if(|row| !usable(row)).is_some() {
                continue;
            }
            let Folded { row: next, failed } =
                fold_row(context, fold, stream, row.as_ref(), &page.commits);
            match (next, failed) {
                (Some(next), _) if next.version >= at_least => {
                    return Ok(Some(next).filter(|row| row.data().is_some()));
                }
                (_, Some(error)) => return Err(error.into()),
                (next, None) => row = next.or(row),
            }
        }
    }
}
