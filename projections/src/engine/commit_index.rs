//! Projects commits into the audit index.

use crate::audit_index::AuditIndex;
use crate::engine::notification::NotifiedStream;
use crate::engine::project_error::ProjectError;
use crate::stream_read::TimeLimit;
use crate::tables::row::Generation;
use eventstore::{Commit, Direction, EventStore, ReadError};

/// Enters the notified commits, and those before them that are missing.
pub(crate) async fn enter(
    index: &AuditIndex,
    store: &EventStore,
    generation: Generation,
    notified: &NotifiedStream,
    limit: TimeLimit,
) -> Result<(), ProjectError> {
    let NotifiedStream { stream, version, commits } = notified;
    // The carried commits come first: the end of the stream may be corrupt.
    index.index(store, generation.number, stream, commits, limit).await?;
    if commits.last().is_some_and(|commit| commit.last_version() >= *version) {
        return Ok(());
    }
    let page = match store.read(stream, *version, Direction::Backwards, 1).await {
        Err(ReadError::Corrupt(corrupt)) if corrupt.version > 1 => {
            index.fill_gap(store, generation.number, stream, corrupt.version - 1, limit).await?;
            return Err(ReadError::Corrupt(corrupt).into());
        }
        page => page?,
    };
    let found = page.commits.first().map_or(0, Commit::last_version);
    if found < *version {
        return Err(ProjectError::Missing { notified: *version, found });
    }
    Ok(index.index(store, generation.number, stream, &page.commits, limit).await?)
}
