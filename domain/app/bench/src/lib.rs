//! `ledgerfold-bench`: measures the event store and the read models, and estimates costs on AWS.
//!
//! | module | what it does |
//! |---|---|
//! | `commands` | measures the operations of the event store |
//! | `projections` | measures read models: live events and rebuilds |
//! | `cost` | estimates a month on AWS from list prices |
//! | `figures` | rounds numbers for people and programs |
//! | `thread_cpu` | reads the CPU time of this process's threads |

mod commands;
mod cost;
mod figures;
mod projections;
mod thread_cpu;

use clap::Parser;
use handlers::telemetry::{self, Component, Platform};
use ledgerfold::cli::{Exit, Failure};
use ledgerfold::clients::{Clients, Endpoints};
use ledgerfold::local::engines::access_key::AccessKey;
use ledgerfold::local::engines::dynamodb::DynamoDb;
use std::error::Error;
use std::process::ExitCode;
use tempfile::TempDir;

const EXAMPLES: &str = "\
Examples:
  ledgerfold-bench
  ledgerfold-bench --commands 10000 --clients 1 --json
  ledgerfold-bench --endpoint http://127.0.0.1:8000
  AWS_REGION=eu-central-1 ledgerfold-bench --aws --commands 200
  ledgerfold-bench projections --events 200000
  ledgerfold-bench cost --rate 50

It creates a table and removes it at the end, even after Ctrl-C. On AWS its requests cost money: the
printed units times the price of your region. An engine on the same machine shares its processors, so
compare times only with each other. CPU is that of this process without its engine's threads (Linux
only).";

/// Measure what the event store's operations cost, and how fast they are.
#[derive(Debug, Parser)]
#[command(name = "ledgerfold-bench", bin_name = "ledgerfold-bench", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Bench {
    #[command(subcommand)]
    subcommand: Option<Subcommand>,
    #[command(flatten)]
    commands: commands::Commands,
}

/// What else can be measured.
#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    Projections(projections::Projections),
    Cost(cost::Cost),
}

/// Runs the program with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let bench = Bench::parse();
    bench.run().map_or_else(|failure| failure.report(), ExitCode::from)
}

impl Bench {
    fn run(self) -> Result<Exit, Failure> {
        let _telemetry = failing(telemetry::start(Component::Program, Platform::Program))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new("the runtime cannot start", error))?;
        match self.subcommand {
            None => runtime.block_on(self.commands.run())?,
            Some(Subcommand::Projections(projections)) => runtime.block_on(projections.run())?,
            Some(Subcommand::Cost(cost)) => cost.run()?,
        }
        Ok(Exit::Done)
    }
}

/// An engine over a temporary folder. Both are removed at the end.
struct TemporaryEngine {
    engine: DynamoDb,
    endpoints: Endpoints,
    _folder: TempDir,
}

impl TemporaryEngine {
    async fn start() -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("ledgerfold-bench-").tempdir();
        let folder = folder
            .map_err(|error| Failure::new("the temporary folder cannot be created", error))?;
        let key = AccessKey::generate()
            .map_err(|error| Failure::new("the access key cannot be created", error))?;
        let engine = failing(DynamoDb::start(&folder.path().join("bench.db"), &key).await)?;
        let endpoints = Endpoints::of_one(engine.endpoint(), key);
        Ok(Self { engine, endpoints, _folder: folder })
    }

    fn clients(&self) -> Clients {
        Clients::loopback(&self.endpoints)
    }

    async fn stop(self) {
        self.engine.stop().await;
    }
}

fn failing<T, E: Error + Send + Sync + 'static>(result: Result<T, E>) -> Result<T, Failure> {
    result.map_err(|error| Failure::from_error(&error))
}

fn interrupted() -> Failure {
    Failure::new("stopped before the end", "its tables and files are removed")
}
