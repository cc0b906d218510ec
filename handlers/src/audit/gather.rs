//! The commits behind what the index found, read from their streams: the index only finds.

use super::OpenTrail;
use super::chain::follows;
use eventstore::{Commit, CorruptStream, Damage, Direction, EventStore, ReadError, StoreError, StreamId};
use futures::{StreamExt, TryStreamExt};
use projections::audit_index::IndexEntry;
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
type Read = HashMap<(StreamId, u64), Result<Linked, String>>;

/// A commit, and what is wrong with its place in the chain.
#[derive(Debug)]
struct Linked {
    commit: Commit,
    broken: Option<String>,
}

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
    /// [`StoreError`].
    pub(super) async fn gather(&self, found: &[IndexEntry]) -> Result<Vec<Gathered>, StoreError> {
        let store = &self.store;
        // What the futures hold is their own: borrowed parts would keep them from going from thread to thread.
        let reads = parts(found).into_iter().map(|part| read(store.clone(), part));
        let reads = futures::stream::iter(reads).buffer_unordered(CONCURRENT_READS);
        let read: Vec<Read> = reads.try_collect().await?;
        let mut commits: Read = read.into_iter().flatten().collect();
        let in_order = found.iter().map(|found| {
            let (stream, version) = (found.stream.clone(), found.version);
            let commit = commits.remove(&(stream.clone(), version)).unwrap_or_else(|| Err(gone()));
            let commit = commit.and_then(|linked| same(found, linked));
            commit.map(|commit| (stream, commit)).map_err(|reason| DamagedCommit {
                stream: found.stream.to_string(),
                version,
                reason,
            })
        });
        Ok(in_order.collect())
    }
}

/// The commit, if it is the one that was entered: it may have been changed, or another one may stand in its place. What the
/// entry does not tell, the chain does.
fn same(found: &IndexEntry, Linked { commit, broken }: Linked) -> Result<Commit, String> {
    let differences = found.differences(&IndexEntry::of(&found.stream, &commit));
    match differences.as_slice() {
        [] => broken.map_or(Ok(commit), Err),
        names => Err(format!("the commit is not the one that the audit index knows: another {}", names.join(", "))),
    }
}

fn gone() -> String {
    "the commit is there no more".to_owned()
}

/// What was found, as few parts: commits of a stream that follow each other are read together.
fn parts(found: &[IndexEntry]) -> Vec<Part> {
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
async fn read(store: EventStore, part: Part) -> Result<Read, StoreError> {
    match read_together(&store, &part).await {
        Err(ReadError::Corrupt(_)) => read_each(&store, &part).await,
        Err(ReadError::Store(fault)) => Err(fault),
        Ok(read) => Ok(read),
    }
}

/// Reads backwards: then the commit with the last event is met by one request, wherever it begins. One commit more is read,
/// the one before the part: each commit is checked by the one before it.
async fn read_together(store: &EventStore, part: &Part) -> Result<Read, ReadError> {
    let Part { stream, first, last, .. } = part;
    let (mut read, mut next) = (Vec::new(), Some(*last));
    let before = first.saturating_sub(1).max(1);
    while let Some(from) = next.filter(|from| *from >= before) {
        let missing = u32::try_from(from - before + 1).unwrap_or(u32::MAX);
        let page = store.read(stream, from, Direction::Backwards, missing).await?;
        read.extend(page.commits);
        next = page.next;
    }
    let mut commits = HashMap::new();
    for (place, commit) in read.iter().enumerate().filter(|(_, commit)| commit.version >= *first) {
        let linked = linked(stream, commit.clone(), read.get(place + 1));
        commits.insert((stream.clone(), commit.version), Ok(linked));
    }
    Ok(commits)
}

/// The commit, and whether it follows the one before it. Where that is not there, nothing can be said.
fn linked(stream: &StreamId, commit: Commit, before: Option<&Commit>) -> Linked {
    let before = before.filter(|before| before.last_version() + 1 == commit.version);
    let broken = match before {
        None if commit.version > 1 => None,
        before => follows(stream, &commit, before).err(),
    };
    Linked { commit, broken: broken.map(|damaged| damaged.damage.to_string()) }
}

/// The commit before that version, if it can be read.
async fn before(store: &EventStore, part: &Part, version: u64) -> Result<Option<Commit>, StoreError> {
    if version == 1 {
        return Ok(None);
    }
    match store.read(&part.stream, version - 1, Direction::Backwards, 1).await {
        Ok(page) => Ok(page.commits.into_iter().next()),
        Err(ReadError::Corrupt(_)) => Ok(None),
        Err(ReadError::Store(fault)) => Err(fault),
    }
}

async fn read_each(store: &EventStore, part: &Part) -> Result<Read, StoreError> {
    let mut commits = HashMap::new();
    for (first, last) in &part.commits {
        let commit = match store.read(&part.stream, *last, Direction::Backwards, 1).await {
            Ok(page) => match page.commits.into_iter().find(|commit| commit.version == *first) {
                Some(commit) => Ok(linked(&part.stream, commit, before(store, part, *first).await?.as_ref())),
                None => Err(gone()),
            },
            Err(ReadError::Corrupt(CorruptStream { damage: Damage::Hole { .. }, .. })) => Err(gone()),
            Err(ReadError::Corrupt(damaged)) => Err(damaged.damage.to_string()),
            Err(ReadError::Store(fault)) => return Err(fault),
        };
        commits.insert((part.stream.clone(), *first), commit);
    }
    Ok(commits)
}
