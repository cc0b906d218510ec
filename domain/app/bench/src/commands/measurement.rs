//! What a number of commands took: requests, units, bytes, CPU and time.

use crate::cli::failure::Failure;
use crate::local::engines::dynamodb;
use eventstore::Usage;
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// The columns of [`Taken::as_row`].
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

/// An operation to measure.
#[derive(Debug, Clone)]
pub(super) struct Heat {
    /// Its name for programs.
    pub(super) operation: &'static str,
    /// Its name for people.
    pub(super) what: String,
    pub(super) commands: u32,
    /// How many clients give the commands.
    pub(super) clients: u32,
}

/// What the commands of an operation took.
#[derive(Debug)]
pub(super) struct Taken {
    heat: Heat,
    usage: Usage,
    /// What each command took, the quickest first.
    times: Vec<Duration>,
    elapsed: Duration,
    cpu: Option<Duration>,
}

impl Taken {
    /// Has the clients give the commands, each the next one as soon as it has done one. `command` gets the client's and
    /// the command's number, both from 0.
    pub(super) async fn by<F>(
        heat: Heat,
        command: impl Fn(u32, u32) -> F + Clone + Send + Sync + 'static,
    ) -> Result<Self, Failure>
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let (next, mut clients) = (Arc::new(AtomicU32::new(0)), JoinSet::new());
        let (start, cpu_before) = (Instant::now(), client_cpu());
        for client in 0..heat.clients {
            clients.spawn(give(client, heat.commands, next.clone(), command.clone()));
        }
        let (mut usage, mut times) = (Usage::default(), Vec::new());
        while let Some(ended) = clients.join_next().await {
            let (cost, took) = ended.map_err(|error| Failure::new("a client died", error))??;
            usage += cost;
            times.extend(took);
        }
        let (elapsed, cpu_after) = (start.elapsed(), client_cpu());
        times.sort_unstable();
        let cpu = cpu_before.zip(cpu_after).map(|(before, after)| after.saturating_sub(before));
        Ok(Self { heat, usage, times, elapsed, cpu })
    }

    /// For programs: sums, and the figures of one command where its name says so.
    pub(super) fn as_json(&self) -> Value {
        let Usage { requests, attempts, write_units, read_units, bytes_sent, bytes_received } = self.usage;
        json!({
            "operation": self.heat.operation,
            "what": self.heat.what,
            "commands": self.heat.commands,
            "clients": self.heat.clients,
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

    /// For people: averages of one command.
    pub(super) fn as_row(&self) -> [String; 12] {
        let Usage { requests, attempts, write_units, read_units, .. } = self.usage;
        let commands = f64::from(self.heat.commands);
        let average = |sum: f64| plain(sum / commands);
        let bytes = |sum: u64| (sum / u64::from(self.heat.commands)).to_string();
        [
            self.heat.what.clone(),
            self.heat.commands.to_string(),
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
        self.cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / f64::from(self.heat.commands))
    }

    fn commands_per_s(&self) -> f64 {
        f64::from(self.heat.commands) / self.elapsed.as_secs_f64()
    }

    /// The time that so many of a hundred commands did not exceed.
    fn percentile_ms(&self, percent: usize) -> f64 {
        let last = (self.times.len() * percent).div_ceil(100).max(1) - 1;
        self.times.get(last).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }
}

/// One client: gives the next command until there is none left.
async fn give<F: Future<Output = Result<(), Failure>>>(
    client: u32,
    commands: u32,
    next: Arc<AtomicU32>,
    command: impl Fn(u32, u32) -> F,
) -> Result<(Usage, Vec<Duration>), Failure> {
    let (mut sum, mut times) = (Usage::default(), Vec::new());
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= commands {
            return Ok((sum, times));
        }
        let start = Instant::now();
        let (ended, usage) = Usage::of(command(client, number)).await;
        ended?;
        times.push(start.elapsed());
        sum += usage;
    }
}

/// What this process has computed so far, without the threads of its engine; nothing where the system does not tell.
fn client_cpu() -> Option<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir("/proc/self/task").ok()? {
        let thread = thread.ok()?.path();
        // A thread may end while the others are read.
        let Ok(name) = fs::read_to_string(thread.join("comm")) else { continue };
        let Ok(spent) = fs::read_to_string(thread.join("schedstat")) else { continue };
        if !name.starts_with(dynamodb::THREADS) {
            nanos += spent.split_whitespace().next()?.parse::<u64>().ok()?;
        }
    }
    Some(Duration::from_nanos(nanos)).filter(|cpu| !cpu.is_zero())
}

/// Two decimals at most.
fn plain(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::{Heat, Taken, plain};
    use eventstore::Usage;
    use std::time::Duration;

    #[test]
    fn a_percentile_is_the_time_that_so_many_did_not_exceed() {
        let taken = |times: &[u64]| Taken {
            heat: Heat { operation: "x", what: "x".to_owned(), commands: 1, clients: 1 },
            usage: Usage::default(),
            times: times.iter().map(|ms| Duration::from_millis(*ms)).collect(),
            elapsed: Duration::from_secs(1),
            cpu: None,
        };
        let hundred: Vec<u64> = (1..=100).collect();
        for (times, p50, p99) in
            [(&hundred[..], "50", "99"), (&[7], "7", "7"), (&[1, 2, 3], "2", "3"), (&[1, 2, 3, 4], "2", "4")]
        {
            let taken = taken(times);
            assert_eq!((plain(taken.percentile_ms(50)), plain(taken.percentile_ms(99))), (p50.into(), p99.into()));
        }
    }

    #[test]
    fn an_average_has_no_more_decimals_than_it_needs() {
        assert_eq!([1.0, 0.5, 2.034, 0.0, 100.0].map(plain), ["1", "0.5", "2.03", "0", "100"]);
    }
}
