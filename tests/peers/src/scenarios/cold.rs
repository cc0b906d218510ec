//! Long streams, and a new process without a cache.

use super::{Cell, Sizes, chosen, finish, float, new_stream};
use crate::Failure;
use crate::notebook::Command;
use crate::report::Table;
use crate::rows::{Read, Row};
use crate::stats::{Spread, number};
use crate::wire::Task;
use serde::Serialize;
use std::time::Instant;

const ROWS: [Row; 6] =
    [Row::Ledgerfold, Row::DynamoEs, Row::Esa, Row::EsaSnap, Row::Floor, Row::FloorAgain];
/// More events may exceed the 1 MB of one answer. dynamo-es reads only the first answer.
const SURELY_ONE_PAGE: u64 = 2_000;

/// One cell.
#[derive(Debug, Serialize)]
pub(crate) struct Sample {
    round: usize,
    row: Row,
    events: u64,
    /// The same number, or one less if the last command was impossible.
    stored: u64,
    read_ms: f64,
    read_requests: u32,
    read_units: f64,
    events_read: u64,
    notes_read: u64,
    command: Option<ColdCommand>,
}

/// A command of a new process.
#[derive(Debug, Serialize)]
pub(crate) struct ColdCommand {
    ms: f64,
    requests: f64,
    read_units: f64,
    write_units: f64,
}

/// Measures every row with every length.
pub(crate) async fn run(sizes: &Sizes, rows: &[Row]) -> Result<Vec<Sample>, Failure> {
    let rows = chosen(rows, &ROWS);
    let mut samples = Vec::new();
    for events in &sizes.cold_events {
        let cell = |round, row| sample(round, row, *events, sizes.cold_reads);
        samples.extend(
            super::rounds(&format!("cold, {events} events"), sizes.rounds, &rows, cell).await?,
        );
    }
    Ok(samples)
}

async fn sample(round: usize, row: Row, events: u64, reads: usize) -> Result<Vec<Sample>, Failure> {
    let cell = Cell::open(row).await?;
    let stream = new_stream();
    let filling = cell.process(Task::DropTokens).await?;
    // A command writes the last event, so that the store also writes its other items.
    filling.store.fill(&stream, events - 1).await?;
    let complete = filling.store.attempt(0, &stream, &Command::new(1)).await?.done;
    let stored = if complete { events } else { events - 1 };
    let (read_ms, found) = timed_reads(&cell, &stream, reads).await?;
    let counting = cell.process(Task::Count).await?;
    counting.store.read(&stream).await?;
    let traffic = counting.wire.take();
    known_or_wrong(row, stored, found)?;
    let command = if complete { Some(cold_commands(&cell, &stream, reads).await?) } else { None };
    if complete {
        super::check(&filling.store, &stream, events + 2 * u64::try_from(reads)?).await?;
    }
    cell.close().await?;
    Ok(vec![Sample {
        round,
        row,
        events,
        stored,
        read_ms,
        read_requests: traffic.requests,
        read_units: traffic.units.read,
        events_read: found.events,
        notes_read: found.notes,
        command,
    }])
}

/// The median of reads of the whole stream, each by a new process with an open connection.
async fn timed_reads(cell: &Cell, stream: &str, reads: usize) -> Result<(f64, Read), Failure> {
    let mut took = Vec::new();
    let mut found = Read { events: 0, notes: 0 };
    for _ in 0..reads {
        let process = cell.process(Task::DropTokens).await?;
        process.store.read(&new_stream()).await?;
        let start = Instant::now();
        found = process.store.read(stream).await?;
        took.push(start.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok((Spread::of(took).median, found))
}

/// Commands of one event, each by a new process: half of them timed, half counted.
async fn cold_commands(cell: &Cell, stream: &str, commands: usize) -> Result<ColdCommand, Failure> {
    let mut took = Vec::new();
    let mut counted = crate::wire::Traffic::default();
    for _ in 0..commands {
        let process = cell.process(Task::DropTokens).await?;
        process.store.read(&new_stream()).await?;
        let start = Instant::now();
        finish(&process.store, 0, stream, &Command::new(1)).await?;
        took.push(start.elapsed().as_secs_f64() * 1_000.0);
        let process = cell.process(Task::Count).await?;
        finish(&process.store, 0, stream, &Command::new(1)).await?;
        counted += process.wire.take();
    }
    let count = float(commands);
    Ok(ColdCommand {
        ms: Spread::of(took).median,
        requests: f64::from(counted.requests) / count,
        read_units: counted.units.read / count,
        write_units: counted.units.written / count,
    })
}

/// An incomplete read is shown for the row that is known for it. For any other row, it is an error.
fn known_or_wrong(row: Row, stored: u64, found: Read) -> Result<(), Failure> {
    let known = row == Row::DynamoEs && stored > SURELY_ONE_PAGE;
    match found.notes == stored || known {
        true => Ok(()),
        false => Err(format!("read {} of {stored} events", found.notes).into()),
    }
}

fn by_row(samples: &[Sample]) -> Vec<(u64, Vec<&Sample>)> {
    let mut lengths: Vec<u64> = samples.iter().map(|sample| sample.events).collect();
    lengths.sort_unstable();
    lengths.dedup();
    let cells = lengths.into_iter().flat_map(|events| ROWS.iter().map(move |row| (events, *row)));
    let cells = cells.map(|(events, row)| {
        (
            events,
            samples
                .iter()
                .filter(|sample| sample.events == events && sample.row == row)
                .collect::<Vec<_>>(),
        )
    });
    cells.filter(|(_, samples)| !samples.is_empty()).collect()
}

/// Reading the whole stream.
pub(crate) fn table(samples: &[Sample]) -> Table {
    let lines = by_row(samples).into_iter().filter_map(|(events, of_row)| {
        let first = of_row.first()?;
        let complete = match (first.notes_read == first.stored, first.events_read == first.stored) {
            (true, true) => "yes".to_owned(),
            (true, false) => format!("state only, {} events read", first.events_read),
            (false, _) => format!(
                "**no: {} of {}, no error**",
                float_text(first.notes_read),
                float_text(first.stored)
            ),
        };
        Some(vec![
            float_text(events),
            first.row.name().to_owned(),
            Spread::of(of_row.iter().map(|sample| sample.read_ms)).to_string(),
            first.read_requests.to_string(),
            number(first.read_units),
            complete,
        ])
    });
    Table {
        title: "4. Reading a long stream cold".to_owned(),
        head: vec!["events", "row", "ms", "requests", "RCU", "complete"],
        lines: lines.collect(),
        notes: vec![
            "a store that has just been opened, its connection open; strongly consistent in every row",
            "`ledgerfold` reads all events and checks the chain of hashes over each of them; no other row checks anything",
            "`esa-snap` reads its snapshot and what is behind it",
            "dynamo-es asks for one page and never for the next: what lies behind 1 MB is left out without an error",
        ],
    }
}

/// One command of a new process.
pub(crate) fn command_table(samples: &[Sample]) -> Table {
    let lines = by_row(samples).into_iter().filter_map(|(events, of_row)| {
        let start = [float_text(events), of_row.first()?.row.name().to_owned()];
        let commands: Vec<&ColdCommand> =
            of_row.iter().filter_map(|sample| sample.command.as_ref()).collect();
        let figures = match commands.first() {
            Some(first) => [
                Spread::of(commands.iter().map(|command| command.ms)).to_string(),
                number(first.requests),
                number(first.read_units),
                number(first.write_units),
            ],
            None => ["**impossible: always a conflict**", "", "", ""].map(str::to_owned),
        };
        Some(start.into_iter().chain(figures).collect())
    });
    Table {
        title: "4b. One command on a long stream by a process that knows nothing".to_owned(),
        head: vec!["events", "row", "ms", "requests", "RCU", "WCU"],
        lines: lines.collect(),
        notes: vec![
            "the stream was filled without commands but for the last one: the one occasion for a store that writes snapshots \
             with commands",
            "dynamo-es numbers a command's events behind the last one that it has read: past 1 MB that number is always \
             taken",
        ],
    }
}

fn float_text(count: u64) -> String {
    number(f64::from(u32::try_from(count).unwrap_or(u32::MAX)))
}
