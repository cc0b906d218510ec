//! Sample histories, to measure an app's read models with.

use eventstore::{NewEvent, StreamId};
use std::error::Error;

/// Why a sample cannot be made.
pub type SampleError = Box<dyn Error + Send + Sync>;
/// A stream and its events.
pub type Sample = (StreamId, Vec<NewEvent>);

/// How to write a history of any size: many short streams, and a few long ones.
#[derive(Clone, Copy)]
pub struct Samples {
    /// The short stream of that number, and its events. Each call names another stream; all have as many events.
    pub short: fn(u32) -> Result<Sample, SampleError>,
    /// The long stream of that number: the same at each call.
    pub long: fn(u32) -> Result<StreamId, SampleError>,
    /// An event of that long stream; the second number is another one for each of its events.
    pub long_event: fn(u32, u64) -> Result<NewEvent, SampleError>,
}
