//! When a stream is parked: its next event has failed at five receives.

use crate::telemetry::{Metric, count};
use eventstore::StreamId;
use projections::{Projection, Projector};
use std::error::Error;

/// The receive at which a failing stream is parked. Not the first: a newer program may be under
/// deployment.
pub(crate) const PARKED_AT_RECEIVE: u32 = 5;

/// Decides whether a stream that failed is parked.
pub(crate) struct ParkingDecision<'a> {
    pub(crate) projection: &'a Projection,
    pub(crate) stream: &'a StreamId,
    /// The generation; none if the generations could not be read.
    pub(crate) generation: Option<u32>,
    /// The version of the event, if the error has one.
    pub(crate) version: Option<u64>,
    pub(crate) error: &'a (dyn Error + Send + Sync + 'static),
    /// Whether a retry fails in the same way.
    pub(crate) permanent: bool,
    /// The receive count of the message.
    pub(crate) receives: u32,
}

impl ParkingDecision<'_> {
    /// Whether the stream is parked, now or before: its messages are then done. Reported once: when
    /// it is parked, or at the receive that would park it.
    pub(crate) async fn is_parked(&self, projector: &Projector) -> bool {
        let Self { projection, stream, error, receives, .. } = *self;
        let Some(generation) = self.generation.filter(|_| self.permanent) else {
            self.log(error, "a stream could not be brought up to its notified version");
            return false;
        };
        let known = projector.is_parked(projection, generation, stream, self.version).await;
        if matches!(known, Ok(true)) {
            return true;
        }
        if known.is_err() || receives < PARKED_AT_RECEIVE {
            self.log(error, "an event cannot be applied");
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
                self.log(&error, "the stream cannot be parked");
                false
            }
        }
    }

    fn log(&self, error: &(dyn Error + Send + Sync + 'static), what: &str) {
        let Self { stream, version, generation, receives, .. } = *self;
        let consumer = self.projection.name;
        if receives == PARKED_AT_RECEIVE {
            tracing::error!(consumer, %stream, version, generation, receives, error, "{what}");
        } else {
            tracing::warn!(consumer, %stream, version, generation, receives, error, "{what}");
        }
    }
}
