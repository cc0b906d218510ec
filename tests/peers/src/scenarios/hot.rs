//! Many writers on one stream. Every command is retried until it succeeds.

use super::{Cell, Process, Sizes, check, chosen, finish, float, new_stream};
use crate::Failure;
use crate::notebook::Command;
use crate::report::Table;
use crate::rows::Row;
use crate::scenarios::speed::process_cpu_s;
use crate::stats::{Spread, number, percentile_ms};
use crate::wire::Task;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const ROWS: [Row; 7] = [
    Row::Ledgerfold,
    Row::LedgerfoldRacing,
    Row::DynamoEs,
    Row::Esa,
    Row::EsaSnap,
    Row::Floor,
    Row::FloorAgain,
];

const NOTES: [&str; 6] = [
    "per command; requests and units from one run more through the meter; every run ended with exactly the commands \
     that were sent",
    "`ledgerfold` is one process, whose handler queues the commands of a stream; `ledgerfold, racing` has a handler for each \
     writer, as many processes have; ledgerfold pauses between its own attempts, the others try again at once",
    "a conflict is an attempt that another command overtook",
    "WCU refused are reckoned: DynamoDB charges a refused write by the size of its items, and no answer tells it",
    "this engine knows no TransactionConflict; on DynamoDB dynamo-es meets it as an unknown error, esa as a conflict",
    "transactions lose their `ClientRequestToken` on the way out, as above",
];

/// One timed cell.
#[derive(Debug, Serialize)]
pub(crate) struct Sample {
    round: usize,
    row: Row,
    writers: usize,
    per_s: f64,
    /// Per command.
    conflicts: f64,
    p99_ms: f64,
    /// Per command.
    client_cpu_us: f64,
}

/// The cost of a command, counted at the wire in a separate run.
#[derive(Debug, Serialize)]
pub(crate) struct Counted {
    row: Row,
    writers: usize,
    requests: f64,
    read_units: f64,
    write_units: f64,
    refused_units: f64,
}

/// What the writers measured.
struct Written {
    took: Vec<Duration>,
    conflicts: u32,
}

/// Times every row with every number of writers.
pub(crate) async fn run(sizes: &Sizes, rows: &[Row]) -> Result<Vec<Sample>, Failure> {
    let rows = chosen(rows, &ROWS);
    let mut samples = Vec::new();
    for writers in &sizes.writers {
        let cell = |round, row| sample(round, row, *writers, sizes.hot_commands);
        samples.extend(
            super::rounds(&format!("hot stream, {writers} writers"), sizes.rounds, &rows, cell)
                .await?,
        );
    }
    Ok(samples)
}

/// Counts every row with every number of writers, once.
pub(crate) async fn count(sizes: &Sizes, rows: &[Row]) -> Result<Vec<Counted>, Failure> {
    let rows = chosen(rows, &ROWS);
    let mut lines = Vec::new();
    for writers in &sizes.writers {
        let cell = |_, row| counted(row, *writers, sizes.hot_commands);
        lines.extend(
            super::rounds(&format!("hot stream counted, {writers} writers"), 1, &rows, cell)
                .await?,
        );
    }
    Ok(lines)
}

async fn sample(
    round: usize,
    row: Row,
    writers: usize,
    commands: usize,
) -> Result<Vec<Sample>, Failure> {
    let cell = Cell::open(row).await?;
    let process = cell.process_as(row, Task::DropTokens, writers).await?;
    // Opens the connections before the measurement.
    write(&process, writers, writers, &new_stream()).await?;
    let stream = new_stream();
    let (cpu_before, start) = (process_cpu_s(), Instant::now());
    let Written { mut took, conflicts } = write(&process, writers, commands, &stream).await?;
    let (elapsed, cpu_s) = (start.elapsed(), process_cpu_s() - cpu_before);
    check(&process.store, &stream, u64::try_from(commands)?).await?;
    cell.close().await?;
    took.sort_unstable();
    let count = float(took.len());
    Ok(vec![Sample {
        round,
        row,
        writers,
        per_s: count / elapsed.as_secs_f64(),
        conflicts: f64::from(conflicts) / count,
        p99_ms: percentile_ms(&took, 99),
        client_cpu_us: cpu_s * 1e6 / count,
    }])
}

async fn counted(row: Row, writers: usize, commands: usize) -> Result<Vec<Counted>, Failure> {
    let cell = Cell::open(row).await?;
    let process = cell.process_as(row, Task::Count, writers).await?;
    let stream = new_stream();
    write(&process, writers, commands, &stream).await?;
    let traffic = process.wire.take();
    check(&process.store, &stream, u64::try_from(commands)?).await?;
    cell.close().await?;
    let count = float(commands);
    Ok(vec![Counted {
        row,
        writers,
        requests: f64::from(traffic.requests) / count,
        read_units: traffic.units.read / count,
        write_units: traffic.units.written / count,
        refused_units: traffic.units.refused / count,
    }])
}

/// The writers share the commands.
async fn write(
    process: &Process,
    writers: usize,
    commands: usize,
    stream: &str,
) -> Result<Written, Failure> {
    let left = Arc::new(AtomicUsize::new(commands));
    let mut running = JoinSet::new();
    for writer in 0..writers {
        let (store, left, stream) = (process.store.clone(), left.clone(), stream.to_owned());
        running.spawn(async move {
            let mut written = Written { took: Vec::new(), conflicts: 0 };
            while left
                .try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_ok()
            {
                let command = Command::new(1);
                let start = Instant::now();
                written.conflicts += finish(&store, writer, &stream, &command).await?;
                written.took.push(start.elapsed());
            }
            Ok::<_, Failure>(written)
        });
    }
    let mut all = Written { took: Vec::new(), conflicts: 0 };
    while let Some(writer) = running.join_next().await {
        let written = writer??;
        all.took.extend(written.took);
        all.conflicts += written.conflicts;
    }
    Ok(all)
}

/// One table per number of writers.
pub(crate) fn tables(samples: &[Sample], counted: &[Counted]) -> Vec<Table> {
    let mut writers: Vec<usize> = samples.iter().map(|sample| sample.writers).collect();
    writers.sort_unstable();
    writers.dedup();
    let mut tables: Vec<Table> =
        writers.into_iter().map(|writers| table(writers, samples, counted)).collect();
    if let Some(last) = tables.last_mut() {
        last.notes = NOTES.to_vec();
    }
    tables
}

fn table(writers: usize, samples: &[Sample], counted: &[Counted]) -> Table {
    let lines = ROWS.iter().filter_map(|row| {
        let of_row: Vec<&Sample> = samples
            .iter()
            .filter(|sample| sample.row == *row && sample.writers == writers)
            .collect();
        let spread = |figure: fn(&Sample) -> f64| {
            Spread::of(of_row.iter().map(|sample| figure(sample))).to_string()
        };
        let cost = counted.iter().find(|line| line.row == *row && line.writers == writers)?;
        let figures = [
            spread(|sample| sample.per_s),
            spread(|sample| sample.conflicts),
            number(cost.requests),
            number(cost.read_units),
            number(cost.write_units),
            number(cost.refused_units),
            spread(|sample| sample.p99_ms),
            spread(|sample| sample.client_cpu_us),
        ];
        (!of_row.is_empty()).then(|| [row.name().to_owned()].into_iter().chain(figures).collect())
    });
    Table {
        title: format!("3. One hot stream, {writers} writers"),
        head: vec![
            "row",
            "commands/s",
            "conflicts",
            "requests",
            "RCU",
            "WCU written",
            "WCU refused",
            "p99 ms",
            "client CPU us",
        ],
        lines: lines.collect(),
        notes: Vec::new(),
    }
}
