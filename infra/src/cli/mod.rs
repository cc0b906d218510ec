//! The program `ledgerfold`: what it takes, and how it ends.

mod audit;
mod backup;
mod bench;
mod dev;
mod failure;
pub mod output;
mod projection;
mod tables;
mod target;
mod template;
mod tokens;
mod wording;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
pub use failure::Failure;

use failure::Exit;
use handlers::Names;
use handlers::app::App;
use handlers::telemetry::{self, Component, Place};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

/// An event-sourced system on DynamoDB, SQS and Lambda: runs on a laptop, operates there and on AWS.
#[derive(Debug, Parser)]
#[command(name = "ledgerfold", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  ledgerfold                                     the whole system, at http://127.0.0.1:8080
  ledgerfold dev --port 0 --data /var/lib/shop   on a free port, with its data elsewhere
  ledgerfold tokens create                       a key for tokens, and how to ask for them
  ledgerfold audit history STREAM
                                                 what happened in a stream
  ledgerfold audit verify --all --data .ledgerfold
                                                 is everything still what was written?
  ledgerfold projection list                     how far the read models are, and what is parked
  ledgerfold projection rebuild READ_MODEL --wait
                                                 rebuilds a read model online
  ledgerfold backup ../shop-copy                 copies the data folder, also while it is in use
  ledgerfold template --out template.yaml        what AWS needs to run it
  ledgerfold bench                               what a command costs, and how long it takes
  ledgerfold bench projections                   what read models cost: live, and rebuilt

Exit status: 0 done, 1 a negative answer (verify found a break, a step was refused), 2 wrong use, 3 a failure.
Without a command, `dev` runs. RUST_LOG=info shows a line for each request, RUST_LOG=eventstore=debug one for each operation
of the event store, with what it cost.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole system on this machine until Ctrl-C.
    Dev(dev::Dev),
    /// Make the tables and queues.
    #[command(subcommand)]
    Tables(tables::Tables),
    /// Ask who did what, when and why; and whether it is still what was written.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// See how read models stand; rebuild, switch, resume and redrive them.
    #[command(subcommand)]
    Projection(projection::Command),
    /// Copy a data folder, also while `dev` runs, and verify the copy.
    Backup(backup::BackUp),
    /// Put a backup into a data folder, and verify it.
    Restore(backup::Restore),
    /// Make keys and tokens to try `dev --auth` with.
    #[command(subcommand)]
    Tokens(tokens::Tokens),
    /// Measure what the event store's operations cost, and how fast they are.
    Bench(bench::Bench),
    /// Render what AWS needs to run the app: a SAM template.
    Template(template::Template),
    /// Print the completions of a shell.
    #[command(
        after_help = "Examples:\n  ledgerfold completions bash > ~/.local/share/bash-completion/completions/ledgerfold\n  ledgerfold completions zsh > ~/.zfunc/_ledgerfold"
    )]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// The stream of that name, as its aggregate writes it.
fn named_stream(text: &str) -> Result<eventstore::StreamId, eventstore::InvalidStreamId> {
    app().stream(text)
}

/// Which system a command speaks to, and how it answers.
#[derive(Debug, clap::Args)]
struct Common {
    /// The address that serves DynamoDB and SQS. Without it, what the AWS environment says (AWS_REGION, AWS_ENDPOINT_URL, …), or a `dev` that runs in this folder.
    #[arg(long, value_name = "URL", conflicts_with = "data", value_parser = endpoint)]
    endpoint: Option<String>,
    /// A data folder; a `dev` that has it open is asked.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// What the names of tables and queues begin with.
    #[arg(long, default_value = wording::program(), env = "LEDGERFOLD_PREFIX", value_parser = clap::value_parser!(Names))]
    prefix: Names,
    /// Answer in JSON, for programs.
    #[arg(long)]
    json: bool,
}

fn endpoint(text: &str) -> Result<String, String> {
    let uri = text.parse::<axum::http::Uri>().ok();
    let fits = uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    if fits { Ok(text.to_owned()) } else { Err("an address such as http://127.0.0.1:8000".to_owned()) }
}

/// A process runs one app; clap's parsers, which list its names, are given no context.
static APP: OnceLock<App> = OnceLock::new();
/// The commands that it adds.
static EXTRAS: OnceLock<Vec<fn() -> clap::Command>> = OnceLock::new();

/// What the program operates and runs.
fn app() -> &'static App {
    APP.get_or_init(|| App::new("ledgerfold"))
}

/// The command line in the words of the app.
fn command_line() -> clap::Command {
    let program = wording::program();
    let extras = EXTRAS.get().into_iter().flatten();
    let command = extras.fold(Cli::command(), |line, extra| line.subcommand(extra()));
    let command = wording::worded(command).name(program).bin_name(program);
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

/// The same, and the program has more commands.
#[must_use]
pub fn main_with(app: App, extras: &[Extra]) -> ExitCode {
    let app = match app.checked() {
        Ok(app) => app,
        Err(error) => return Failure::from_error(&error).report(),
    };
    APP.get_or_init(|| app);
    let telemetry = telemetry::start(Component::Program, Place::Program);
    // Wrong use ends here with exit 2, help and version with 0.
    EXTRAS.get_or_init(|| extras.iter().map(|extra| extra.command).collect());
    let matches = command_line().get_matches();
    let named = |extra: &&Extra| matches.subcommand_name() == Some((extra.command)().get_name());
    if let Some((extra, (_, matches))) = extras.iter().find(named).zip(matches.subcommand()) {
        return (extra.run)(matches).map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS);
    }
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    // What is still to be reported is sent when this is dropped, at the end.
    let _telemetry = match telemetry {
        Ok(telemetry) => telemetry,
        Err(error) => return Failure::from_error(&error).report(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(run(cli.command.unwrap_or_else(|| Command::Dev(dev::Dev::default())))),
        Err(error) => Err(Failure::new("no threads can be started", error)),
    };
    match ended {
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
        Command::Bench(bench) => bench.run().await,
        Command::Template(template) => template.run(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command_line(), wording::program(), &mut script);
            output::line(String::from_utf8_lossy(&script).trim_end())?;
            Ok(Exit::Done)
        }
    }
}
