//! What becomes of a stream whose next event cannot be applied: tried again for a while, then parked.

use crate::telemetry::{Metric, count};
use eventstore::StreamId;
use projections::{Projection, Projector};
use std::error::Error;

/// At this receive of a message a stream that cannot be applied is parked. Not at the first: the program that knows the event
/// may be just on its way.
pub(crate) const PARKED_AT_RECEIVE: u32 = 5;

/// A stream that a consumer could not be brought up to its news with.
pub(crate) struct ParkingDecision<'a> {
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

impl ParkingDecision<'_> {
    /// Whether the stream is parked, now or before: its messages are done with then. Reported once: when it is parked, or when
    /// the patience with it ends; until then it may be mended by itself.
    pub(crate) async fn is_parked(&self, projector: &Projector) -> bool {
        let Self { projection, stream, error, receives, .. } = *self;
        let Some(generation) = self.generation.filter(|_| self.lasting) else {
            self.tell(error, "a stream could not be brought up to its news");
            return false;
        };
        let known = projector.is_parked(projection, generation, stream, self.version).await;
        if matches!(known, Ok(true)) {
            return true;
        }
        if known.is_err() || receives < PARKED_AT_RECEIVE {
            self.tell(error, "an event cannot be applied");
            return false;
        }
        match projector.park(projection, generation, stream, self.version, error).await {
            Ok(()) => {
                count(Metric::Parked);
                let (consumer, version) = (projection.name, self.version);
                tracing::error!(consumer, %stream, version, generation, receives, error, "the stream is parked until it is resumed");
                true
            }
            Err(error) => {
                self.tell(&error, "the stream cannot be parked");
                false
            }
        }
    }

    fn tell(&self, error: &(dyn Error + Send + Sync + 'static), what: &str) {
        let Self { stream, version, generation, receives, .. } = *self;
        let consumer = self.projection.name;
        if receives == PARKED_AT_RECEIVE {
            tracing::error!(consumer, %stream, version, generation, receives, error, "{what}");
        } else {
            tracing::warn!(consumer, %stream, version, generation, receives, error, "{what}");
        }
    }
}
