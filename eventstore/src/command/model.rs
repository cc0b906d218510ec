//! The functions that the command loop needs of a kind of stream.

use crate::{CodecError, Commit, Event, NewEvent, SnapshotCodec, StreamId, Unreadable, Untranslatable};

/// The functions that the command loop needs to know of a kind of stream: plain functions, no trait.
pub struct Model<S, E> {
    /// The state of the empty stream.
    pub initial: fn() -> S,
    /// The state after an event. Cannot fail: what was decided has happened.
    pub evolve: fn(S, &E) -> S,
    /// The event as it is stored.
    pub encode: fn(&E) -> Result<NewEvent, CodecError>,
    /// The event from what was stored.
    pub decode: fn(&NewEvent) -> Result<E, CodecError>,
    /// How the state is kept as a snapshot; without, every command that finds nothing cached reads its stream whole.
    pub snapshot: Option<SnapshotCodec<S>>,
}

impl<S, E> Clone for Model<S, E> {
    fn clone(&self) -> Self {
        let Self { initial, evolve, encode, decode, snapshot } = self;
        Self { initial: *initial, evolve: *evolve, encode: *encode, decode: *decode, snapshot: snapshot.clone() }
    }
}

impl<S, E> Model<S, E> {
    /// The event as it is stored; none of the store's own.
    pub(crate) fn write(&self, event: &E) -> Result<NewEvent, CodecError> {
        let event = (self.encode)(event)?;
        if event.is_of_store() {
            let NewEvent { event_type, schema, .. } = event;
            return Err(CodecError { event_type, schema, source: Untranslatable::OfStore });
        }
        Ok(event)
    }

    /// The events of a commit of the stream, without those of the store.
    pub(crate) fn read<'a>(
        &'a self,
        stream: &'a StreamId,
        commit: &'a Commit,
    ) -> impl Iterator<Item = Result<E, Unreadable>> + 'a {
        let of_model = commit.events.iter().filter(|event| !event.body.is_of_store());
        of_model.map(move |Event { version, body }| {
            (self.decode)(body).map_err(|source| Unreadable { stream: stream.clone(), version: *version, source })
        })
    }
}
