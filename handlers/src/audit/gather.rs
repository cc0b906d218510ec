//! The commits behind what the index found, read from their streams: the index only finds.

use super::{AuditError, OpenTrail};
use eventstore::{Commit, Direction, EventStore, ReadError, StreamId};
use futures::{StreamExt, TryStreamExt};
use projections::audit::Found;
use std::collections::HashMap;

/// How many parts of streams are read at once.
const CONCURRENT_READS: usize = 10;
/// The most events of a part.
const PART_EVENTS: u64 = 500;

/// A part of a stream: from the first event of a commit to the last event of another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part<'a> {
    stream: &'a StreamId,
    first: u64,
    last: u64,
}

impl OpenTrail {
    /// The commits that were found, in the same order.
    ///
    /// # Errors
    /// [`AuditError::Gone`] for a commit that is no longer in its stream.
    pub(super) async fn gather(&self, found: &[Found]) -> Result<Vec<(StreamId, Commit)>, AuditError> {
        let parts = parts(found);
        let reads = parts.iter().map(|part| read(&self.store, part));
        let read: Vec<Vec<((&StreamId, u64), Commit)>> =
            futures::stream::iter(reads).buffer_unordered(CONCURRENT_READS).try_collect().await?;
        let mut commits: HashMap<(&StreamId, u64), Commit> = read.into_iter().flatten().collect();
        let in_order = found.iter().map(|Found { stream, version, .. }| {
            let commit = commits.remove(&(stream, *version));
            let commit = commit.ok_or_else(|| AuditError::Gone { stream: stream.clone(), version: *version })?;
            Ok((stream.clone(), commit))
        });
        in_order.collect()
    }
}

/// What was found, as few parts: commits of a stream that follow each other are read together.
fn parts(found: &[Found]) -> Vec<Part<'_>> {
    let mut spans: Vec<_> = found.iter().map(|found| (&found.stream, found.version, found.last_version)).collect();
    spans.sort();
    let mut parts: Vec<Part<'_>> = Vec::new();
    for (stream, first, last) in spans {
        match parts.last_mut() {
            Some(part) if part.stream == stream && part.last + 1 == first && last - part.first < PART_EVENTS => {
                part.last = last;
            }
            _ => parts.push(Part { stream, first, last }),
        }
    }
    parts
}

/// Reads backwards: then the commit with the last event is met by one request, wherever it begins.
async fn read<'a>(store: &EventStore, part: &Part<'a>) -> Result<Vec<((&'a StreamId, u64), Commit)>, ReadError> {
    let (mut commits, mut next) = (Vec::new(), Some(part.last));
    while let Some(from) = next.filter(|from| *from >= part.first) {
        let missing = u32::try_from(from - part.first + 1).unwrap_or(u32::MAX);
        let page = store.read(part.stream, from, Direction::Backwards, missing).await?;
        let within = page.commits.into_iter().filter(|commit| commit.version >= part.first);
        commits.extend(within.map(|commit| ((part.stream, commit.version), commit)));
        next = page.next;
    }
    Ok(commits)
}
