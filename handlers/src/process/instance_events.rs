//! From the commits of a stream to the events that concern instances.

use super::ask::Told;
use super::{Process, ProcessError};
use eventstore::{Commit, Event, NewEvent, StreamId};
use projections::Stopped;

/// An event that concerns an instance.
#[derive(Debug)]
pub(super) struct InstanceEvent {
    /// The instance's key.
    pub(super) key: String,
    pub(super) told: Told,
    pub(super) event: NewEvent,
}

/// The events of the commits that concern instances, in order, up to the first one that cannot be read.
pub(super) fn of(
    process: &Process,
    stream: &StreamId,
    commits: &[Commit],
) -> (Vec<InstanceEvent>, Option<Stopped<ProcessError>>) {
    let mut news = Vec::new();
    for (commit, event) in commits.iter().flat_map(|commit| commit.events.iter().map(move |event| (commit, event))) {
        match told(process, stream, commit, event) {
            Ok(told) => news.extend(told),
            Err(source) => return (news, Some(Stopped { version: event.version, source })),
        }
    }
    (news, None)
}

fn told(
    process: &Process,
    stream: &StreamId,
    commit: &Commit,
    event: &Event,
) -> Result<Option<InstanceEvent>, ProcessError> {
    if process.projection.ignores(&event.body)? {
        return Ok(None);
    }
    let told = Told::of(stream, commit, event.version);
    let key = (process.key)(&told, &event.body)?;
    Ok(key.map(|key| InstanceEvent { key, told, event: event.body.clone() }))
}
