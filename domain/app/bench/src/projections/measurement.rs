//! What a measured piece of work took, for people and for programs.

use super::threads::Spent;
use serde_json::{Value, json};
use std::time::Duration;

/// The columns of [`Taken::as_row`].
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

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Every event as a message of its own.
    OneByOne,
    /// Ten messages at a time.
    Batches,
    /// A rebuild's first pass.
    Backfill,
    /// Its other passes.
    Proof,
    /// Both.
    Rebuild,
}

impl Work {
    fn word(self) -> &'static str {
        match self {
            Self::OneByOne => "one_by_one",
            Self::Batches => "batches_of_10",
            Self::Backfill => "backfill",
            Self::Proof => "proof",
            Self::Rebuild => "rebuild",
        }
    }
}

/// What a piece of work took.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) projection: &'static str,
    pub(super) work: Work,
    pub(super) threads: u32,
    /// Those that the projection follows.
    pub(super) events: u32,
    pub(super) spent: Spent,
    pub(super) times_live: TimesLive,
}

/// How many times as many events as live, one by one. None where that cannot be told.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TimesLive {
    /// In the same time.
    by_time: Option<f64>,
    /// With the same computing, of the engine and of those that project: much the same whatever else the machine does.
    by_cpu: Option<f64>,
}

impl Taken {
    fn events_per_s(&self) -> f64 {
        f64::from(self.events) / self.spent.elapsed.as_secs_f64()
    }

    /// What an event has computed, in microseconds.
    fn cpu_us(&self) -> Option<f64> {
        Some(self.us(self.spent.engine_cpu? + self.spent.projector_cpu?))
    }

    /// Compares it with the same projection's live events, one by one.
    pub(super) fn beside(self, live: &Self) -> Self {
        let times = |ours: f64, theirs: f64| (theirs > 0.0).then(|| ours / theirs);
        let by_time = times(self.events_per_s(), live.events_per_s());
        let by_cpu = live.cpu_us().zip(self.cpu_us()).and_then(|(live, ours)| times(live, ours));
        Self { times_live: TimesLive { by_time, by_cpu }, ..self }
    }

    /// For programs: sums, and the figures of one event where their names say so.
    pub(super) fn as_json(&self) -> Value {
        let Spent { elapsed, traffic, engine_cpu, projector_cpu, peak_bytes } = &self.spent;
        json!({
            "projection": self.projection,
            "work": self.work.word(),
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

    /// For people: averages of one event.
    pub(super) fn as_row(&self) -> [String; 14] {
        let Spent { traffic, engine_cpu, projector_cpu, peak_bytes, .. } = &self.spent;
        let average = |sum: f64| plain(sum / f64::from(self.events.max(1)));
        let times = |times: Option<f64>| times.map_or_else(|| "-".to_owned(), |times| format!("{times:.1}"));
        let cpu = |cpu: &Option<Duration>| cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{:.0}", self.us(cpu)));
        [
            self.projection.to_owned(),
            self.work.word().replace('_', " "),
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

    /// Microseconds an event.
    fn us(&self, sum: Duration) -> f64 {
        sum.as_secs_f64() * 1e6 / f64::from(self.events.max(1))
    }
}

/// Three decimals at most.
fn plain(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn an_average_has_no_more_decimals_than_it_needs() {
        assert_eq!([1.0, 0.5, 2.0344, 0.0, 100.0].map(plain), ["1", "0.5", "2.034", "0", "100"]);
    }
}
