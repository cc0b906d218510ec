//! The commits behind what the index found, read from their streams: the index only finds.

use super::OpenTrail;
use eventstore::{Commit, Damage, Damaged, Direction, EventStore, Fault, ReadError, StreamId};
use futures::{StreamExt, TryStreamExt};
use projections::audit::Found;
use serde::Serialize;
use std::collections::HashMap;
use utoipa::ToSchema;

/// How many parts of streams are read at once.
const CONCURRENT_READS: usize = 10;
/// The most events of a part.
const PART_EVENTS: u64 = 500;

/// A commit that the index knows, and that its stream does not have as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, thiserror::Error)]
#[error("stream {stream} is damaged at version {version}: {reason}")]
pub struct DamagedCommit {
    /// Its stream.
    pub stream: String,
    /// The version of its first event.
    pub version: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// A commit as it stands in its stream, or what is wrong with it.
type Gathered = Result<(StreamId, Commit), DamagedCommit>;

/// The commits of a part by stream and first version, each or what is wrong with it.
type Read = HashMap<(StreamId, u64), Result<Commit, String>>;

/// A part of a stream: commits that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    stream: StreamId,
    first: u64,
    last: u64,
    /// The versions of the first and the last event of each commit.
    commits: Vec<(u64, u64)>,
}

impl OpenTrail {
    /// The commits that were found, in the same order, each or what is wrong with it.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn gather(&self, found: &[Found]) -> Result<Vec<Gathered>, Fault> {
        let store = &self.store;
        // What the futures hold is their own: borrowed parts would keep them from going from thread to thread.
        let reads = parts(found).into_iter().map(|part| read(store.clone(), part));
        let reads = futures::stream::iter(reads).buffer_unordered(CONCURRENT_READS);
        let read: Vec<Read> = reads.try_collect().await?;
        let mut commits: Read = read.into_iter().flatten().collect();
        let in_order = found.iter().map(|found| {
            let (stream, version) = (found.stream.clone(), found.version);
            let commit = commits.remove(&(stream.clone(), version)).unwrap_or_else(|| Err(gone()));
            let commit = commit.and_then(|commit| same(found, commit));
            commit.map(|commit| (stream, commit)).map_err(|reason| DamagedCommit {
                stream: found.stream.to_string(),
                version,
                reason,
            })
        });
        Ok(in_order.collect())
    }
}

/// The commit, if it is the one that was entered: it may have been changed, or another one may stand in its place.
fn same(found: &Found, commit: Commit) -> Result<Commit, String> {
    let differences = found.differences(&Found::of(&found.stream, &commit));
    match differences.as_slice() {
        [] => Ok(commit),
        names => Err(format!("the commit is not the one that the audit index knows: another {}", names.join(", "))),
    }
}

fn gone() -> String {
    "the commit is there no more".to_owned()
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
                part.commits.push((first, last));
            }
            _ => parts.push(Part { stream: stream.clone(), first, last, commits: vec![(first, last)] }),
        }
    }
    parts
}

/// Where something in the part is damaged, its commits are read one by one: the others are shown all the same.
async fn read(store: EventStore, part: Part) -> Result<Read, Fault> {
    match read_together(&store, &part).await {
        Err(ReadError::Damaged(_)) => read_each(&store, &part).await,
        Err(ReadError::Fault(fault)) => Err(fault),
        Ok(read) => Ok(read),
    }
}

/// Reads backwards: then the commit with the last event is met by one request, wherever it begins.
async fn read_together(store: &EventStore, part: &Part) -> Result<Read, ReadError> {
    let Part { stream, first, last, .. } = part;
    let (mut commits, mut next) = (HashMap::new(), Some(*last));
    while let Some(from) = next.filter(|from| from >= first) {
        let missing = u32::try_from(from - first + 1).unwrap_or(u32::MAX);
        let page = store.read(stream, from, Direction::Backwards, missing).await?;
        let within = page.commits.into_iter().filter(|commit| commit.version >= *first);
        commits.extend(within.map(|commit| ((stream.clone(), commit.version), Ok(commit))));
        next = page.next;
    }
    Ok(commits)
}

async fn read_each(store: &EventStore, part: &Part) -> Result<Read, Fault> {
    let mut commits = HashMap::new();
    for (first, last) in &part.commits {
        let commit = match store.read(&part.stream, *last, Direction::Backwards, 1).await {
            Ok(page) => page.commits.into_iter().find(|commit| commit.version == *first).ok_or_else(gone),
            Err(ReadError::Damaged(Damaged { damage: Damage::Hole { .. }, .. })) => Err(gone()),
            Err(ReadError::Damaged(damaged)) => Err(damaged.damage.to_string()),
            Err(ReadError::Fault(fault)) => return Err(fault),
        };
        commits.insert((part.stream.clone(), *first), commit);
    }
    Ok(commits)
}
