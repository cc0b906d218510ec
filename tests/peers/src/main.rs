//! Compares Ledgerfold's event store with others on DynamoDB: the same commands, counted and timed.

mod capacity;
mod cli;
mod engine;
mod notebook;
mod report;
mod rows;
mod scenarios;
mod signature;
mod stats;
mod wire;

use clap::Parser;
use cli::{Arguments, Part, Scenario};
use report::{Environment, Report};
use scenarios::{Sizes, cold, cost, hot, speed};
use std::io::Write;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Any error ends the run.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The exit status of an interrupted program.
const INTERRUPTED: u8 = 130;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Part::Engine { file }) = &arguments.part {
        return told(engine::serve(file).await);
    }
    // Dropping the work ends its engine and removes its database.
    tokio::select! {
        done = run(&arguments) => told(done),
        () = interrupted() => {
            progress("interrupted");
            ExitCode::from(INTERRUPTED)
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let sizes = if arguments.smoke { Sizes::smoke() } else { Sizes::full(arguments.rounds.into()) };
    let asked =
        |scenario| arguments.scenarios.is_empty() || arguments.scenarios.contains(&scenario);
    let rows = &arguments.rows;
    let mut report = Report {
        environment: Environment::now(),
        sizes: sizes.clone(),
        cost: Vec::new(),
        speed: Vec::new(),
        hot: Vec::new(),
        hot_counted: Vec::new(),
        cold: Vec::new(),
    };
    if asked(Scenario::Cost) {
        report.cost = cost::run(&sizes, rows).await?;
    }
    if asked(Scenario::Speed) {
        report.speed = speed::run(&sizes, rows).await?;
    }
    if asked(Scenario::Hot) {
        report.hot = hot::run(&sizes, rows).await?;
        report.hot_counted = hot::count(&sizes, rows).await?;
    }
    if asked(Scenario::Cold) {
        report.cold = cold::run(&sizes, rows).await?;
    }
    let text = if arguments.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        report.to_string()
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// Waits for a stop signal.
async fn interrupted() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

fn told(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            progress(&text);
            ExitCode::FAILURE
        }
    }
}

/// Prints progress on standard error. A closed pipe is not an error.
pub(crate) fn progress(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
