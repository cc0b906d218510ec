//! How the mappings of the system are set, as the template sets them ([`crate::template`] compares), and what AWS calls them. How
//! many batches run at once is not the template's, and a record is given up sooner, so that a case comes to it.

use serde_json::{Value, json};

/// Where a mapping begins on a stream that has records already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// With the oldest one.
    TrimHorizon,
    /// With the next one.
    Latest,
}

/// A mapping of a stream.
#[derive(Debug, Clone)]
pub(crate) struct StreamPolicy {
    /// `BatchSize`.
    pub(crate) batch_size: usize,
    /// `MaximumBatchingWindowInSeconds`.
    pub(crate) batching_window_ms: u64,
    /// `ParallelizationFactor`.
    pub(crate) parallelization_factor: usize,
    /// `BisectBatchOnFunctionError`.
    pub(crate) bisect: bool,
    /// `MaximumRetryAttempts`; without end if absent.
    pub(crate) max_retries: Option<u32>,
    /// `MaximumRecordAgeInSeconds`; as long as the stream keeps them if absent.
    pub(crate) max_record_age_ms: Option<u64>,
    /// `FilterCriteria`.
    pub(crate) filters: Vec<Value>,
    /// `StartingPosition`.
    pub(crate) start: Start,
    /// The function's `Timeout`.
    pub(crate) timeout_ms: u64,
}

/// A FIFO queue and its mapping.
#[derive(Debug, Clone)]
pub(crate) struct FifoPolicy {
    /// `BatchSize`.
    pub(crate) batch_size: i32,
    /// `MaximumConcurrency`.
    pub(crate) max_concurrency: usize,
    /// The function's `Timeout`.
    pub(crate) timeout_ms: u64,
    /// The queue's `VisibilityTimeout`.
    pub(crate) visibility_ms: u64,
    /// `maxReceiveCount` of the queue's `RedrivePolicy`.
    pub(crate) max_receives: u32,
}

impl StreamPolicy {
    /// That of fan-out.
    pub(crate) fn of_fan_out() -> Self {
        Self {
            batch_size: 100,
            batching_window_ms: 0,
            parallelization_factor: 1,
            bisect: true,
            max_retries: Some(100),
            max_record_age_ms: Some(6 * 60 * 60 * 1_000),
            filters: vec![commits_only()],
            start: Start::TrimHorizon,
            timeout_ms: 30_000,
        }
    }
}

impl FifoPolicy {
    /// That of a consumer's queue.
    pub(crate) fn of_consumers() -> Self {
        Self { batch_size: 10, max_concurrency: 4, timeout_ms: 10_000, visibility_ms: 60_000, max_receives: 20 }
    }

    /// That of the queue of jobs: one call at a time.
    pub(crate) fn of_jobs() -> Self {
        Self { batch_size: 1, ..Self::of_consumers() }
    }
}

/// Lets records of batches through and no snapshots; what is changed or removed as well, since that is tampering.
fn commits_only() -> Value {
    let snapshot = (eventstore::MAX_VERSION + 1).to_string();
    json!({"dynamodb": {"Keys": {"version": {"N": [{"anything-but": [snapshot]}]}}}})
}
