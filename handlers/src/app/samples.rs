//! Sample histories, for measuring an app's read models.

use eventstore::{NewEvent, StreamId};
use std::error::Error;

/// Why a sample cannot be made.
pub type SampleError = Box<dyn Error + Send + Sync>;
/// A stream and its events.
pub type Sample = (StreamId, Vec<NewEvent>);

/// Writes a history of any size: many short streams and a few long ones.
#[derive(Clone, Copy)]
pub struct Samples {
    /// A short stream and its events, by its number. All short streams have the same number of
    /// events.
    pub short: fn(u32) -> Result<Sample, SampleError>,
    /// A long stream, by its number.
    pub long: fn(u32) -> Result<StreamId, SampleError>,
    /// An event of a long stream, by the numbers of stream and event.
    pub long_event: fn(u32, u64) -> Result<NewEvent, SampleError>,
}
