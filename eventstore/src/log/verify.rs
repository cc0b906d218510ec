//! Is it still what was written? Walks chains and names the first commit that does not fit.

use super::item::{SNAPSHOT_NAME, SNAPSHOT_VERSION, VERSION, item_key, number, snapshot_seen};
use super::read::Query;
use crate::metering::operation_event::Report;
use crate::{
    Batch, Commit, Consistency, CorruptStream, Damage, Direction, EventStore, Hash, Head, Item, StoreError, StreamId,
    Usage,
};

/// What the walk along a stream's chain found.
#[derive(Debug, Clone)]
pub struct Verification {
    /// The stream.
    pub stream: StreamId,
    /// The commits that fit, from the first.
    pub commits: u64,
    /// The end of the part that fits. Of a broken stream nobody may append behind it: so it stays in here.
    pub(crate) head: Head,
    /// The first thing that does not fit.
    pub broken_at: Option<CorruptStream>,
    /// What it cost.
    pub usage: Usage,
}

impl Verification {
    /// Whether every commit is what was written.
    pub fn verified(&self) -> bool {
        self.broken_at.is_none()
    }

    /// The version up to which everything fits: that of the last event where nothing is broken.
    pub fn version(&self) -> u64 {
        self.head.version
    }

    /// The hash of the last commit that fits; derived from the stream's name if there is none.
    pub fn hash(&self) -> Hash {
        self.head.hash
    }
}

/// Somebody who remembers how far a stream reached, such as a read model's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Who, in words that people read.
    pub name: String,
    /// The version that was seen.
    pub version: u64,
    /// The first bytes of the hash of the commit with that version; none where only the version is known.
    pub hash: Vec<u8>,
}

impl Witness {
    /// Whether the commit is the one that was seen.
    fn knows(&self, commit: &Commit) -> bool {
        commit.hash.as_bytes().starts_with(&self.hash)
    }
}

impl EventStore {
    /// Walks the stream's chain from the first commit to the last, strongly consistent, in pages of 1 MB: any length fits
    /// into memory. Changed, missing, inserted and reordered commits show, and so does what lies before the first version.
    /// A chain cannot show its own end: a dropped one shows where the stream's snapshot has seen it.
    ///
    /// # Errors
    /// [`StoreError`]: what is wrong with the stream itself is the answer, not an error.
    pub async fn verify(&self, stream: &StreamId) -> Result<Verification, StoreError> {
        self.verify_against(stream, &[]).await
    }

    /// The same, but the stream must also reach what the witnesses have seen, and have their commits there. The witnesses
    /// must have been asked before this call: the stream may grow meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verify_against(&self, stream: &StreamId, witnesses: &[Witness]) -> Result<Verification, StoreError> {
        self.reported("verify", Some(stream), self.walk(stream, witnesses)).await
    }

    async fn walk(&self, stream: &StreamId, witnesses: &[Witness]) -> Result<Verification, StoreError> {
        let mut walk = Verification {
            stream: stream.clone(),
            commits: 0,
            head: Head::empty(stream),
            broken_at: None,
            usage: Usage::default(),
        };
        let mut witnesses = witnesses.to_vec();
        let snapshot = self.walk_on(&mut walk, 0, &witnesses).await?;
        // The snapshot was read last, perhaps behind commits that came meanwhile: those are walked before it is believed.
        if let Some(snapshot) = snapshot.filter(|snapshot| walk.verified() && snapshot.version >= walk.head.version) {
            witnesses.push(snapshot);
            let from = walk.head.version + 1;
            self.walk_on(&mut walk, from, &witnesses).await?;
        }
        walk.ended(&witnesses);
        Ok(walk)
    }

    /// Walks on from that version to the end, or to the first thing that is broken. Tells how far the snapshot has seen.
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
            return Err(CorruptStream { stream: self.stream.to_string(), version: expected, damage });
        }
        for commit in &Batch::from_item(item)?.commits {
            let head = self.head.then(commit)?;
            let here = witnesses.iter().filter(|seen| (commit.version..=head.version).contains(&seen.version));
            if let Some(other) = here.into_iter().find(|seen| !seen.knows(commit)) {
                let damage = Damage::OtherSeen { by: other.name.clone() };
                return Err(CorruptStream { stream: self.stream.to_string(), version: commit.version, damage });
            }
            self.head = head;
            self.commits += 1;
        }
        Ok(())
    }

    /// The stream has no more: whoever has seen more tells what is gone, and the snapshot may know another last commit.
    fn ended(&mut self, witnesses: &[Witness]) {
        if self.broken_at.is_some() {
            return;
        }
        let Head { version: end, hash, .. } = self.head;
        let newest = witnesses.iter().max_by_key(|seen| seen.version).filter(|seen| seen.version > end);
        let other = |seen: &&Witness| seen.version == end && end > 0 && !hash.as_bytes().starts_with(&seen.hash);
        let found = match (newest, witnesses.iter().find(other)) {
            (Some(newest), _) => (end + 1, Damage::End { seen: newest.version, by: newest.name.clone() }),
            (None, Some(other)) => (end, Damage::OtherSeen { by: other.name.clone() }),
            (None, None) => return,
        };
        let (version, damage) = found;
        self.broken_at = Some(CorruptStream { stream: self.stream.to_string(), version, damage });
    }
}

impl From<&Verification> for Report {
    fn from(walk: &Verification) -> Self {
        let outcome = if walk.verified() { "ok" } else { "broken" };
        Self { commits: Some(walk.commits), ..Self::outcome(outcome) }.at(&walk.head)
    }
}
