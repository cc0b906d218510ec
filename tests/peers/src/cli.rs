//! The command line.

use crate::rows::Row;
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Compare Ledgerfold's event store with others on DynamoDB: the same commands, counted and timed.
///
/// It prints Markdown tables on standard output, and progress on standard error.
#[derive(Debug, Parser)]
#[command(name = "ledgerfold-peers", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Rounds of the timed scenarios.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) rounds: u16,
    /// Only these scenarios.
    #[arg(long = "scenario", value_name = "SCENARIO")]
    pub(crate) scenarios: Vec<Scenario>,
    /// Only these rows.
    #[arg(long = "row", value_name = "ROW")]
    pub(crate) rows: Vec<Row>,
    /// Print JSON with all samples instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
    /// Run every cell with tiny sizes, to test that it works.
    #[arg(long)]
    pub(crate) smoke: bool,
    #[command(subcommand)]
    pub(crate) part: Option<Part>,
}

/// The mode in which this program starts itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// Serve a database until standard input ends.
    #[command(hide = true)]
    Engine {
        /// The database file.
        #[arg(long)]
        file: PathBuf,
    },
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Requests, units and bytes of one command.
    Cost,
    /// Commands per second with 1 and with 32 clients.
    Speed,
    /// 16 and 64 writers on one stream.
    Hot,
    /// Streams of 1,000 and 10,000 events, read by a new process.
    Cold,
}

const EXAMPLES: &str = "\
Examples:
  ledgerfold-peers                            everything, 5 rounds: some 20 minutes on two cores
  ledgerfold-peers --scenario cost            exact figures, one minute
  ledgerfold-peers --scenario speed --rounds 8 --row ledgerfold --row floor --row floor-again
  ledgerfold-peers --json > peers.json        every sample
  ledgerfold-peers --smoke                    does it work at all?";

#[cfg(test)]
mod tests {
    use super::Arguments;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
