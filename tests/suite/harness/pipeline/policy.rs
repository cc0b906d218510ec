//! How mappings are set, in AWS's words; and how those of the system are, which its template says.

use crate::aws::template::{Template, get_att, number};
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
    /// That of fan-out, as it is deployed.
    pub(crate) fn of_fan_out() -> Self {
        let template = Template::read();
        let mapping = template.properties("FanOutMapping");
        let seconds = |name: &str| mapping.get(name).map(|value| number(value) * 1_000);
        let filters = mapping["FilterCriteria"]["Filters"].as_array().cloned().unwrap_or_default();
        let pattern = |filter: &Value| serde_json::from_str(filter["Pattern"].as_str().unwrap()).unwrap();
        assert_eq!(mapping["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]), "answers would not be read");
        Self {
            batch_size: small(&mapping["BatchSize"]),
            batching_window_ms: seconds("MaximumBatchingWindowInSeconds").unwrap_or(0),
            parallelization_factor: mapping.get("ParallelizationFactor").map_or(1, small),
            bisect: mapping["BisectBatchOnFunctionError"] == true,
            // -1: as often as it takes, until the record is too old.
            max_retries: mapping.get("MaximumRetryAttempts").filter(|retries| **retries != -1).map(small),
            max_record_age_ms: seconds("MaximumRecordAgeInSeconds"),
            filters: filters.iter().map(pattern).collect(),
            start: if mapping["StartingPosition"] == "LATEST" { Start::Latest } else { Start::TrimHorizon },
            timeout_ms: timeout_ms(&template, mapping),
        }
    }
}

impl FifoPolicy {
    /// That of a queue, by what is behind it, as it is deployed.
    pub(crate) fn of(consumer: &str) -> Self {
        let template = Template::read();
        let mapping = template.properties(match consumer {
            "orders" => "OrdersProjectorMapping",
            "stock" => "StockProjectorMapping",
            "bestsellers" => "BestsellersProjectorMapping",
            "audit" => "AuditProjectorMapping",
            "fulfilment" => "FulfilmentProcessMapping",
            "rebuild" => "RebuildWorkerMapping",
            other => panic!("no mapping is known of {other}"),
        });
        let queue = template.properties(get_att(&mapping["EventSourceArn"]).unwrap().0);
        assert_eq!(mapping["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]), "answers would not be read");
        Self {
            batch_size: small(&mapping["BatchSize"]),
            max_concurrency: small(&mapping["ScalingConfig"]["MaximumConcurrency"]),
            timeout_ms: timeout_ms(&template, mapping),
            visibility_ms: number(&queue["VisibilityTimeout"]) * 1_000,
            max_receives: small(&queue["RedrivePolicy"]["maxReceiveCount"]),
        }
    }
}

/// The time-out of the function that the mapping calls.
fn timeout_ms(template: &Template, mapping: &Value) -> u64 {
    let function = get_att(&mapping["FunctionName"]).unwrap().0;
    number(&template.properties(function)["Timeout"]) * 1_000
}

fn small<N: TryFrom<u64, Error: std::fmt::Debug>>(value: &Value) -> N {
    number(value).try_into().unwrap()
}
