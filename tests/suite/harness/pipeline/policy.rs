//! The settings of mappings with AWS's names, and those of the template.

use crate::aws::template::{Template, get_att, number};
use serde_json::{Value, json};

/// Where a mapping begins on a stream with records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// At the oldest record.
    TrimHorizon,
    /// At the next record.
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
    /// `MaximumRetryAttempts`; unlimited if absent.
    pub(crate) max_retries: Option<u32>,
    /// `MaximumRecordAgeInSeconds`; the stream's retention if absent.
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
    /// The deployed mapping of fan-out.
    pub(crate) fn of_fan_out() -> Self {
        let template = Template::read();
        let mapping = template.properties("FanOutMapping");
        let seconds = |name: &str| mapping.get(name).map(|value| number(value) * 1_000);
        let filters = mapping["FilterCriteria"]["Filters"].as_array().cloned().unwrap_or_default();
        let pattern =
            |filter: &Value| serde_json::from_str(filter["Pattern"].as_str().unwrap()).unwrap();
        assert_eq!(
            mapping["FunctionResponseTypes"],
            json!(["ReportBatchItemFailures"]),
            "responses would be ignored"
        );
        Self {
            batch_size: small(&mapping["BatchSize"]),
            batching_window_ms: seconds("MaximumBatchingWindowInSeconds").unwrap_or(0),
            parallelization_factor: mapping.get("ParallelizationFactor").map_or(1, small),
            bisect: mapping["BisectBatchOnFunctionError"] == true,
            // -1: unlimited until the record is too old.
            max_retries: mapping
                .get("MaximumRetryAttempts")
                .filter(|retries| **retries != -1)
                .map(small),
            max_record_age_ms: seconds("MaximumRecordAgeInSeconds"),
            filters: filters.iter().map(pattern).collect(),
            start: if mapping["StartingPosition"] == "LATEST" {
                Start::Latest
            } else {
                Start::TrimHorizon
            },
            timeout_ms: timeout_ms(&template, mapping),
        }
    }
}

impl FifoPolicy {
    /// The deployed mapping of a queue, by its consumer.
    pub(crate) fn of(consumer: &str) -> Self {
        let template = Template::read();
        let mapping = template.properties(match consumer {
            "orders" => "OrdersProjectorMapping",
            "stock" => "StockProjectorMapping",
            "bestsellers" => "BestsellersProjectorMapping",
            "audit" => "AuditProjectorMapping",
            "journal" => "JournalProjectorMapping",
            "fulfilment" => "FulfilmentProcessMapping",
            "rebuild" => "RebuildWorkerMapping",
            other => panic!("no mapping is known of {other}"),
        });
        let queue = template.properties(get_att(&mapping["EventSourceArn"]).unwrap().0);
        assert_eq!(
            mapping["FunctionResponseTypes"],
            json!(["ReportBatchItemFailures"]),
            "responses would be ignored"
        );
        Self {
            batch_size: small(&mapping["BatchSize"]),
            max_concurrency: small(&mapping["ScalingConfig"]["MaximumConcurrency"]),
            timeout_ms: timeout_ms(&template, mapping),
            visibility_ms: number(&queue["VisibilityTimeout"]) * 1_000,
            max_receives: small(&queue["RedrivePolicy"]["maxReceiveCount"]),
        }
    }
}

/// The time-out of the mapping's function.
fn timeout_ms(template: &Template, mapping: &Value) -> u64 {
    let function = get_att(&mapping["FunctionName"]).unwrap().0;
    number(&template.properties(function)["Timeout"]) * 1_000
}

fn small<N: TryFrom<u64, Error: std::fmt::Debug>>(value: &Value) -> N {
    number(value).try_into().unwrap()
}
