//! Is it still what was written? Walks chains and names the first commit that does not fit.

use crate::batch::{Damage, item_key};
use crate::fault::Fault;
use crate::load::{Consistency, Direction, Query};
use crate::usage::Usage;
use crate::{Batch, Damaged, EventStore, Hash, Head, StreamId};

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
    pub broken_at: Option<Damaged>,
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

impl EventStore {
    /// Walks the stream's chain from the first commit to the last, strongly consistent, in pages of 1 MB: any length fits
    /// into memory. Changed, missing, inserted and reordered commits show, and so does what lies before the first version;
    /// a dropped end cannot (nothing follows it).
    ///
    /// # Errors
    /// [`Fault`]: what is wrong with the stream itself is the answer, not an error.
    pub async fn verify(&self, stream: &StreamId) -> Result<Verification, Fault> {
        self.reported("verify", Some(stream), self.walk(stream)).await
    }

    async fn walk(&self, stream: &StreamId) -> Result<Verification, Fault> {
        let query = Query { from: 0, ..Query::whole(stream, Direction::Forwards, Consistency::Strong) };
        let mut walk = Verification {
            stream: stream.clone(),
            commits: 0,
            head: Head::empty(stream),
            broken_at: None,
            usage: Usage::default(),
        };
        let mut next = None;
        loop {
            let page = self.query(&query, next).await?;
            walk.usage += page.usage;
            for item in &page.items {
                if let Err(damaged) = walk.step(item) {
                    walk.broken_at = Some(damaged);
                    return Ok(walk);
                }
            }
            next = page.next;
            if next.is_none() {
                return Ok(walk);
            }
        }
    }
}

impl Verification {
    fn step(&mut self, item: &crate::batch::Item) -> Result<(), Damaged> {
        let (expected, found) = (self.head.version + 1, item_key(item)?.version);
        if found > expected {
            let damage = Damage::Hole { found };
            return Err(Damaged { stream: self.stream.to_string(), version: expected, damage });
        }
        for commit in &Batch::from_item(item)?.commits {
            self.head = self.head.then(commit)?;
            self.commits += 1;
        }
        Ok(())
    }
}
