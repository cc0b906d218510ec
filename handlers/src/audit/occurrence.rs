//! An event with all that its commit says of it.

use super::schema::{AuditedEvent, FoundEvent};
use eventstore::{Commit, Direction, Event, StreamId};
use serde::{Serialize, Serializer};
use std::sync::Arc;

/// An answer ends after that many bytes of events' data.
pub(super) const MAX_DATA_BYTES: usize = 4 * 1024 * 1024;

/// An event as it stands in its stream, with who, when and why. It serialises as the API shows it.
#[derive(Debug, Clone)]
pub struct Occurrence {
    /// The stream.
    pub stream: StreamId,
    /// The commit that it came with.
    pub commit: Arc<Commit>,
    /// The event.
    pub event: Event,
}

impl Occurrence {
    /// The events of a commit in the order of the read.
    pub(super) fn of_commit(stream: &StreamId, commit: Commit, direction: Direction) -> Vec<Self> {
        let commit = Arc::new(commit);
        let occurrence = |event: &Event| Self {
            stream: stream.clone(),
            commit: commit.clone(),
            event: event.clone(),
        };
        match direction {
            Direction::Forwards => commit.events.iter().map(occurrence).collect(),
            Direction::Backwards => commit.events.iter().rev().map(occurrence).collect(),
        }
    }

    /// How many bytes its data have.
    pub(super) fn data_bytes(&self) -> usize {
        self.event.body.data.get().len()
    }

    /// As the API shows it where the stream is known.
    pub(crate) fn audited(&self) -> AuditedEvent {
        AuditedEvent::new(&self.commit, &self.event)
    }

    /// As the API shows it among events of many streams.
    pub(crate) fn found(&self) -> FoundEvent {
        FoundEvent { stream: self.stream.to_string(), event: self.audited() }
    }
}

impl Serialize for Occurrence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.found().serialize(serializer)
    }
}
