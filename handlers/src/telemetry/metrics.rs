//! Metrics in CloudWatch's embedded metric format: one line per invocation.
//!
//! Sums are local to the task of an invocation, so concurrent invocations share none. Outside of an
//! invocation nothing is counted.

use super::Component;
use crate::app::identity;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Metrics. Their names are public: alarms and dashboards use them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Handled commands, including replays.
    Commands,
    /// Commands that the domain rejected.
    Refusals,
    /// Conflicts with other commands on the same stream.
    Conflicts,
    /// Commands that an earlier try had recorded.
    Replays,
    /// Requests to the event store.
    Requests,
    /// Write units of the event store.
    WriteUnits,
    /// Read units of the event store.
    ReadUnits,
    /// Messages that a consumer received, or that fan-out sent.
    Messages,
    /// Messages or records that will be delivered again.
    Unhandled,
    /// The age of the newest event when it was applied: the highest of the invocation, in
    /// milliseconds.
    LagMs,
    /// Streams that were parked.
    Parked,
    /// Commits that were changed or removed in the table.
    Tampering,
    /// Reported failures. They go to Sentry if there is a DSN.
    Reports,
    /// Transactions that were sampled for Sentry.
    Traces,
}

impl Metric {
    /// Its name in CloudWatch.
    pub fn name(self) -> &'static str {
        match self {
            Self::Commands => "Commands",
            Self::Refusals => "Refusals",
            Self::Conflicts => "Conflicts",
            Self::Replays => "Replays",
            Self::Requests => "Requests",
            Self::WriteUnits => "WriteUnits",
            Self::ReadUnits => "ReadUnits",
            Self::Messages => "Messages",
            Self::Unhandled => "Unhandled",
            Self::LagMs => "LagMs",
            Self::Parked => "Parked",
            Self::Tampering => "Tampering",
            Self::Reports => "Reports",
            Self::Traces => "Traces",
        }
    }

    fn unit(self) -> &'static str {
        if self == Self::LagMs { "Milliseconds" } else { "Count" }
    }
}

tokio::task_local! {
    static OPEN: Sums;
}

/// The sums of one invocation.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums(Arc<Mutex<BTreeMap<Metric, f64>>>);

/// Counts one.
pub fn count(metric: Metric) {
    add(metric, 1.0);
}

/// Adds to a sum.
pub fn add(metric: Metric, amount: f64) {
    update(metric, |sum| sum + amount);
}

/// Keeps the highest value.
pub fn highest(metric: Metric, value: f64) {
    update(metric, |highest| highest.max(value));
}

fn update(metric: Metric, change: impl FnOnce(f64) -> f64) {
    // Outside of an invocation nothing is counted.
    let _ = OPEN.try_with(|sums| {
        let mut sums = sums.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = sums.entry(metric).or_default();
        *sum = change(*sum);
    });
}

/// The namespace of the app's metrics.
pub fn namespace() -> &'static str {
    &identity().title
}

impl Sums {
    /// Runs the work and collects its metrics in these sums.
    pub(super) fn collect<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        OPEN.scope(self.clone(), work)
    }

    pub(super) fn of(&self, metric: Metric) -> f64 {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&metric)
            .copied()
            .unwrap_or_default()
    }

    /// Writes the line, unless nothing was counted.
    pub(super) fn print(&self, stage: &str, component: Component, request_id: &str) {
        let Some(line) = self.line(stage, component, request_id, SystemTime::now()) else { return };
        // If standard output is gone, there is no other place to report it.
        let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
    }

    fn line(
        &self,
        stage: &str,
        component: Component,
        request_id: &str,
        now: SystemTime,
    ) -> Option<Value> {
        let sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted: BTreeMap<Metric, f64> = sums
            .iter()
            .filter(|(_, sum)| **sum != 0.0)
            .map(|(metric, sum)| (*metric, *sum))
            .collect();
        if counted.is_empty() {
            return None;
        }
        let time_ms = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let metrics: Vec<Value> = counted
            .keys()
            .map(|metric| json!({"Name": metric.name(), "Unit": metric.unit()}))
            .collect();
        let directive = json!({"Namespace": namespace(), "Dimensions": [["Stage", "Component"]], "Metrics": metrics});
        let mut line = Map::new();
        line.insert(
            "_aws".to_owned(),
            json!({"Timestamp": u64::try_from(time_ms).unwrap_or(u64::MAX), "CloudWatchMetrics": [directive]}),
        );
        line.insert("Stage".to_owned(), stage.into());
        line.insert("Component".to_owned(), component.name().into());
        line.insert("request_id".to_owned(), request_id.into());
        line.extend(counted.iter().map(|(metric, sum)| (metric.name().to_owned(), json!(sum))));
        Some(Value::Object(line))
    }
}

#[cfg(test)]
mod specs {
    use super::*;

    #[tokio::test]
    async fn a_line_has_the_shape_that_cloudwatch_reads() {
        let sums = Sums::default();
        let work = async {
            count(Metric::Commands);
            count(Metric::Commands);
            add(Metric::WriteUnits, 1.5);
            add(Metric::Replays, 0.0);
            highest(Metric::LagMs, 20.0);
            highest(Metric::LagMs, 7.0);
        };
        sums.collect(work).await;
        let line = sums.line(
            "prod",
            Component::CommandApi,
            "r-1",
            UNIX_EPOCH + std::time::Duration::from_millis(5),
        );
        let expected = json!({
            "_aws": {"Timestamp": 5, "CloudWatchMetrics": [{
                "Namespace": "Ledgerfold",
                "Dimensions": [["Stage", "Component"]],
                "Metrics": [
                    {"Name": "Commands", "Unit": "Count"},
                    {"Name": "WriteUnits", "Unit": "Count"},
                    {"Name": "LagMs", "Unit": "Milliseconds"},
                ],
            }]},
            "Stage": "prod", "Component": "command-api", "request_id": "r-1",
            "Commands": 2.0, "WriteUnits": 1.5, "LagMs": 20.0,
        });
        assert_eq!(line, Some(expected));
    }

    #[tokio::test]
    async fn sums_are_not_shared_and_empty_ones_have_no_line() {
        let (one, two) = (Sums::default(), Sums::default());
        count(Metric::Commands);
        futures::join!(one.collect(async { count(Metric::Parked) }), two.collect(async {}));
        assert_eq!(
            (one.of(Metric::Parked), two.of(Metric::Parked), one.of(Metric::Commands)),
            (1.0, 0.0, 0.0)
        );
        assert_eq!(two.line("s", Component::FanOut, "r", UNIX_EPOCH), None);
    }
}
