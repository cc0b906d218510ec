//! The scenarios. A cell is one row in one scenario and round, with a new engine and database. The
//! state is checked at its end.

pub(crate) mod cold;
pub(crate) mod cost;
pub(crate) mod hot;
pub(crate) mod speed;

use crate::Failure;
use crate::engine::Engine;
use crate::notebook::Command;
use crate::rows::{Row, Store};
use crate::wire::{Task, Wire};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::SharedAsyncSleep;
use aws_smithy_async::rt::sleep::TokioSleep;
use ledgerfold::clients::Clients;
use serde::Serialize;
use std::future::Future;
use std::sync::Arc;
use uuid::Uuid;

/// The most conflicts of a command.
const MAX_ATTEMPTS: u32 = 20_000;

/// The sizes of all scenarios.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sizes {
    /// Rounds of the timed scenarios.
    pub(crate) rounds: usize,
    /// Commands per case of the cost tables.
    pub(crate) cost_commands: usize,
    /// Events of the long stream of the cost tables.
    pub(crate) long_stream: u64,
    /// Concurrent clients, and their commands in all.
    pub(crate) clients: Vec<(usize, usize)>,
    /// Commands before the measurement.
    pub(crate) warm_up: usize,
    /// Writers on the hot stream.
    pub(crate) writers: Vec<usize>,
    /// Commands on the hot stream.
    pub(crate) hot_commands: usize,
    /// Events of the streams that are read cold.
    pub(crate) cold_events: Vec<u64>,
    /// Reads per stream.
    pub(crate) cold_reads: usize,
}

/// One row's engine with its tables.
pub(crate) struct Cell {
    engine: Engine,
    row: Row,
}

/// A store of one process, with its own wire.
pub(crate) struct Process {
    pub(crate) store: Arc<Store>,
    pub(crate) wire: Wire,
}

impl Sizes {
    pub(crate) fn full(rounds: usize) -> Self {
        Self {
            rounds,
            cost_commands: 50,
            long_stream: 1_000,
            clients: vec![(1, 2_500), (32, 6_400)],
            warm_up: 320,
            writers: vec![16, 64],
            hot_commands: 400,
            cold_events: vec![1_000, 10_000],
            cold_reads: 5,
        }
    }

    /// Tiny sizes, to test every cell.
    pub(crate) fn smoke() -> Self {
        Self {
            rounds: 1,
            cost_commands: 3,
            long_stream: 60,
            clients: vec![(1, 20), (4, 80)],
            warm_up: 10,
            writers: vec![2, 4],
            hot_commands: 12,
            cold_events: vec![30, 60],
            cold_reads: 2,
        }
    }
}

impl Cell {
    pub(crate) async fn open(row: Row) -> Result<Self, Failure> {
        let cell = Self { engine: Engine::start().await?, row };
        let (client, _) = cell.client(Task::DropTokens)?;
        Store::create_tables(row, &client).await?;
        Ok(cell)
    }

    /// A new process.
    pub(crate) async fn process(&self, task: Task) -> Result<Process, Failure> {
        self.process_as(self.row, task, 1).await
    }

    /// A process of another row on the same tables, or with conflicting writers.
    pub(crate) async fn process_as(
        &self,
        row: Row,
        task: Task,
        writers: usize,
    ) -> Result<Process, Failure> {
        let (client, wire) = self.client(task)?;
        let store = Store::open(row, client, writers).await?;
        wire.take();
        Ok(Process { store: Arc::new(store), wire })
    }

    /// CPU seconds of the engine so far.
    pub(crate) fn engine_cpu_s(&self) -> Result<f64, Failure> {
        self.engine.cpu_s()
    }

    pub(crate) async fn close(self) -> Result<(), Failure> {
        self.engine.stop().await
    }

    /// The settings for every row: Ledgerfold's for an engine on loopback.
    fn client(&self, task: Task) -> Result<(Client, Wire), Failure> {
        let clients = Clients::loopback(self.engine.endpoints());
        let config = clients.dynamodb.config();
        let secret = &self.engine.endpoints().key.secret;
        let wire =
            Wire::over(config.http_client().ok_or("the client has no HTTP client")?, task, secret);
        // event-store-adapter-rs needs it. It pauses only if the engine omits items.
        let sleep = SharedAsyncSleep::new(TokioSleep::new());
        let config = config.to_builder().http_client(wire.clone()).sleep_impl(sleep).build();
        Ok((Client::from_conf(config), wire))
    }
}

/// Runs a cell for every row in every round. The order of rows rotates by one each round.
pub(crate) async fn rounds<T, F: Future<Output = Result<Vec<T>, Failure>>>(
    name: &str,
    rounds: usize,
    rows: &[Row],
    cell: impl Fn(usize, Row) -> F,
) -> Result<Vec<T>, Failure> {
    let mut order = rows.to_vec();
    let mut samples = Vec::new();
    for round in 1..=rounds {
        for row in &order {
            crate::progress(&format!("{name}, round {round} of {rounds}: {}", row.name()));
            let measured = cell(round, *row).await;
            samples.extend(measured.map_err(|error| format!("{name}, {}: {error}", row.name()))?);
        }
        if !order.is_empty() {
            order.rotate_left(1);
        }
    }
    Ok(samples)
}

/// The selected rows of a scenario, in its order.
pub(crate) fn chosen(asked: &[Row], of_scenario: &[Row]) -> Vec<Row> {
    of_scenario.iter().copied().filter(|row| asked.is_empty() || asked.contains(row)).collect()
}

/// Retries a command at once after each conflict. Returns the number of conflicts.
pub(crate) async fn finish(
    store: &Store,
    writer: usize,
    stream: &str,
    command: &Command,
) -> Result<u32, Failure> {
    let mut conflicts = 0;
    for _ in 0..MAX_ATTEMPTS {
        let attempt = store.attempt(writer, stream, command).await?;
        conflicts += attempt.conflicts;
        if attempt.done {
            return Ok(conflicts);
        }
    }
    Err(format!("a command lost {conflicts} races").into())
}

/// Sends a stream commands with one event each.
pub(crate) async fn grow(store: &Store, stream: &str, events: u64) -> Result<(), Failure> {
    for _ in 0..events {
        finish(store, 0, stream, &Command::new(1)).await?;
    }
    Ok(())
}

/// Asserts that the state counts all notes.
pub(crate) async fn check(store: &Store, stream: &str, notes: u64) -> Result<(), Failure> {
    let read = store.read(stream).await?;
    match read.notes == notes {
        true => Ok(()),
        false => {
            Err(format!("the state of {stream} counts {} notes, not {notes}", read.notes).into())
        }
    }
}

/// The name of a new stream.
pub(crate) fn new_stream() -> String {
    Uuid::now_v7().to_string()
}

pub(crate) fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
