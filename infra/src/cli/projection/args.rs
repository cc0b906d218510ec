//! The arguments of `ledgerfold projection`.

use crate::cli::named_stream;
use crate::cli::{TargetOptions, app};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use eventstore::StreamId;
use handlers::{DEFAULT_DEAD_LETTERS, MAX_DEAD_LETTERS, ParkedCursor};
use projections::Projection;
use projections::rebuild::{DEFAULT_SEGMENTS, MAX_SEGMENTS};

/// The operations on projections.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = GROUP)]
pub(in crate::cli) enum Command {
    /// Show all projections: generations, jobs, parked streams and lag.
    #[command(
        after_help = "Examples:\n  ledgerfold projection list\n  ledgerfold projection list --data .ledgerfold --json"
    )]
    List(List),
    /// Show the status of a projection, and the report of its last job.
    #[command(
        after_help = "Examples:\n  ledgerfold projection status READ_MODEL\n  ledgerfold projection status READ_MODEL --json"
    )]
    Status(ProjectionName),
    /// Rebuild a read model online, as a second generation. Readers see the first until you switch.
    #[command(
        after_help = "Examples:\n  ledgerfold projection rebuild READ_MODEL --wait\n  ledgerfold projection rebuild OTHER_READ_MODEL --segments 16\n  ledgerfold projection rebuild READ_MODEL --data .ledgerfold --wait\n\nWith --wait, exit 1 if streams are parked in the new generation."
    )]
    Rebuild(SegmentedStep),
    /// Pause a job until it is resumed.
    #[command(after_help = "Examples:\n  ledgerfold projection pause READ_MODEL")]
    Pause(ProjectionName),
    /// Continue a paused or interrupted job, and retry every parked stream. Exit 1 if a stream
    /// stays parked.
    #[command(
        after_help = "Examples:\n  ledgerfold projection resume READ_MODEL\n  ledgerfold projection resume READ_MODEL --stream STREAM\n  ledgerfold projection resume READ_MODEL --wait"
    )]
    Resume(Resume),
    /// Cancel a job. The rows that a rebuild has written are removed.
    #[command(after_help = "Examples:\n  ledgerfold projection cancel READ_MODEL")]
    Cancel(Step),
    /// Make the rebuilt generation the active one. The other one stays up to date until it is
    /// dropped.
    #[command(
        after_help = "Examples:\n  ledgerfold projection switch READ_MODEL\n  ledgerfold projection switch READ_MODEL --accept-incomplete --wait"
    )]
    Switch(Switch),
    /// Undo a switch: make the previous generation the active one again.
    #[command(after_help = "Examples:\n  ledgerfold projection rollback READ_MODEL")]
    Rollback(Rollback),
    /// Remove the standby generation and its rows.
    #[command(
        after_help = "Examples:\n  ledgerfold projection drop READ_MODEL --wait\n  ledgerfold projection drop READ_MODEL --generation 2"
    )]
    Drop(Drop),
    /// Compare all streams with the read model and apply missing events, as after a lost message.
    #[command(after_help = "Examples:\n  ledgerfold projection reconcile READ_MODEL --wait")]
    Reconcile(SegmentedStep),
    /// Move the messages of the dead-letter queue back to the queue. Exit 1 if one stays.
    #[command(
        after_help = "Examples:\n  ledgerfold projection redrive READ_MODEL\n\nJobs need no redrive: `projection resume` continues them."
    )]
    Redrive(ProjectionName),
    /// Show the parked streams, and why their next event cannot be applied.
    #[command(
        after_help = "Examples:\n  ledgerfold projection parked READ_MODEL\n  ledgerfold projection parked READ_MODEL --limit 20 --json"
    )]
    Parked(Parked),
    /// Show a sample of the dead-letter queue. The messages stay there. Exit 1 during a redrive.
    #[command(
        after_help = "Examples:\n  ledgerfold projection dead READ_MODEL\n  ledgerfold projection dead READ_MODEL --limit 100 --json\n\nThe table shows the beginning of each body; --json shows up to 16 KB. A look counts as a receive.\nIt shows at most ten messages of a stream."
    )]
    Dead(Dead),
}

const GROUP: &str = "\
Examples:
  ledgerfold projection list
  ledgerfold projection rebuild READ_MODEL --wait
  ledgerfold projection switch READ_MODEL     after a complete rebuild
  ledgerfold projection rollback READ_MODEL   if the new generation is wrong
  ledgerfold projection drop READ_MODEL --wait

`ledgerfold dev`, or a function on AWS, works on a job, even after this command has ended. If --data
names the folder of a stopped `dev`, this program works on the job while it waits (--wait). If a
program was killed before it notified the workers, `resume` notifies them again.

Exit status: 0 done, 1 a negative answer (refused, incomplete, a stream stays parked), 2 wrong use,
3 a failure or stopped while waiting.";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    options: TargetOptions,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ProjectionName {
    /// The projection.
    #[arg(value_name = "NAME", value_parser = known())]
    pub(super) projection: Projection,
    #[command(flatten)]
    options: TargetOptions,
}

/// A step that may start a job.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Step {
    #[command(flatten)]
    pub(super) named: ProjectionName,
    /// Wait until the job has ended.
    #[arg(long)]
    pub(super) wait: bool,
}

/// A step that starts a job with a number of segments.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SegmentedStep {
    #[command(flatten)]
    pub(super) named: ProjectionName,
    /// The number of segments, which workers process concurrently.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SEGMENTS, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SEGMENTS)))]
    pub(super) segments: u32,
    /// Wait until the job has ended.
    #[arg(long)]
    pub(super) wait: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Resume {
    #[command(flatten)]
    pub(super) step: Step,
    /// Resume only this stream.
    #[arg(long, conflicts_with = "wait", value_parser = named_stream)]
    pub(super) stream: Option<StreamId>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Switch {
    #[command(flatten)]
    pub(super) step: Step,
    /// Switch even if the generation has parked streams.
    #[arg(long)]
    pub(super) accept_incomplete: bool,
    /// Switch even if positions change, as those of the journal do: readers that stored one begin
    /// again.
    #[arg(long)]
    pub(super) accept_new_positions: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Rollback {
    #[command(flatten)]
    pub(super) step: Step,
    /// Roll back even if positions change, as those of the journal do: readers that stored one
    /// begin again.
    #[arg(long)]
    pub(super) accept_new_positions: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Drop {
    #[command(flatten)]
    pub(super) step: Step,
    /// Drop it only if it has this number.
    #[arg(long, value_name = "N")]
    pub(super) generation: Option<u32>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Parked {
    #[command(flatten)]
    pub(super) named: ProjectionName,
    /// The most streams to show.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(super) limit: u32,
    /// Continue an earlier page.
    #[arg(long)]
    pub(super) cursor: Option<ParkedCursor>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Dead {
    #[command(flatten)]
    pub(super) named: ProjectionName,
    /// The most messages to show.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_DEAD_LETTERS, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_DEAD_LETTERS)))]
    pub(super) limit: u32,
}

impl Command {
    /// The options that name the system.
    pub(super) fn options(&self) -> &TargetOptions {
        match self {
            Self::List(List { options }) => options,
            Self::Status(named) | Self::Pause(named) | Self::Redrive(named) => &named.options,
            Self::Rebuild(cut) | Self::Reconcile(cut) => &cut.named.options,
            Self::Cancel(step) => &step.named.options,
            Self::Rollback(rollback) => &rollback.step.named.options,
            Self::Resume(resume) => &resume.step.named.options,
            Self::Switch(switch) => &switch.step.named.options,
            Self::Drop(drop) => &drop.step.named.options,
            Self::Parked(parked) => &parked.named.options,
            Self::Dead(dead) => &dead.named.options,
        }
    }

    /// Whether the command waits for the end of a job.
    pub(super) fn waits(&self) -> bool {
        match self {
            Self::Rebuild(cut) | Self::Reconcile(cut) => cut.wait,
            Self::Cancel(step) => step.wait,
            Self::Rollback(rollback) => rollback.step.wait,
            Self::Resume(resume) => resume.step.wait,
            Self::Switch(switch) => switch.step.wait,
            Self::Drop(drop) => drop.step.wait,
            Self::List(_)
            | Self::Status(_)
            | Self::Pause(_)
            | Self::Redrive(_)
            | Self::Parked(_)
            | Self::Dead(_) => false,
        }
    }
}

/// Parses the name of a projection; help lists all names.
fn known() -> impl TypedValueParser<Value = Projection> {
    let names =
        PossibleValuesParser::new(app().consumers().iter().map(|projection| projection.name));
    names.try_map(|name| app().consumer(&name).copied().ok_or("unknown projection"))
}
