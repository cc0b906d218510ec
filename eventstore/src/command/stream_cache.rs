//! The cached streams of a process, and the queues of their commands.

use super::cached_stream::CachedStream;
use super::stream_loader::StreamLoader;
use super::stream_queue::StreamQueue;
use crate::{EventStore, HandlerOptions, Model, StreamId};
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

/// The loader of one model, and the most recently used streams with their queues.
pub(crate) struct StreamCache<S, E, R> {
    pub(crate) loader: StreamLoader<S, E>,
    queues: Option<Mutex<StreamQueues<S, E, R>>>,
}

type StreamQueues<S, E, R> = LruCache<StreamId, Arc<StreamQueue<S, E, R>>>;

impl<S: Clone, E, R> StreamCache<S, E, R> {
    pub(crate) fn new(store: EventStore, model: Model<S, E>, options: HandlerOptions) -> Self {
        let queues =
            NonZeroUsize::new(options.cached_streams).map(|limit| Mutex::new(LruCache::new(limit)));
        Self { loader: StreamLoader::new(store, model, options), queues }
    }

    /// The cached stream, after the commands that are being handled.
    pub(crate) async fn get(&self, stream: &StreamId) -> Option<CachedStream<S>> {
        self.queue(stream).cached.lock().await.clone()
    }

    /// Caches the stream, unless a newer one is cached or a command is being handled.
    pub(crate) fn put(&self, stream: CachedStream<S>) {
        let queue = self.queue(&stream.head.stream);
        if let Ok(mut cached) = queue.cached.try_lock()
            && cached.as_ref().is_none_or(|cached| cached.head.version() < stream.head.version())
        {
            *cached = Some(stream);
        }
    }
}

impl<S, E, R> StreamCache<S, E, R> {
    /// The queue of the stream's commands.
    pub(crate) fn queue(&self, stream: &StreamId) -> Arc<StreamQueue<S, E, R>> {
        let Some(queues) = &self.queues else { return Arc::default() };
        let mut queues = queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.get_or_insert(stream.clone(), Arc::default).clone()
    }
}
