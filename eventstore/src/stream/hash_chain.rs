//! The hash chain of a stream: each commit hashes the one before it.

use super::commit::number;
use super::hash::Hasher;
use crate::{
    Batch, CommandMetadata, Commit, CorruptStream, Damage, Event, Hash, Head, Id, NewCommit,
    NewEvent, StreamId,
};
use chrono::{DateTime, Utc};

impl Commit {
    /// Appends a new commit to the chain, after `previous`: the hash of the commit before, or
    /// [`genesis`].
    pub(crate) fn chain(
        new: NewCommit,
        version: u64,
        recorded_at: DateTime<Utc>,
        previous: &Hash,
    ) -> Self {
        let events = number(new.events, version);
        let hash = chain_hash(previous, version, &new.metadata, recorded_at, &events);
        Self { version, metadata: new.metadata, recorded_at, events, hash }
    }

    /// Whether the commit was written after `previous`: the hash of the commit before, or that of
    /// [`Head::empty`](crate::Head::empty) for the first commit.
    pub fn follows(&self, previous: &Hash) -> bool {
        chain_hash(previous, self.version, &self.metadata, self.recorded_at, &self.events)
            == self.hash
    }
}

impl Head {
    /// The head after the commit, which must be the next one.
    pub(crate) fn then(&self, commit: &Commit) -> Result<Self, CorruptStream> {
        let damaged =
            |version, damage| CorruptStream { stream: self.stream.to_string(), version, damage };
        let (expected, found) = (self.version + 1, commit.version);
        if found > expected {
            return Err(damaged(expected, Damage::Hole { found }));
        }
        if found < expected {
            return Err(damaged(found, Damage::Overlap { found }));
        }
        if !commit.follows(&self.hash) {
            return Err(damaged(found, Damage::Chain));
        }
        Ok(Self::after(&self.stream, commit))
    }
}

/// Follows the chain from the head through the batches. Each must continue the one before, in
/// version and hash.
pub(crate) fn follow(head: &Head, batches: &[Batch]) -> Result<Head, CorruptStream> {
    let mut head = head.clone();
    for commit in batches.iter().flat_map(|batch| &batch.commits) {
        head = head.then(commit)?;
    }
    Ok(head)
}

/// The hash before the first commit. It binds the chain to the name of the stream.
pub(crate) fn genesis(stream: &StreamId) -> Hash {
    Hash::of(&[b"ledgerfold/stream/1", stream.as_str().as_bytes()])
}

/// SHA-256 over the previous hash and the fields of the commit, in this order, each preceded by its
/// length.
fn chain_hash(
    previous: &Hash,
    version: u64,
    metadata: &CommandMetadata,
    recorded_at: DateTime<Utc>,
    events: &[Event],
) -> Hash {
    let mut hasher = Hasher::default();
    hasher.part(b"ledgerfold/commit/2");
    hasher.part(previous.as_bytes());
    hasher.number(version);
    hasher.part(metadata.command_id.as_str().as_bytes());
    hasher.part(metadata.fingerprint.as_bytes());
    hasher.part(metadata.correlation_id.as_str().as_bytes());
    hasher.optional(metadata.causation_id.as_ref().map(Id::as_str));
    hasher.part(metadata.actor.as_str().as_bytes());
    hasher.optional(metadata.trace_parent.as_ref().map(Id::as_str));
    hasher.part(&recorded_at.timestamp_millis().to_be_bytes());
    hasher.number(u64::try_from(events.len()).unwrap_or(u64::MAX));
    for NewEvent { event_type, schema, data } in events.iter().map(|event| &event.body) {
        hasher.part(event_type.as_bytes());
        hasher.number(u64::from(*schema));
        hasher.part(data.get().as_bytes());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fingerprint;
    use crate::stream::commit::tests::{commit, stream};
    use serde_json::value::RawValue;

    #[test]
    fn every_field_is_under_the_hash() {
        let first = genesis(&stream());
        let whole = commit("c", 1, &["1", "2"], &first);
        assert!(whole.follows(&first));
        let changes: [fn(&mut Commit); 12] = [
            |c| c.version = 2,
            |c| c.metadata.command_id = Id::new("d").unwrap(),
            |c| c.metadata.fingerprint = Fingerprint::of(&[]),
            |c| c.metadata.correlation_id = Id::new("d").unwrap(),
            |c| c.metadata.causation_id = Some(Id::new("d").unwrap()),
            |c| c.metadata.actor = Id::new("d").unwrap(),
            |c| c.metadata.trace_parent = Some(Id::new("d").unwrap()),
            |c| c.recorded_at += chrono::TimeDelta::milliseconds(1),
            |c| c.events[0].body.event_type.push('x'),
            |c| c.events[0].body.schema = 2,
            |c| c.events[1].body.data = RawValue::from_string("3".into()).unwrap(),
            |c| c.events.truncate(1),
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut changed = whole.clone();
            change(&mut changed);
            assert!(!changed.follows(&first), "change {index} went unseen");
        }
        assert!(!whole.follows(&genesis(&StreamId::new("note-2").unwrap())));
    }

    #[test]
    fn what_does_not_follow_is_named_with_its_place() {
        let empty = Head::empty(&stream());
        let first = commit("a", 1, &["1", "2"], &empty.hash);
        let head = empty.then(&first).unwrap();
        assert_eq!((head.version, &head.hash), (2, &first.hash));
        let damaged = |next: &Commit| {
            let CorruptStream { version, damage, .. } = head.then(next).unwrap_err();
            (version, damage)
        };
        assert_eq!(damaged(&commit("b", 4, &["4"], &head.hash)), (3, Damage::Hole { found: 4 }));
        assert_eq!(damaged(&commit("b", 2, &["2"], &head.hash)), (2, Damage::Overlap { found: 2 }));
        assert_eq!(damaged(&commit("b", 3, &["3"], &empty.hash)), (3, Damage::Chain));
    }
}
