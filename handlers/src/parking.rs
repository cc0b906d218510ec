//! What becomes of a stream whose next event cannot be applied: tried again for a while, then parked.

use eventstore::StreamId;
use projections::{Projection, Projector};
use std::error::Error;

/// At this receive of a message a stream that cannot be applied is parked. Not at the first: the program that knows the event
/// may be just on its way.
pub(crate) const PARKED_AT_RECEIVE: u32 = 5;

/// A stream that a consumer could not be brought up to its news with.
pub(crate) struct Standstill<'a> {
    pub(crate) projection: &'a Projection,
    pub(crate) stream: &'a StreamId,
    /// Where; none where it could not be learned which generations there are.
    pub(crate) generation: Option<u32>,
    /// The version of the event, where the error tells.
    pub(crate) version: Option<u64>,
    pub(crate) error: &'a (dyn Error + Send + Sync + 'static),
    /// Whether it will be the same next time.
    pub(crate) lasting: bool,
    /// How often the queue has given out the message.
    pub(crate) receives: u32,
}

impl Standstill<'_> {
    /// Whether the stream is parked, now or before: its messages are done with then.
    pub(crate) async fn is_parked(&self, projector: &Projector) -> bool {
        let Self { projection, stream, error, receives, .. } = *self;
        let name = projection.name;
        let Some(generation) = self.generation.filter(|_| self.lasting) else {
            tracing::error!(consumer = name, %stream, error, "a stream could not be brought up to its news");
            return false;
        };
        let known = projector.is_parked(projection, generation, stream, self.version).await;
        if matches!(known, Ok(true)) {
            return true;
        }
        tracing::error!(consumer = name, %stream, generation, receives, error, "an event cannot be applied");
        if known.is_err() || receives < PARKED_AT_RECEIVE {
            return false;
        }
        match projector.park(projection, generation, stream, self.version, error).await {
            Ok(()) => {
                tracing::error!(consumer = name, %stream, generation, "the stream is parked until it is resumed");
                true
            }
            Err(error) => {
                let error: &(dyn Error + Send + Sync) = &error;
                tracing::error!(consumer = name, %stream, generation, error, "the stream cannot be parked");
                false
            }
        }
    }
}
