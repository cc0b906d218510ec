//! What requests cost.

use crate::metering::meter;
use aws_sdk_dynamodb::types::ConsumedCapacity;
use std::ops::AddAssign;

/// Requests, attempts, capacity units and bytes.
///
/// Units are those that DynamoDB reports. It reports none for a refused write but charges it, so
/// that is counted by the size of the item. An attempt without an answer counts as an attempt
/// without units, because its cost is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Requests, without the retries of the SDK.
    pub requests: u32,
    /// Attempts: HTTP requests that were sent, with the retries of the SDK.
    pub attempts: u32,
    /// Write units (1 KB each).
    pub write_units: f64,
    /// Read units (4 KB each; half for an eventually consistent read).
    pub read_units: f64,
    /// Bytes of the bodies sent in all attempts, without HTTP headers.
    pub bytes_sent: u64,
    /// Bytes of the bodies received whole in all attempts, without HTTP headers.
    pub bytes_received: u64,
}

impl Usage {
    /// Runs the work and returns what the requests of all event stores in it cost, even if it
    /// failed.
    ///
    /// A task that the work spawns is not counted.
    ///
    /// ```no_run
    /// # async fn example(store: eventstore::EventStore, stream: eventstore::StreamId) {
    /// let (verified, usage) = eventstore::Usage::of(store.verify(&stream)).await;
    /// # }
    /// ```
    pub fn of<T>(work: impl Future<Output = T>) -> impl Future<Output = (T, Self)> {
        meter::measure(work)
    }

    /// The units of a write.
    pub(crate) fn written(consumed: Option<&ConsumedCapacity>) -> Self {
        Self { write_units: units(consumed), ..Self::default() }
    }

    /// The units of a read.
    pub(crate) fn read(consumed: Option<&ConsumedCapacity>) -> Self {
        Self { read_units: units(consumed), ..Self::default() }
    }

    /// The units of a transaction, by table. A retry of the SDK that finds it done is charged
    /// reads, not writes.
    pub(crate) fn transaction(consumed: &[ConsumedCapacity]) -> Self {
        let mut usage = Self::default();
        for table in consumed {
            let read = table.read_capacity_units().unwrap_or_default();
            usage.read_units += read;
            usage.write_units += units(Some(table)) - read;
        }
        usage
    }

    /// The units of a write that failed its condition.
    pub(crate) fn refused_write(kilobytes: u32) -> Self {
        Self { write_units: f64::from(kilobytes), ..Self::default() }
    }
}

fn units(consumed: Option<&ConsumedCapacity>) -> f64 {
    consumed.and_then(ConsumedCapacity::capacity_units).unwrap_or_default()
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.attempts += other.attempts;
        self.write_units += other.write_units;
        self.read_units += other.read_units;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
    }
}
