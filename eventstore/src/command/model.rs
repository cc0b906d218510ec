//! What the command loop needs to know of an aggregate.

use crate::{
    CodecError, Commit, Event, NewEvent, SnapshotCodec, StreamId, Unreadable, Untranslatable,
};

/// The functions of an aggregate that the command loop needs: plain functions, no trait.
pub struct Model<S, E> {
    /// The state of an empty stream.
    pub initial: fn() -> S,
    /// Applies an event to the state. It cannot fail, because the event has happened.
    pub evolve: fn(S, &E) -> S,
    /// Encodes an event for the store.
    pub encode: fn(&E) -> Result<NewEvent, CodecError>,
    /// Decodes a stored event.
    pub decode: fn(&NewEvent) -> Result<E, CodecError>,
    /// How the state is stored as a snapshot. Without it, a command on an uncached stream reads the
    /// whole stream.
    pub snapshot: Option<SnapshotCodec<S>>,
}

impl<S, E> Clone for Model<S, E> {
    fn clone(&self) -> Self {
        let Self { initial, evolve, encode, decode, snapshot } = self;
        Self {
            initial: *initial,
            evolve: *evolve,
            encode: *encode,
            decode: *decode,
            snapshot: snapshot.clone(),
        }
    }
}

impl<S, E> Model<S, E> {
    /// The event as it is stored. A model may not write the store's own events.
    pub(crate) fn write(&self, event: &E) -> Result<NewEvent, CodecError> {
        let event = (self.encode)(event)?;
        if event.is_of_store() {
            let NewEvent { event_type, schema, .. } = event;
            return Err(CodecError { event_type, schema, source: Untranslatable::OfStore });
        }
        Ok(event)
    }

    /// The model's events of a commit, without the store's own.
    pub(crate) fn read<'a>(
        &'a self,
        stream: &'a StreamId,
        commit: &'a Commit,
    ) -> impl Iterator<Item = Result<E, Unreadable>> + 'a {
        let of_model = commit.events.iter().filter(|event| !event.body.is_of_store());
        of_model.map(move |Event { version, body }| {
            (self.decode)(body).map_err(|source| Unreadable {
                stream: stream.clone(),
                version: *version,
                source,
            })
        })
    }
}
