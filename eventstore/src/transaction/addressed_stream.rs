//! The streams that a command over several streams addresses, as far as they were read.

use crate::command::handler::Shared;
use crate::command::stream_loader::{Known, Memory, RecallError};
use crate::dedup::FindCommit;
use crate::log::read::{Consistency, ReadError};
use crate::schema::event_codec::CodecError;
use crate::snapshot::stored::Snapshot;
use crate::transaction::append_all::AppendedPart;
use crate::{Batch, Commit, Head, Id, NewEvent, StreamId};
use futures::future::try_join_all;

/// A stream with its state, and how far it was compared with the command.
pub(crate) struct LoadedStream<'a, S, E> {
    memory: &'a Memory<S, E>,
    known: Known<S>,
    /// Every commit up to this version was compared with the command.
    compared_to: u64,
}

/// Streams of one model, and the batches that were read for them.
pub(crate) struct Loaded<'a, S, E> {
    pub(crate) streams: Vec<LoadedStream<'a, S, E>>,
    pub(crate) read: Vec<Batch>,
}

impl<S, E> Default for Loaded<'_, S, E> {
    fn default() -> Self {
        Self { streams: Vec::new(), read: Vec::new() }
    }
}

impl<'a, S: Clone, E> Loaded<'a, S, E> {
    /// Takes what is cached of the streams, and reads the others.
    pub(crate) async fn new<R>(shared: &'a Shared<S, E, R>, streams: &[StreamId]) -> Result<Self, RecallError> {
        let loads = streams.iter().map(|stream| LoadedStream::load(shared, stream));
        let (streams, read): (Vec<_>, Vec<_>) = try_join_all(loads).await?.into_iter().unzip();
        Ok(Self { streams, read: read.into_iter().flatten().collect() })
    }
}

impl<'a, S: Clone, E> LoadedStream<'a, S, E> {
    async fn load<R>(shared: &'a Shared<S, E, R>, stream: &StreamId) -> Result<(Self, Vec<Batch>), RecallError> {
        let memory = &shared.memory;
        if let Some(known) = shared.cached(stream).await {
            return Ok((Self { memory, known, compared_to: 0 }, Vec::new()));
        }
        let mut loaded = Self { memory, known: memory.nothing(stream), compared_to: 0 };
        let read = loaded.read(Consistency::Eventual).await?;
        Ok((loaded, read))
    }

    pub(crate) fn head(&self) -> &Head {
        &self.known.head
    }

    pub(crate) fn stream(&self) -> &StreamId {
        self.known.head.stream()
    }

    pub(crate) fn state(&self) -> &S {
        &self.known.state
    }

    /// Reads what stands behind the head.
    pub(crate) async fn read(&mut self, consistency: Consistency) -> Result<Vec<Batch>, RecallError> {
        let nothing = self.memory.nothing(self.stream());
        let recalled = self.memory.recall(std::mem::replace(&mut self.known, nothing), consistency).await?;
        self.known = recalled.known;
        Ok(recalled.folded)
    }

    /// Goes on by the batch if it is this stream's: it is checked to follow.
    pub(crate) fn absorb(&mut self, batch: &Batch) -> Result<(), RecallError> {
        if *self.stream() == batch.stream { self.memory.absorb(&mut self.known, batch) } else { Ok(()) }
    }

    /// Takes note that the batch was compared with the command.
    pub(crate) fn compared(&mut self, batch: &Batch) {
        if *self.stream() == batch.stream && batch.version() == self.compared_to + 1 {
            self.compared_to = batch.last_version();
        }
    }

    /// Looks for the command among the commits that were not compared with it.
    pub(crate) async fn look_up(&mut self, command: &Id) -> Result<Option<(StreamId, Commit)>, ReadError> {
        let (stream, down_to) = (self.known.head.stream(), self.compared_to);
        let lookup = self.known.ids.look_up(stream, command).behind(down_to);
        let found = self.memory.store.find_commit(FindCommit { stream, command, lookup, down_to }).await?;
        self.compared_to = self.known.head.version();
        Ok(found.map(|commit| (self.stream().clone(), commit)))
    }

    pub(crate) fn encode(&self, events: &[E]) -> Result<Vec<NewEvent>, CodecError> {
        events.iter().map(|event| self.memory.model.write(event)).collect()
    }

    /// The snapshot that it is time to write.
    pub(crate) fn due_snapshot(&mut self) -> Option<(Snapshot, bool)> {
        self.memory.due_snapshot(&mut self.known)
    }

    /// Takes note of the snapshot's size if it is this stream's.
    pub(crate) fn wrote_snapshot(&mut self, snapshot: &Snapshot, bytes: usize) {
        if self.known.head.stream == snapshot.head.stream {
            self.known.since.wrote_snapshot(bytes);
        }
    }

    /// Makes known what was written of these events.
    pub(crate) fn settle(&mut self, events: &[E], written: &AppendedPart) {
        let (memory, known) = (self.memory, &mut self.known);
        let state = std::mem::replace(&mut known.state, (memory.model.initial)());
        known.state = memory.evolve(state, events);
        known.head = written.head.clone();
        known.ids.push(&written.commit);
        known.ids.keep(memory.options.ids_in_memory());
        known.since.put(written.bytes);
    }

    /// Leaves what is known of the stream for the next commands.
    pub(crate) fn remember<R>(self, shared: &Shared<S, E, R>) {
        shared.cache(self.known);
    }
}
