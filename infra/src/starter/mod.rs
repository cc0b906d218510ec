//! `ledgerfold new NAME`: creates an app that builds, runs and has tests.
//!
//! | module | what it is |
//! |---|---|
//! | `name` | the rules for an app's name |
//! | `files` | the files of the app |

mod files;
mod name;

use crate::cli::{Extra, Failure, output};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use clap_complete::Shell;
use files::{Crates, Starter};
use name::AppName;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  ledgerfold new shop
  ledgerfold new shop --path ~/src/shop
  ledgerfold new shop --crates ../ledgerfold

`cargo test` and `cargo run` work in the new folder.";

/// Create an app that builds, runs and has tests: one aggregate, one read model, routes, README
/// and CI.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
struct New {
    /// The name of the app: of its crate and programs, and the prefix of its tables and queues.
    name: AppName,
    /// The new folder; by default the app's name.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// A checkout of Ledgerfold's repository, whose crates are used instead of published ones.
    #[arg(long, value_name = "DIR")]
    crates: Option<PathBuf>,
}

/// The command `new`.
pub const COMMAND: Extra = Extra { command, run };

fn command() -> Command {
    New::augment_args(Command::new("new"))
}

fn run(matches: &ArgMatches) -> Result<(), Failure> {
    New::from_arg_matches(matches).unwrap_or_else(|error| error.exit()).run()
}

impl New {
    fn run(self) -> Result<(), Failure> {
        let folder = self.path.unwrap_or_else(|| PathBuf::from(self.name.as_str()));
        let crates = match &self.crates {
            Some(folder) => Crates::of_folder(folder),
            None => Ok(Crates::published()),
        };
        let written =
            crates.and_then(|crates| Starter { name: &self.name, crates: &crates }.write(&folder));
        written.map_err(|error| {
            Failure::new(format!("{} was not created", folder.display()), error)
        })?;
        output::line(&format!(
            "{name} is created in {folder}\n\n  cd {folder}\n  cargo test   test its rules and the whole system\n  cargo run    run the \
             system at http://127.0.0.1:8080\n\nREADME.md describes the next steps.",
            name = self.name.as_str(),
            folder = folder.display(),
        ))
    }
}

/// Runs the program `cargo-ledgerfold`, which needs no app.
#[must_use]
pub fn main() -> ExitCode {
    let matches = program().get_matches_from(without_subcommand(std::env::args_os()));
    let done = match matches.subcommand() {
        Some(("completions", matches)) => completions(matches),
        Some((_, matches)) => run(matches),
        None => Ok(()),
    };
    done.map_or_else(|failure| failure.report(), |()| ExitCode::SUCCESS)
}

/// Removes the name of the subcommand, which Cargo passes as an argument: `cargo ledgerfold new
/// shop`.
fn without_subcommand(arguments: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    arguments
        .enumerate()
        .filter(|(place, argument)| *place != 1 || argument != "ledgerfold")
        .map(|(_, argument)| argument)
}

fn program() -> Command {
    let shell =
        Arg::new("shell").required(true).value_parser(clap::value_parser!(Shell)).help("The shell");
    Command::new("cargo-ledgerfold")
        .bin_name("cargo ledgerfold")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Create an event-sourced app on DynamoDB, SQS and Lambda. `cargo run` then runs it")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            command().after_help(EXAMPLES.replace("ledgerfold new", "cargo ledgerfold new")),
        )
        .subcommand(
            Command::new("completions").about("Print the completion script for a shell").arg(shell),
        )
}

fn completions(matches: &ArgMatches) -> Result<(), Failure> {
    let Some(shell) = matches.get_one::<Shell>("shell") else { return Ok(()) };
    let mut script = Vec::new();
    clap_complete::generate(*shell, &mut program(), "cargo-ledgerfold", &mut script);
    output::line(String::from_utf8_lossy(&script).trim_end())
}

#[cfg(test)]
mod tests {
    use super::{program, without_subcommand};

    #[test]
    fn it_is_run_by_cargo_and_alone() {
        program().debug_assert();
        for arguments in
            [&["x", "ledgerfold", "new", "ledgerfold-shop"][..], &["x", "new", "ledgerfold-shop"]]
        {
            let arguments = without_subcommand(arguments.iter().map(Into::into));
            let matches = program().try_get_matches_from(arguments).unwrap();
            assert_eq!(matches.subcommand_name(), Some("new"));
        }
    }
}
