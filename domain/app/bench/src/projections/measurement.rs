//! What a piece of work cost, as a table row and as JSON.

use super::meter::Spent;
use crate::figures::{rounded, short};
use serde_json::{Value, json};
use std::time::Duration;

/// The columns of [`Measurement::as_row`].
pub(super) const HEADING: [&str; 14] = [
    "PROJECTION",
    "WORK",
    "THREADS",
    "EVENTS",
    "A SECOND",
    "TIMES LIVE",
    "BY CPU",
    "REQUESTS",
    "WRITE UNITS",
    "READ UNITS",
    "ENGINE µs",
    "CLIENT µs",
    "OF IT SDK µs",
    "PEAK MB",
];

/// A piece of work to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Live, one message per delivery.
    OneByOne,
    /// Live, ten messages per delivery.
    Batches,
    /// The first pass of a rebuild.
    Backfill,
    /// Its other passes, which verify it.
    Verification,
    /// All passes.
    Rebuild,
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Self::OneByOne => "one_by_one",
            Self::Batches => "batches_of_10",
            Self::Backfill => "backfill",
            Self::Verification => "proof",
            Self::Rebuild => "rebuild",
        }
    }
}

/// What a piece of work cost.
#[derive(Debug, Clone)]
pub(super) struct Measurement {
    pub(super) projection: &'static str,
    pub(super) work: Work,
    pub(super) threads: u32,
    /// Events that the projection follows.
    pub(super) events: u32,
    pub(super) spent: Spent,
    pub(super) times_live: TimesLive,
}

/// Speed relative to live events, one by one. None where it is not known.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TimesLive {
    /// Events per second.
    by_time: Option<f64>,
    /// Events per CPU second of engine and projectors, which other load hardly changes.
    by_cpu: Option<f64>,
}

impl Measurement {
    fn events_per_s(&self) -> f64 {
        f64::from(self.events) / self.spent.elapsed.as_secs_f64()
    }

    /// CPU time per event, in microseconds.
    fn cpu_us(&self) -> Option<f64> {
        Some(self.us(self.spent.engine_cpu? + self.spent.projector_cpu?))
    }

    /// Compares it with the same projection's live events, one by one.
    pub(super) fn compared_with(self, live: &Self) -> Self {
        let times = |ours: f64, theirs: f64| (theirs > 0.0).then(|| ours / theirs);
        let by_time = times(self.events_per_s(), live.events_per_s());
        let by_cpu = live.cpu_us().zip(self.cpu_us()).and_then(|(live, ours)| times(live, ours));
        Self { times_live: TimesLive { by_time, by_cpu }, ..self }
    }

    /// Sums; averages where the name says so.
    pub(super) fn as_json(&self) -> Value {
        let Spent { elapsed, traffic, engine_cpu, projector_cpu, peak_bytes } = &self.spent;
        json!({
            "projection": self.projection,
            "work": self.work.name(),
            "threads": self.threads,
            "events": self.events,
            "elapsed_ms": rounded(elapsed.as_secs_f64() * 1e3),
            "events_per_s": rounded(self.events_per_s()),
            "times_live": self.times_live.by_time.map(rounded),
            "times_live_by_cpu": self.times_live.by_cpu.map(rounded),
            "requests": traffic.requests,
            "refused": traffic.refused,
            "write_units": traffic.write_units,
            "read_units": traffic.read_units,
            "engine_cpu_us_per_event": engine_cpu.map(|cpu| rounded(self.us(cpu))),
            "client_cpu_us_per_event": projector_cpu.map(|cpu| rounded(self.us(cpu))),
            "sdk_us_per_event": rounded(self.us(traffic.sdk)),
            "peak_bytes": peak_bytes,
        })
    }

    /// Averages of one event, for [`HEADING`].
    pub(super) fn as_row(&self) -> [String; 14] {
        let Spent { traffic, engine_cpu, projector_cpu, peak_bytes, .. } = &self.spent;
        let average = |sum: f64| short(sum / f64::from(self.events.max(1)), 3);
        let times = |times: Option<f64>| {
            times.map_or_else(|| "-".to_owned(), |times| format!("{times:.1}"))
        };
        let cpu = |cpu: &Option<Duration>| {
            cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{:.0}", self.us(cpu)))
        };
        [
            self.projection.to_owned(),
            self.work.name().replace('_', " "),
            self.threads.to_string(),
            self.events.to_string(),
            format!("{:.0}", self.events_per_s()),
            times(self.times_live.by_time),
            times(self.times_live.by_cpu),
            average(traffic.requests.values().copied().map(f64::from).sum()),
            average(traffic.write_units),
            average(traffic.read_units),
            cpu(engine_cpu),
            cpu(projector_cpu),
            format!("{:.0}", self.us(traffic.sdk)),
            peak_bytes.map_or_else(|| "-".to_owned(), |bytes| (bytes / 1_000_000).to_string()),
        ]
    }

    /// Microseconds per event.
    fn us(&self, sum: Duration) -> f64 {
        sum.as_secs_f64() * 1e6 / f64::from(self.events.max(1))
    }
}
