//! Verifies the hash chain of a stream, and names the first commit that breaks it.

use super::item::{SNAPSHOT_NAME, SNAPSHOT_VERSION, VERSION, item_key, number, snapshot_seen};
use super::read::Query;
use crate::metering::operation_event::OperationReport;
use crate::{
    Batch, Commit, Consistency, CorruptStream, Damage, Direction, EventStore, Hash, Head, Item,
    StoreError, StreamId, Usage,
};

/// The result of verifying a stream.
#[derive(Debug, Clone)]
pub struct Verification {
    /// The stream.
    pub stream: StreamId,
    /// The number of verified commits, from the first.
    pub commits: u64,
    /// The head of the verified part. It is private, because no commit may be appended to it if the
    /// stream is corrupt.
    pub(crate) head: Head,
    /// The first corruption.
    pub broken_at: Option<CorruptStream>,
    /// What it cost.
    pub usage: Usage,
}

impl Verification {
    /// Whether every commit is verified.
    pub fn verified(&self) -> bool {
        self.broken_at.is_none()
    }

    /// The version of the last verified event.
    pub fn version(&self) -> u64 {
        self.head.version
    }

    /// The hash of the last verified commit; derived from the name of the stream if there is none.
    pub fn hash(&self) -> Hash {
        self.head.hash
    }
}

/// A witness that has seen a version of the stream, such as a read model's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Its name, for people.
    pub name: String,
    /// The version that it has seen.
    pub version: u64,
    /// The first bytes of the hash of that commit; empty if only the version is known.
    pub hash: Vec<u8>,
}

impl Witness {
    /// Whether the commit is the one that it has seen.
    fn has_seen(&self, commit: &Commit) -> bool {
        commit.hash.as_bytes().starts_with(&self.hash)
    }
}

impl EventStore {
    /// Verifies the hash chain of the stream, strongly consistent, in pages of 1 MB. It finds
    /// changed, missing, inserted and reordered commits, and foreign items below the first version.
    /// A chain does not prove its own end: a truncated one shows only if the snapshot has seen
    /// more.
    ///
    /// # Errors
    /// [`StoreError`]. Corruption is part of the answer.
    pub async fn verify(&self, stream: &StreamId) -> Result<Verification, StoreError> {
        self.verify_against(stream, &[]).await
    }

    /// The same, and the stream must have the commits that the witnesses have seen. Read the
    /// witnesses before this call, because the stream may grow meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verify_against(
        &self,
        stream: &StreamId,
        witnesses: &[Witness],
    ) -> Result<Verification, StoreError> {
        self.reported("verify", Some(stream), self.walk(stream, witnesses)).await
    }

    async fn walk(
        &self,
        stream: &StreamId,
        witnesses: &[Witness],
    ) -> Result<Verification, StoreError> {
        let mut walk = Verification {
            stream: stream.clone(),
            commits: 0,
            head: Head::empty(stream),
            broken_at: None,
            usage: Usage::default(),
        };
        let mut witnesses = witnesses.to_vec();
        let snapshot = self.walk_on(&mut walk, 0, &witnesses).await?;
        // The snapshot was read last and may be newer: the commits since are verified before it is
        // a witness.
        if let Some(snapshot) =
            snapshot.filter(|snapshot| walk.verified() && snapshot.version >= walk.head.version)
        {
            witnesses.push(snapshot);
            let from = walk.head.version + 1;
            self.walk_on(&mut walk, from, &witnesses).await?;
        }
        walk.check_end(&witnesses);
        Ok(walk)
    }

    /// Verifies from a version to the end or the first corruption. Returns what the snapshot has
    /// seen.
    async fn walk_on(
        &self,
        walk: &mut Verification,
        from: u64,
        witnesses: &[Witness],
    ) -> Result<Option<Witness>, StoreError> {
        let stream = walk.stream.clone();
        let whole = Query::whole(&stream, Direction::Forwards, Consistency::Strong);
        let query = Query { from, to: SNAPSHOT_VERSION, ..whole };
        let (mut next, mut snapshot) = (None, None);
        loop {
            let page = self.query(&query, next).await?;
            walk.usage += page.usage;
            for item in &page.items {
                if number(item, VERSION) == Some(SNAPSHOT_VERSION) {
                    snapshot = snapshot_seen(item);
                    continue;
                }
                if let Err(damaged) = walk.step(item, witnesses) {
                    walk.broken_at = Some(damaged);
                    return Ok(None);
                }
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        Ok(snapshot.map(|(version, hash)| Witness {
            name: SNAPSHOT_NAME.to_owned(),
            version,
            hash: hash.as_bytes().to_vec(),
        }))
    }
}

impl Verification {
    fn step(&mut self, item: &Item, witnesses: &[Witness]) -> Result<(), CorruptStream> {
        let (expected, found) = (self.head.version + 1, item_key(item)?.version);
        if found > expected {
            let damage = Damage::Hole { found };
            return Err(CorruptStream {
                stream: self.stream.to_string(),
                version: expected,
                damage,
            });
        }
        for commit in &Batch::from_item(item)?.commits {
            let head = self.head.then(commit)?;
            let here = witnesses
                .iter()
                .filter(|seen| (commit.version..=head.version).contains(&seen.version));
            if let Some(other) = here.into_iter().find(|seen| !seen.has_seen(commit)) {
                let damage = Damage::OtherSeen { by: other.name.clone() };
                return Err(CorruptStream {
                    stream: self.stream.to_string(),
                    version: commit.version,
                    damage,
                });
            }
            self.head = head;
            self.commits += 1;
        }
        Ok(())
    }

    /// At the end: a witness of a later version proves a truncated stream, one of another hash a
    /// changed commit.
    fn check_end(&mut self, witnesses: &[Witness]) {
        if self.broken_at.is_some() {
            return;
        }
        let Head { version: end, hash, .. } = self.head;
        let newest =
            witnesses.iter().max_by_key(|seen| seen.version).filter(|seen| seen.version > end);
        let other = |seen: &&Witness| {
            seen.version == end && end > 0 && !hash.as_bytes().starts_with(&seen.hash)
        };
        let found = match (newest, witnesses.iter().find(other)) {
            (Some(newest), _) => {
                (end + 1, Damage::End { seen: newest.version, by: newest.name.clone() })
            }
            (None, Some(other)) => (end, Damage::OtherSeen { by: other.name.clone() }),
            (None, None) => return,
        };
        let (version, damage) = found;
        self.broken_at = Some(CorruptStream { stream: self.stream.to_string(), version, damage });
    }
}

impl From<&Verification> for OperationReport {
    fn from(walk: &Verification) -> Self {
        let outcome = if walk.verified() { "ok" } else { "broken" };
        Self { commits: Some(walk.commits), ..Self::outcome(outcome) }.at(&walk.head)
    }
}
