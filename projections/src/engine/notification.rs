//! Notifications: messages that a stream has new commits.

use crate::definition::consumer::Follows;
use crate::definition::projection::RecordedEvent;
use crate::tables::position::Position;
use eventstore::{Batch, Commit, StreamId};
use std::collections::BTreeMap;

/// A stream has new commits.
#[derive(Debug, Clone)]
pub struct Notification {
    /// The stream.
    pub stream: StreamId,
    /// The version that it has reached, at least.
    pub version: u64,
    /// The commits, if they fitted into the message.
    pub batch: Option<Batch>,
}

/// A stream with the commits of all its notifications.
#[derive(Debug, Clone)]
pub(crate) struct NotifiedStream {
    pub(crate) stream: StreamId,
    pub(crate) version: u64,
    pub(crate) commits: Vec<Commit>,
}

impl NotifiedStream {
    /// Whether the commits begin with the stream's first, so that there is probably no row yet.
    pub(crate) fn begins_the_stream(&self) -> bool {
        self.commits.first().is_some_and(|commit| commit.version == 1)
    }

    /// The notified commits right after the version, up to the first gap.
    pub(crate) fn commits_after(&self, version: u64) -> Vec<Commit> {
        let mut next = version + 1;
        let unapplied = self.commits.iter().filter(|commit| commit.last_version() > version);
        let without_gap = unapplied.take_while(|commit| {
            let fits = commit.version <= next;
            next = commit.last_version() + 1;
            fits
        });
        without_gap.cloned().collect()
    }
}

/// The events of the commits, each with its position.
pub(crate) fn recorded_events<'a>(
    stream: &'a StreamId,
    commits: &'a [Commit],
) -> impl Iterator<Item = (Position, RecordedEvent<'a>)> {
    commits.iter().flat_map(move |commit| {
        let recorded_at = commit.recorded_at;
        commit.events.iter().map(move |event| {
            let recorded = RecordedEvent { stream, recorded_at, event: &event.body };
            (Position::in_commit(commit, event.version), recorded)
        })
    })
}

/// Joins the notifications of each followed stream, its commits in order. Drops other streams.
pub(crate) fn join(notifications: Vec<Notification>, follows: Follows) -> Vec<NotifiedStream> {
    let mut joined: BTreeMap<StreamId, NotifiedStream> = BTreeMap::new();
    let followed =
        notifications.into_iter().filter(|notification| follows.includes(&notification.stream));
    for Notification { stream, version, batch } in followed {
        let entry = joined.entry(stream.clone()).or_insert_with(|| NotifiedStream {
            stream,
            version: 0,
            commits: Vec::new(),
        });
        entry.version = entry.version.max(version);
        entry.commits.extend(batch.map(|batch| batch.commits).unwrap_or_default());
    }
    let mut joined: Vec<NotifiedStream> = joined.into_values().collect();
    for notified in &mut joined {
        notified.commits.sort_by_key(|commit| commit.version);
        notified.commits.dedup_by_key(|commit| commit.version);
    }
    joined
}
