//! The streams that a command over several streams addresses.

use super::parts::AppendedPart;
use crate::command::cached_stream::CachedStream;
use crate::command::stream_cache::StreamCache;
use crate::command::stream_loader::{StreamLoadError, StreamLoader};
use crate::dedup::FindCommit;
use crate::snapshot::stored::Snapshot;
use crate::{Batch, CodecError, Commit, Consistency, Head, Id, NewEvent, ReadError, StreamId};
use futures::future::try_join_all;

/// A stream with its state, and the version up to which it was compared with the command.
pub(crate) struct AddressedStream<'a, S, E> {
    loader: &'a StreamLoader<S, E>,
    cached: CachedStream<S>,
    /// Every commit up to this version was compared with the command.
    compared_to: u64,
}

/// Streams of one model, and the batches that were read for them.
pub(crate) struct AddressedStreams<'a, S, E> {
    pub(crate) streams: Vec<AddressedStream<'a, S, E>>,
    pub(crate) read: Vec<Batch>,
}

impl<S, E> Default for AddressedStreams<'_, S, E> {
    fn default() -> Self {
        Self { streams: Vec::new(), read: Vec::new() }
    }
}

impl<'a, S: Clone, E> AddressedStreams<'a, S, E> {
    /// Takes cached streams from the cache and reads the others.
    pub(crate) async fn new<R>(
        cache: &'a StreamCache<S, E, R>,
        streams: &[StreamId],
    ) -> Result<Self, StreamLoadError> {
        let loads = streams.iter().map(|stream| AddressedStream::load(cache, stream));
        let (streams, read): (Vec<_>, Vec<_>) = try_join_all(loads).await?.into_iter().unzip();
        Ok(Self { streams, read: read.into_iter().flatten().collect() })
    }
}

impl<'a, S: Clone, E> AddressedStream<'a, S, E> {
    async fn load<R>(
        cache: &'a StreamCache<S, E, R>,
        stream: &StreamId,
    ) -> Result<(Self, Vec<Batch>), StreamLoadError> {
        let loader = &cache.loader;
        if let Some(cached) = cache.get(stream).await {
            return Ok((Self { loader, cached, compared_to: 0 }, Vec::new()));
        }
        let mut loaded = Self { loader, cached: loader.empty(stream), compared_to: 0 };
        let read = loaded.read(Consistency::Eventual).await?;
        Ok((loaded, read))
    }

    pub(crate) fn head(&self) -> &Head {
        &self.cached.head
    }

    pub(crate) fn stream(&self) -> &StreamId {
        self.cached.head.stream()
    }

    pub(crate) fn state(&self) -> &S {
        &self.cached.state
    }

    /// Reads what follows the head.
    pub(crate) async fn read(
        &mut self,
        consistency: Consistency,
    ) -> Result<Vec<Batch>, StreamLoadError> {
        let empty = self.loader.empty(self.stream());
        let loaded =
            self.loader.load(std::mem::replace(&mut self.cached, empty), consistency).await?;
        self.cached = loaded.cached;
        Ok(loaded.folded)
    }

    /// Applies the batch if it is the next one of this stream.
    pub(crate) fn apply(&mut self, batch: &Batch) -> Result<(), StreamLoadError> {
        if *self.stream() == batch.stream {
            self.loader.apply(&mut self.cached, batch)
        } else {
            Ok(())
        }
    }

    /// Marks the batch as compared with the command.
    pub(crate) fn compared(&mut self, batch: &Batch) {
        if *self.stream() == batch.stream && batch.version() == self.compared_to + 1 {
            self.compared_to = batch.last_version();
        }
    }

    /// Looks for the command among the commits that were not compared with it.
    pub(crate) async fn look_up(
        &mut self,
        command: &Id,
    ) -> Result<Option<(StreamId, Commit)>, ReadError> {
        let (stream, down_to) = (self.cached.head.stream(), self.compared_to);
        let lookup = self.cached.ids.look_up(stream, command).after(down_to);
        let found =
            self.loader.store.find_commit(FindCommit { stream, command, lookup, down_to }).await?;
        self.compared_to = self.cached.head.version();
        Ok(found.map(|commit| (self.stream().clone(), commit)))
    }

    pub(crate) fn encode(&self, events: &[E]) -> Result<Vec<NewEvent>, CodecError> {
        events.iter().map(|event| self.loader.model.write(event)).collect()
    }

    /// Takes the snapshot that is due.
    pub(crate) fn take_due_snapshot(&mut self) -> Option<(Snapshot, bool)> {
        self.loader.take_due_snapshot(&mut self.cached)
    }

    /// Records the size of the snapshot if it is of this stream.
    pub(crate) fn wrote_snapshot(&mut self, snapshot: &Snapshot, bytes: usize) {
        if self.cached.head.stream == snapshot.head.stream {
            self.cached.snapshot_debt.wrote_snapshot(bytes);
        }
    }

    /// Applies the events that were written.
    pub(crate) fn apply_written(&mut self, events: &[E], written: &AppendedPart) {
        let (loader, cached) = (self.loader, &mut self.cached);
        let state = std::mem::replace(&mut cached.state, (loader.model.initial)());
        cached.state = loader.evolve(state, events);
        cached.head = written.head.clone();
        cached.ids.push(&written.commit);
        cached.ids.trim(loader.options.ids_in_memory());
        cached.snapshot_debt.put(written.bytes);
    }

    /// Puts the stream into the cache.
    pub(crate) fn cache<R>(self, cache: &StreamCache<S, E, R>) {
        cache.put(self.cached);
    }
}
