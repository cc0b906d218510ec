//! How the mappings of the system are set: one place for the numbers, and what AWS calls them.

use serde_json::{Value, json};

/// Where a mapping begins on a stream that has records already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// With the oldest one.
    TrimHorizon,
    /// With the next one.
    Latest,
}

/// A mapping of a stream.
#[derive(Debug, Clone)]
pub(super) struct StreamPolicy {
    /// `BatchSize`.
    pub(super) batch_size: usize,
    /// `MaximumBatchingWindowInSeconds`.
    pub(super) batching_window_ms: u64,
    /// `ParallelizationFactor`.
    pub(super) parallelization_factor: usize,
    /// `BisectBatchOnFunctionError`.
    pub(super) bisect: bool,
    /// `MaximumRetryAttempts`; without end if absent.
    pub(super) max_retries: Option<u32>,
    /// `MaximumRecordAgeInSeconds`; as long as the stream keeps them if absent.
    pub(super) max_record_age_ms: Option<u64>,
    /// `FilterCriteria`.
    pub(super) filters: Vec<Value>,
    /// `StartingPosition`.
    pub(super) start: Start,
    /// The function's `Timeout`.
    pub(super) timeout_ms: u64,
}

/// A FIFO queue and its mapping.
#[derive(Debug, Clone)]
pub(super) struct FifoPolicy {
    /// `BatchSize`.
    pub(super) batch_size: i32,
    /// `MaximumConcurrency`.
    pub(super) max_concurrency: usize,
    /// The function's `Timeout`.
    pub(super) timeout_ms: u64,
    /// The queue's `VisibilityTimeout`.
    pub(super) visibility_ms: u64,
    /// `maxReceiveCount` of the queue's `RedrivePolicy`.
    pub(super) max_receives: u32,
}

impl StreamPolicy {
    /// That of fan-out.
    pub(super) fn of_fan_out() -> Self {
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
    pub(super) fn of_consumers() -> Self {
        Self { batch_size: 10, max_concurrency: 4, timeout_ms: 10_000, visibility_ms: 60_000, max_receives: 20 }
    }

    /// That of the queue of jobs: one call at a time.
    pub(super) fn of_jobs() -> Self {
        Self { batch_size: 1, ..Self::of_consumers() }
    }
}

/// Lets records of batches through and no snapshots; what is changed or removed as well, since that is tampering.
fn commits_only() -> Value {
    let snapshot = (eventstore::MAX_VERSION + 1).to_string();
    json!({"dynamodb": {"Keys": {"version": {"N": [{"anything-but": [snapshot]}]}}}})
}
