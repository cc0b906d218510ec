//! Reads the commits of entries from their streams, and compares both. The entries are those of the
//! audit index or of the journal.

use super::OpenTrail;
use super::chain::follows;
use eventstore::{
    Commit, CorruptStream, Damage, Direction, EventStore, ReadError, StoreError, StreamId,
};
use futures::{StreamExt, TryStreamExt};
use projections::audit_index::IndexEntry;
use projections::journal::JournalEntry;
use serde::Serialize;
use std::collections::HashMap;
use utoipa::ToSchema;

/// How many parts of streams are read at once.
const CONCURRENT_READS: usize = 10;
/// The most events of a part.
const PART_EVENTS: u64 = 500;

/// A commit in the index or the journal that is missing or changed in its stream.
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

/// An entry that knows a commit.
pub(super) trait KnowsCommit {
    /// What has the entry.
    const KNOWN_BY: &str;

    /// The stream, and the versions of the commit's first and last event.
    fn place(&self) -> (&StreamId, u64, u64);

    /// What the commit has otherwise than the entry.
    fn differences(&self, commit: &Commit) -> Vec<&'static str>;
}

impl KnowsCommit for IndexEntry {
    const KNOWN_BY: &str = "the audit index";

    fn place(&self) -> (&StreamId, u64, u64) {
        (&self.stream, self.version, self.last_version)
    }

    fn differences(&self, commit: &Commit) -> Vec<&'static str> {
        self.differences(&Self::of(&self.stream, commit))
    }
}

impl KnowsCommit for JournalEntry {
    const KNOWN_BY: &str = "the journal";

    fn place(&self) -> (&StreamId, u64, u64) {
        (&self.stream, self.version, self.last_version)
    }

    fn differences(&self, commit: &Commit) -> Vec<&'static str> {
        let is_same = self.hash == commit.hash && self.last_version == commit.last_version();
        if is_same { Vec::new() } else { vec!["hash"] }
    }
}

/// A commit of a stream, or what is wrong with it.
type Gathered = Result<(StreamId, Commit), DamagedCommit>;

/// The commits of a part by stream and first version, each or what is wrong with it.
type ReadPart = HashMap<(StreamId, u64), Result<Linked, String>>;

/// A commit, and why it does not follow the one before, if so.
#[derive(Debug)]
struct Linked {
    commit: Commit,
    broken: Option<String>,
}

/// A part of a stream: consecutive commits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    stream: StreamId,
    first: u64,
    last: u64,
    /// The versions of the first and the last event of each commit.
    commits: Vec<(u64, u64)>,
}

impl OpenTrail {
    /// The commits of the entries, in the same order; for each, perhaps what is wrong with it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn gather<K: KnowsCommit>(
        &self,
        found: &[K],
    ) -> Result<Vec<Gathered>, StoreError> {
        let store = &self.store;
        // The futures own their parts: with borrowed parts they would not be `Send`.
        let reads = parts(found).into_iter().map(|part| read(store.clone(), part));
        let reads = futures::stream::iter(reads).buffer_unordered(CONCURRENT_READS);
        let read: Vec<ReadPart> = reads.try_collect().await?;
        let mut commits: ReadPart = read.into_iter().flatten().collect();
        let in_order = found.iter().map(|found| {
            let (stream, version, _) = found.place();
            let commit = commits.remove(&(stream.clone(), version)).unwrap_or_else(|| Err(gone()));
            let commit = commit.and_then(|linked| same(found, linked));
            commit.map(|commit| (stream.clone(), commit)).map_err(|reason| DamagedCommit {
                stream: stream.to_string(),
                version,
                reason,
            })
        });
        Ok(in_order.collect())
    }
}

/// The commit, if it is the one of the entry: it may have been changed or replaced. Fields that the
/// entry does not have are checked by the hash chain.
fn same<K: KnowsCommit>(found: &K, Linked { commit, broken }: Linked) -> Result<Commit, String> {
    match found.differences(&commit).as_slice() {
        [] => broken.map_or(Ok(commit), Err),
        names => Err(format!(
            "the commit is not the one that {} knows: another {}",
            K::KNOWN_BY,
            names.join(", ")
        )),
    }
}

fn gone() -> String {
    "the commit is there no more".to_owned()
}

/// The entries as few parts: consecutive commits of a stream are read together.
fn parts<K: KnowsCommit>(found: &[K]) -> Vec<Part> {
    let mut spans: Vec<_> = found.iter().map(KnowsCommit::place).collect();
    spans.sort();
    let mut parts: Vec<Part> = Vec::new();
    for (stream, first, last) in spans {
        match parts.last_mut() {
            Some(part)
                if part.stream == *stream
                    && part.last + 1 == first
                    && last - part.first < PART_EVENTS =>
            {
                part.last = last;
                part.commits.push((first, last));
            }
            _ => parts.push(Part {
                stream: stream.clone(),
                first,
                last,
                commits: vec![(first, last)],
            }),
        }
    }
    parts
}

/// If an item of the part is corrupt, its commits are read one by one, so that the others are
/// shown.
async fn read(store: EventStore, part: Part) -> Result<ReadPart, StoreError> {
    match read_together(&store, &part).await {
        Err(ReadError::Corrupt(_)) => read_each(&store, &part).await,
        Err(ReadError::Store(fault)) => Err(fault),
        Ok(read) => Ok(read),
    }
}

/// Reads backwards: so one request finds the commit with the last event, wherever it begins. Also
/// reads the commit before the part, because each commit is checked by the one before.
async fn read_together(store: &EventStore, part: &Part) -> Result<ReadPart, ReadError> {
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

/// The commit, and whether it follows the one before; without that one this is unknown.
fn linked(stream: &StreamId, commit: Commit, before: Option<&Commit>) -> Linked {
    let before = before.filter(|before| before.last_version() + 1 == commit.version);
    let broken = match before {
        None if commit.version > 1 => None,
        before => follows(stream, &commit, before).err(),
    };
    Linked { commit, broken: broken.map(|corrupt| corrupt.damage.to_string()) }
}

/// The commit before that version, if it can be read.
async fn before(
    store: &EventStore,
    part: &Part,
    version: u64,
) -> Result<Option<Commit>, StoreError> {
    if version == 1 {
        return Ok(None);
    }
    match store.read(&part.stream, version - 1, Direction::Backwards, 1).await {
        Ok(page) => Ok(page.commits.into_iter().next()),
        Err(ReadError::Corrupt(_)) => Ok(None),
        Err(ReadError::Store(fault)) => Err(fault),
    }
}

async fn read_each(store: &EventStore, part: &Part) -> Result<ReadPart, StoreError> {
    let mut commits = HashMap::new();
    for (first, last) in &part.commits {
        let commit = match store.read(&part.stream, *last, Direction::Backwards, 1).await {
            Ok(page) => match page.commits.into_iter().find(|commit| commit.version == *first) {
                Some(commit) => {
                    Ok(linked(&part.stream, commit, before(store, part, *first).await?.as_ref()))
                }
                None => Err(gone()),
            },
            Err(ReadError::Corrupt(CorruptStream { damage: Damage::Hole { .. }, .. })) => {
                Err(gone())
            }
            Err(ReadError::Corrupt(corrupt)) => Err(corrupt.damage.to_string()),
            Err(ReadError::Store(fault)) => return Err(fault),
        };
        commits.insert((part.stream.clone(), *first), commit);
    }
    Ok(commits)
}
