//! The commits that a consumer lacks: from the notification, or from the store to fill a gap.
//!
//! Also checks that a position is part of its stream.

use crate::engine::notification::NotifiedStream;
use crate::engine::project_error::ProjectError;
use crate::stream_read::{TimeLimit, sound_page};
use crate::tables::position::{Divergence, Position};
use eventstore::{Commit, Direction, EventStore, ReadError, StreamId};

/// The most events that are read at once to fill a gap; the rest follows in the next round.
const GAP_PAGE_EVENTS: u32 = 500;

/// The commits after the position, at least one: from the notification if it has them, else from
/// the store. Each continues the hash chain; the first continues it from the position.
pub(crate) async fn missing_commits(
    store: &EventStore,
    notified: &NotifiedStream,
    at: Position,
    limit: TimeLimit,
) -> Result<Vec<Commit>, ProjectError> {
    let mut carried = notified.commits_after(at.version);
    carried.truncate(at.linked(&carried));
    if !carried.is_empty() {
        return Ok(carried);
    }
    if !limit.fills_gaps() {
        return Err(ProjectError::OutOfTime { reached: at.version });
    }
    let position = at.version;
    tracing::debug!(stream = %notified.stream, position, notified = notified.version, "filling a gap from the store");
    let mut page = sound_page(store, &notified.stream, at.version + 1, GAP_PAGE_EVENTS).await?;
    if page.commits.is_empty() {
        check_position(store, &notified.stream, at).await?;
        return Err(ProjectError::Missing { notified: notified.version, found: at.version });
    }
    page.commits.truncate(at.linked(&page.commits));
    if page.commits.is_empty() {
        return Err(ProjectError::Diverged {
            version: at.version,
            divergence: Divergence::OtherChain,
        });
    }
    Ok(page.commits)
}

/// Checks commits that are applied already. If the notification has another commit at the
/// position, the store decides: the notification may be older than a restored table.
pub(crate) async fn confirm(
    store: &EventStore,
    notified: &NotifiedStream,
    at: Position,
) -> Result<(), ProjectError> {
    if at.is_contradicted(&notified.commits) {
        check_position(store, &notified.stream, at).await
    } else {
        Ok(())
    }
}

/// Fails if the position is not part of the stream.
pub(crate) async fn check_position(
    store: &EventStore,
    stream: &StreamId,
    at: Position,
) -> Result<(), ProjectError> {
    let divergence = divergence(store, stream, at).await?;
    divergence.map_or(Ok(()), |divergence| {
        Err(ProjectError::Diverged { version: at.version, divergence })
    })
}

/// How the position differs from the stream, by one read of the store; none if it is part of it.
pub(crate) async fn divergence(
    store: &EventStore,
    stream: &StreamId,
    at: Position,
) -> Result<Option<Divergence>, ReadError> {
    if at.version == 0 {
        return Ok(None);
    }
    let page = store.read(stream, at.version, Direction::Backwards, 1).await?;
    let Some(commit) = page.commits.first() else { return Ok(Some(Divergence::Ahead { end: 0 })) };
    let end = commit.last_version();
    if end < at.version {
        return Ok(Some(Divergence::Ahead { end }));
    }
    Ok(at.is_contradicted(&page.commits).then_some(Divergence::OtherChain))
}
