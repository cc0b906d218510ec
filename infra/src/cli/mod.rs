//! The operator's program: its commands, and how it ends.

mod audit;
mod backup;
mod dev;
mod exit;
pub mod output;
mod projection;
mod tables;
mod target;
mod template;
mod tokens;
mod wording;

pub use exit::{Exit, Failure, stop_signal};
pub use target::{Target, TargetOptions, parse_endpoint};

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use handlers::app::App;
use handlers::telemetry::{self, Component, Platform};
use std::process::ExitCode;
use std::sync::OnceLock;

/// An event-sourced system on DynamoDB, SQS and Lambda: runs on a laptop, operates there and on
/// AWS.
#[derive(Debug, Parser)]
#[command(name = "ledgerfold", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  ledgerfold                                     run the system at http://127.0.0.1:8080
  ledgerfold dev --port 0 --data /var/lib/shop   on a free port, with another data folder
  ledgerfold tokens create                       make a signing key for tokens
  ledgerfold audit history STREAM
                                                 show the events of a stream
  ledgerfold audit verify --all --data .ledgerfold
                                                 verify the hash chains of all streams
  ledgerfold projection list                     show lag, jobs and parked streams
  ledgerfold projection rebuild READ_MODEL --wait
                                                 rebuild a read model online
  ledgerfold backup ../shop-copy                 copy the data folder, even while it is in use
  ledgerfold template --out template.yaml        write the SAM template for AWS

Exit status: 0 done, 1 a negative answer (a broken stream, a refused step), 2 wrong use, 3 a failure.
Without a command, `dev` runs. RUST_LOG=info logs each request, RUST_LOG=eventstore=debug each
operation of the event store with its cost.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole system on this machine until Ctrl-C.
    Dev(dev::Dev),
    /// Create the tables and queues.
    #[command(subcommand)]
    Tables(tables::Tables),
    /// Query the audit trail: who did what, when and why. Verify that nothing was changed.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Show the status of projections; rebuild, switch, resume and redrive them.
    #[command(subcommand)]
    Projection(projection::Command),
    /// Copy a data folder, even while `dev` runs, and verify the copy.
    Backup(backup::Backup),
    /// Restore a backup into a data folder, and verify it.
    Restore(backup::Restore),
    /// Create keys and tokens to try `dev --auth`.
    #[command(subcommand)]
    Tokens(tokens::Tokens),
    /// Render the SAM template that deploys the app on AWS.
    Template(template::Template),
    /// Print the completion script for a shell.
    #[command(
        after_help = "Examples:\n  ledgerfold completions bash > ~/.local/share/bash-completion/completions/ledgerfold\n  ledgerfold completions zsh > ~/.zfunc/_ledgerfold"
    )]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Parses the name of a stream. The aggregate may allow several spellings of a key.
fn named_stream(text: &str) -> Result<eventstore::StreamId, eventstore::InvalidStreamId> {
    app().stream(text)
}

/// One process runs one app. It is static because clap's value parsers take no context.
static APP: OnceLock<App> = OnceLock::new();
/// The commands that the app adds.
static EXTRAS: OnceLock<Vec<fn() -> clap::Command>> = OnceLock::new();

/// The app that the program runs and operates.
fn app() -> &'static App {
    APP.get_or_init(|| App::new("ledgerfold"))
}

/// The command line, with the app's names in its help.
fn command_line() -> clap::Command {
    let program = wording::program();
    let extras = EXTRAS.get().into_iter().flatten();
    let command = extras.fold(Cli::command(), |line, extra| line.subcommand(extra()));
    let command = wording::for_app(command).name(program).bin_name(program);
    match app().description() {
        "" => command,
        what => {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            command.about(format!("{what} {about}"))
        }
    }
}

/// A command that an app adds to its program.
pub struct Extra {
    /// Its name, arguments and help.
    pub command: fn() -> clap::Command,
    /// Runs it.
    pub run: fn(&ArgMatches) -> Result<(), Failure>,
}

/// Runs the program for an app, with the arguments of the process.
#[must_use]
pub fn main(app: App) -> ExitCode {
    main_with(app, &[])
}

/// As [`main`], with additional commands.
#[must_use]
pub fn main_with(app: App, extras: &[Extra]) -> ExitCode {
    let app = match app.checked() {
        Ok(app) => app,
        Err(error) => return Failure::from_error(&error).report(),
    };
    APP.get_or_init(|| app);
    let telemetry = telemetry::start(Component::Program, Platform::Program);
    // `get_matches` exits: with 2 after wrong use, with 0 after help and version.
    EXTRAS.get_or_init(|| extras.iter().map(|extra| extra.command).collect());
    let matches = command_line().get_matches();
    let named = |extra: &&Extra| matches.subcommand_name() == Some((extra.command)().get_name());
    if let Some((extra, (_, matches))) = extras.iter().find(named).zip(matches.subcommand()) {
        return (extra.run)(matches)
            .map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS);
    }
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    // Dropped at the end, which sends the reports that are still queued.
    let _telemetry = match telemetry {
        Ok(telemetry) => telemetry,
        Err(error) => return Failure::from_error(&error).report(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            runtime.block_on(run(cli.command.unwrap_or_else(|| Command::Dev(dev::Dev::default()))))
        }
        Err(error) => Err(Failure::new("the runtime cannot start", error)),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}

async fn run(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Dev(dev) => dev.run().await,
        Command::Tables(tables) => tables.run().await,
        Command::Audit(audit) => audit.run().await,
        Command::Projection(command) => command.run().await,
        Command::Backup(backup) => backup.run().await,
        Command::Restore(restore) => restore.run().await,
        Command::Tokens(tokens) => tokens.run(),
        Command::Template(template) => template.run(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command_line(), wording::program(), &mut script);
            output::line(String::from_utf8_lossy(&script).trim_end())?;
            Ok(Exit::Done)
        }
    }
}
