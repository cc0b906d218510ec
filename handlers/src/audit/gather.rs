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
struct Part {
    stream: StreamId,
    first: u64,
    last: u64,
}

impl OpenTrail {
    /// The commits that were found, in the same order.
    ///
    /// # Errors
    /// [`AuditError::Gone`] for a commit that is no longer in its stream.
    pub(super) async fn gather(&self, found: &[Found]) -> Result<Vec<(StreamId, Commit)>, AuditError> {
        let store = &self.store;
        // What the futures hold is their own: borrowed parts would keep them from going from thread to thread.
        let reads = parts(found).into_iter().map(|part| read(store.clone(), part));
        let reads = futures::stream::iter(reads).buffer_unordered(CONCURRENT_READS);
        let read: Vec<HashMap<(StreamId, u64), Commit>> = reads.try_collect().await?;
        let mut commits: HashMap<(StreamId, u64), Commit> = read.into_iter().flatten().collect();
        let in_order = found.iter().map(|found| {
            let (key, commit) = commits
                .remove_entry(&(found.stream.clone(), found.version))
                .ok_or_else(|| AuditError::Gone { stream: found.stream.clone(), version: found.version })?;
            Ok((key.0, commit))
        });
        in_order.collect()
    }
}

/// What was found, as few parts: commits of a stream that follow each other are read together.
fn parts(found: &[Found]) -> Vec<Part> {
    let mut spans: Vec<_> = found.iter().map(|found| (&found.stream, found.version, found.last_version)).collect();
    spans.sort();
    let mut parts: Vec<Part> = Vec::new();
    for (stream, first, last) in spans {
        match parts.last_mut() {
            Some(part) if part.stream == *stream && part.last + 1 == first && last - part.first < PART_EVENTS => {
                part.last = last;
            }
            _ => parts.push(Part { stream: stream.clone(), first, last }),
        }
    }
    parts
}

/// Reads backwards: then the commit with the last event is met by one request, wherever it begins.
async fn read(store: EventStore, part: Part) -> Result<HashMap<(StreamId, u64), Commit>, ReadError> {
    let Part { stream, first, last } = part;
    let (mut commits, mut next) = (HashMap::new(), Some(last));
    while let Some(from) = next.filter(|from| *from >= first) {
        let missing = u32::try_from(from - first + 1).unwrap_or(u32::MAX);
        let page = store.read(&stream, from, Direction::Backwards, missing).await?;
        let within = page.commits.into_iter().filter(|commit| commit.version >= first);
        commits.extend(within.map(|commit| ((stream.clone(), commit.version), commit)));
        next = page.next;
    }
    Ok(commits)
}
