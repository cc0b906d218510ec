//! What operations cost.

use aws_sdk_dynamodb::types::ConsumedCapacity;
use std::ops::AddAssign;

/// Requests and capacity units, as DynamoDB's answers report them.
///
/// A refused write bears no report, though DynamoDB charges for it: it is counted by the size of its item.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Requests, without the retries that the SDK makes by itself.
    pub requests: u32,
    /// Write units (1 KB each).
    pub write_units: f64,
    /// Read units (4 KB each; half for an eventually consistent read).
    pub read_units: f64,
}

impl Usage {
    pub(crate) fn write(consumed: Option<&ConsumedCapacity>) -> Self {
        Self { requests: 1, write_units: units(consumed), read_units: 0.0 }
    }

    pub(crate) fn read(consumed: Option<&ConsumedCapacity>) -> Self {
        Self { requests: 1, write_units: 0.0, read_units: units(consumed) }
    }

    /// A transaction's answer, by table. An SDK's retry that finds it done is charged reads instead of writes.
    pub(crate) fn transaction(consumed: &[ConsumedCapacity]) -> Self {
        let mut usage = Self { requests: 1, ..Self::default() };
        for table in consumed {
            let read = table.read_capacity_units().unwrap_or_default();
            usage.read_units += read;
            usage.write_units += units(Some(table)) - read;
        }
        usage
    }

    pub(crate) fn refused_write(kilobytes: u32) -> Self {
        Self { requests: 1, write_units: f64::from(kilobytes), read_units: 0.0 }
    }
}

fn units(consumed: Option<&ConsumedCapacity>) -> f64 {
    consumed.and_then(ConsumedCapacity::capacity_units).unwrap_or_default()
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.write_units += other.write_units;
        self.read_units += other.read_units;
    }
}
