//! Commands per second, with a new stream every ten commands.

use super::{Cell, Process, Sizes, check, chosen, finish, float, new_stream};
use crate::Failure;
use crate::notebook::Command;
use crate::report::Table;
use crate::rows::Row;
use crate::stats::{Spread, percentile_ms};
use crate::wire::Task;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const ROWS: [Row; 7] = [
    Row::Ledgerfold,
    Row::LedgerfoldCold,
    Row::DynamoEs,
    Row::Esa,
    Row::EsaSnap,
    Row::Floor,
    Row::FloorAgain,
];
const COMMANDS_A_STREAM: u64 = 10;

const NOTES: [&str; 4] = [
    "medians of the rounds (least-most); every command loads first, also on a new stream, but that `ledgerfold` knows \
     the streams that it has met",
    "`floor` and `floor'` are the same code: what they differ by is chance",
    "transactions lose their `ClientRequestToken` on the way out, which favours dynamo-es and esa: this engine \
     searches all tokens of ten minutes at each transaction, AWS does not",
    "`esa-snap` is `esa` here, because no stream reaches 50 events",
];

/// One cell.
#[derive(Debug, Serialize)]
pub(crate) struct Sample {
    round: usize,
    row: Row,
    clients: usize,
    commands: usize,
    per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// User and system time of this process per command.
    client_cpu_us: f64,
    /// The engine's CPU time per command.
    engine_cpu_us: f64,
}

/// Measures every row with every number of clients.
pub(crate) async fn run(sizes: &Sizes, rows: &[Row]) -> Result<Vec<Sample>, Failure> {
    let rows = chosen(rows, &ROWS);
    let mut samples = Vec::new();
    for (clients, commands) in &sizes.clients {
        let cell = |round, row| sample(round, row, *clients, *commands, sizes.warm_up);
        samples.extend(
            super::rounds(&format!("speed, {clients} clients"), sizes.rounds, &rows, cell).await?,
        );
    }
    Ok(samples)
}

async fn sample(
    round: usize,
    row: Row,
    clients: usize,
    commands: usize,
    warm_up: usize,
) -> Result<Vec<Sample>, Failure> {
    let cell = Cell::open(row).await?;
    let process = cell.process(Task::DropTokens).await?;
    give(&process, clients, &streams(warm_up)).await?;
    let streams = streams(commands);
    let (engine_before, cpu_before, start) =
        (cell.engine_cpu_s()?, process_cpu_s(), Instant::now());
    let mut took = give(&process, clients, &streams).await?;
    let (elapsed, cpu_s) = (start.elapsed(), process_cpu_s() - cpu_before);
    let engine_s = cell.engine_cpu_s()? - engine_before;
    for stream in streams.iter() {
        check(&process.store, stream, COMMANDS_A_STREAM).await?;
    }
    cell.close().await?;
    took.sort_unstable();
    let count = float(took.len());
    let (p50_ms, p99_ms) = (percentile_ms(&took, 50), percentile_ms(&took, 99));
    let per_command_us = |seconds: f64| seconds * 1e6 / count;
    let (client_cpu_us, engine_cpu_us) = (per_command_us(cpu_s), per_command_us(engine_s));
    let per_s = count / elapsed.as_secs_f64();
    Ok(vec![Sample {
        round,
        row,
        clients,
        commands: took.len(),
        per_s,
        p50_ms,
        p99_ms,
        client_cpu_us,
        engine_cpu_us,
    }])
}

fn streams(commands: usize) -> Arc<[String]> {
    let streams = commands.div_ceil(usize::try_from(COMMANDS_A_STREAM).unwrap_or(usize::MAX));
    std::iter::repeat_with(new_stream).take(streams).collect()
}

/// Each client takes the next stream and sends its commands in order, then takes another stream.
async fn give(
    process: &Process,
    clients: usize,
    streams: &Arc<[String]>,
) -> Result<Vec<Duration>, Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut running = JoinSet::new();
    for client in 0..clients {
        let (store, streams, next) = (process.store.clone(), streams.clone(), next.clone());
        running.spawn(async move {
            let mut took = Vec::new();
            while let Some(stream) = streams.get(next.fetch_add(1, Ordering::Relaxed)) {
                for _ in 0..COMMANDS_A_STREAM {
                    let command = Command::new(1);
                    let start = Instant::now();
                    finish(&store, client, stream, &command).await?;
                    took.push(start.elapsed());
                }
            }
            Ok::<_, Failure>(took)
        });
    }
    let mut took = Vec::new();
    while let Some(client) = running.join_next().await {
        took.extend(client??);
    }
    Ok(took)
}

/// CPU seconds of this process so far, user and system.
pub(super) fn process_cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
        .as_secs_f64()
}

/// One table per number of clients.
pub(crate) fn tables(samples: &[Sample]) -> Vec<Table> {
    let mut clients: Vec<usize> = samples.iter().map(|sample| sample.clients).collect();
    clients.sort_unstable();
    clients.dedup();
    let mut tables: Vec<Table> =
        clients.into_iter().map(|clients| table(clients, samples)).collect();
    if let Some(last) = tables.last_mut() {
        last.notes = NOTES.to_vec();
    }
    tables
}

fn table(clients: usize, samples: &[Sample]) -> Table {
    let who = if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
    let lines = ROWS.iter().filter_map(|row| {
        let of_row: Vec<&Sample> = samples
            .iter()
            .filter(|sample| sample.row == *row && sample.clients == clients)
            .collect();
        let spread = |figure: fn(&Sample) -> f64| {
            Spread::of(of_row.iter().map(|sample| figure(sample))).to_string()
        };
        let figures = [
            spread(|sample| sample.per_s),
            spread(|sample| sample.p50_ms),
            spread(|sample| sample.p99_ms),
            spread(|sample| sample.client_cpu_us),
            spread(|sample| sample.engine_cpu_us),
        ];
        (!of_row.is_empty()).then(|| [row.name().to_owned()].into_iter().chain(figures).collect())
    });
    Table {
        title: format!("2. Commands a second, 1 event each, a new stream every 10 commands, {who}"),
        head: vec!["row", "commands/s", "p50 ms", "p99 ms", "client CPU us", "engine CPU us"],
        lines: lines.collect(),
        notes: Vec::new(),
    }
}
