//! From the commits of a stream to the events that concern instances.

use super::ask::EventOrigin;
use super::{Process, ProcessError};
use eventstore::{Commit, Event, NewEvent, StreamId};
use projections::Stopped;

/// An event that concerns an instance.
#[derive(Debug)]
pub(super) struct InstanceEvent {
    /// The instance's key.
    pub(super) key: String,
    pub(super) origin: EventOrigin,
    pub(super) event: NewEvent,
}

/// The events of the commits that concern instances, in order, up to the first one that cannot be
/// read.
pub(super) fn of(
    process: &Process,
    stream: &StreamId,
    commits: &[Commit],
) -> (Vec<InstanceEvent>, Option<Stopped<ProcessError>>) {
    let mut events = Vec::new();
    for (commit, event) in
        commits.iter().flat_map(|commit| commit.events.iter().map(move |event| (commit, event)))
    {
        match origin(process, stream, commit, event) {
            Ok(origin) => events.extend(origin),
            Err(source) => return (events, Some(Stopped { version: event.version, source })),
        }
    }
    (events, None)
}

fn origin(
    process: &Process,
    stream: &StreamId,
    commit: &Commit,
    event: &Event,
) -> Result<Option<InstanceEvent>, ProcessError> {
    if process.projection.ignores(&event.body)? {
        return Ok(None);
    }
    let origin = EventOrigin::of(stream, commit, event.version);
    let key = (process.key)(&origin, &event.body)?;
    Ok(key.map(|key| InstanceEvent { key, origin, event: event.body.clone() }))
}
