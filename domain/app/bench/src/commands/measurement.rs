//! Runs the commands of a scenario and measures requests, units, bytes, CPU and time.

use crate::figures::{rounded, short};
use crate::thread_cpu::{ThreadRole, threads};
use eventstore::Usage;
use ledgerfold::cli::Failure;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// The columns of [`Measurement::as_row`].
pub(super) const HEADING: [&str; 12] = [
    "OPERATION",
    "COMMANDS",
    "REQUESTS",
    "ATTEMPTS",
    "WRITE UNITS",
    "READ UNITS",
    "SENT",
    "RECEIVED",
    "CPU µs",
    "A SECOND",
    "P50 ms",
    "P99 ms",
];

/// An operation to measure, and how often.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    /// Its name in JSON.
    pub(super) operation: &'static str,
    /// Its name in the table.
    pub(super) what: String,
    pub(super) commands: u32,
    /// Concurrent clients that send the commands.
    pub(super) clients: u32,
}

/// What the commands of a scenario cost.
#[derive(Debug)]
pub(super) struct Measurement {
    scenario: Scenario,
    usage: Usage,
    /// The duration of each command, in ascending order.
    times: Vec<Duration>,
    elapsed: Duration,
    cpu: Option<Duration>,
}

impl Measurement {
    /// Runs all commands. Each client starts the next one when its last is done. `command` gets the
    /// numbers of client and command, both from 0.
    pub(super) async fn run<F>(
        scenario: Scenario,
        command: impl Fn(u32, u32) -> F + Clone + Send + Sync + 'static,
    ) -> Result<Self, Failure>
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let (next, mut clients) = (Arc::new(AtomicU32::new(0)), JoinSet::new());
        let (start, cpu_before) = (Instant::now(), client_cpu());
        for client in 0..scenario.clients {
            clients.spawn(run_client(client, scenario.commands, next.clone(), command.clone()));
        }
        let (mut usage, mut times) = (Usage::default(), Vec::new());
        while let Some(result) = clients.join_next().await {
            let (client_usage, client_times) =
                result.map_err(|error| Failure::new("a client panicked", error))??;
            usage += client_usage;
            times.extend(client_times);
        }
        let (elapsed, cpu_after) = (start.elapsed(), client_cpu());
        times.sort_unstable();
        let cpu = cpu_before.zip(cpu_after).map(|(before, after)| after.saturating_sub(before));
        Ok(Self { scenario, usage, times, elapsed, cpu })
    }

    /// Sums; averages where the name says so.
    pub(super) fn as_json(&self) -> Value {
        let Usage { requests, attempts, write_units, read_units, bytes_sent, bytes_received } =
            self.usage;
        json!({
            "operation": self.scenario.operation,
            "what": self.scenario.what,
            "commands": self.scenario.commands,
            "clients": self.scenario.clients,
            "requests": requests,
            "attempts": attempts,
            "write_units": write_units,
            "read_units": read_units,
            "bytes_sent": bytes_sent,
            "bytes_received": bytes_received,
            "cpu_us_per_command": self.cpu_us().map(rounded),
            "commands_per_s": rounded(self.commands_per_s()),
            "p50_ms": rounded(self.percentile_ms(50)),
            "p99_ms": rounded(self.percentile_ms(99)),
        })
    }

    /// Averages of one command, for [`HEADING`].
    pub(super) fn as_row(&self) -> [String; 12] {
        let Usage { requests, attempts, write_units, read_units, .. } = self.usage;
        let commands = f64::from(self.scenario.commands);
        let average = |sum: f64| short(sum / commands, 2);
        let bytes = |sum: u64| (sum / u64::from(self.scenario.commands)).to_string();
        [
            self.scenario.what.clone(),
            self.scenario.commands.to_string(),
            average(requests.into()),
            average(attempts.into()),
            average(write_units),
            average(read_units),
            bytes(self.usage.bytes_sent),
            bytes(self.usage.bytes_received),
            self.cpu_us().map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.0}")),
            format!("{:.0}", self.commands_per_s()),
            format!("{:.2}", self.percentile_ms(50)),
            format!("{:.2}", self.percentile_ms(99)),
        ]
    }

    fn cpu_us(&self) -> Option<f64> {
        self.cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / f64::from(self.scenario.commands))
    }

    fn commands_per_s(&self) -> f64 {
        f64::from(self.scenario.commands) / self.elapsed.as_secs_f64()
    }

    /// The duration that this percentage of commands did not exceed.
    fn percentile_ms(&self, percent: usize) -> f64 {
        let last = (self.times.len() * percent).div_ceil(100).max(1) - 1;
        self.times.get(last).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }
}

/// One client: runs the next command until none is left.
async fn run_client<F: Future<Output = Result<(), Failure>>>(
    client: u32,
    commands: u32,
    next: Arc<AtomicU32>,
    command: impl Fn(u32, u32) -> F,
) -> Result<(Usage, Vec<Duration>), Failure> {
    let (mut usage, mut times) = (Usage::default(), Vec::new());
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= commands {
            return Ok((usage, times));
        }
        let start = Instant::now();
        let (result, command_usage) = Usage::of(command(client, number)).await;
        result?;
        times.push(start.elapsed());
        usage += command_usage;
    }
}

/// The CPU time of this process without its engine's threads; none where it is not known.
fn client_cpu() -> Option<Duration> {
    let ours = threads()?.into_iter().filter(|thread| thread.role != ThreadRole::Engine);
    let cpu: Duration = ours.map(|thread| thread.cpu).sum();
    Some(cpu).filter(|cpu| !cpu.is_zero())
}

#[cfg(test)]
mod tests {
    use super::{Measurement, Scenario};
    use crate::figures::short;
    use eventstore::Usage;
    use std::time::Duration;

    #[test]
    fn a_percentile_is_the_time_that_so_many_did_not_exceed() {
        let measurement = |times: &[u64]| Measurement {
            scenario: Scenario { operation: "x", what: "x".to_owned(), commands: 1, clients: 1 },
            usage: Usage::default(),
            times: times.iter().map(|ms| Duration::from_millis(*ms)).collect(),
            elapsed: Duration::from_secs(1),
            cpu: None,
        };
        let hundred: Vec<u64> = (1..=100).collect();
        for (times, p50, p99) in [
            (&hundred[..], "50", "99"),
            (&[7], "7", "7"),
            (&[1, 2, 3], "2", "3"),
            (&[1, 2, 3, 4], "2", "4"),
        ] {
            let measurement = measurement(times);
            let percentile = |percent| short(measurement.percentile_ms(percent), 2);
            assert_eq!((percentile(50), percentile(99)), (p50.into(), p99.into()));
        }
    }
}
