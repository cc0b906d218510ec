//! What `ledgerfold projection` takes.

use crate::cli::named_stream;
use crate::cli::{Common, app};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use eventstore::StreamId;
use handlers::ParkedCursor;
use projections::Projection;
use projections::rebuild::{DEFAULT_SEGMENTS, MAX_SEGMENTS};

/// What can be done with projections.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = GROUP)]
pub(in crate::cli) enum Command {
    /// Show all projections: generations, jobs, parked streams, how far they are behind.
    #[command(
        after_help = "Examples:\n  ledgerfold projection list\n  ledgerfold projection list --data .ledgerfold --json"
    )]
    List(List),
    /// Show how a projection stands, and what its last job came to.
    #[command(
        after_help = "Examples:\n  ledgerfold projection status READ_MODEL\n  ledgerfold projection status READ_MODEL --json"
    )]
    Status(Named),
    /// Rebuild a read model online, as a second generation. Readers see the first until you switch.
    #[command(
        after_help = "Examples:\n  ledgerfold projection rebuild READ_MODEL --wait\n  ledgerfold projection rebuild OTHER_READ_MODEL --segments 16\n  ledgerfold projection rebuild READ_MODEL --data .ledgerfold --wait\n\nWith --wait, exit 1 if streams are parked in the new generation."
    )]
    Rebuild(Cut),
    /// Pause a job until it is resumed.
    #[command(after_help = "Examples:\n  ledgerfold projection pause READ_MODEL")]
    Pause(Named),
    /// Continue a paused or forgotten job, and every parked stream. Exit 1 if a stream stays parked.
    #[command(
        after_help = "Examples:\n  ledgerfold projection resume READ_MODEL\n  ledgerfold projection resume READ_MODEL --stream STREAM\n  ledgerfold projection resume READ_MODEL --wait"
    )]
    Resume(Resume),
    /// Cancel a job. What a rebuild had written is removed.
    #[command(after_help = "Examples:\n  ledgerfold projection cancel READ_MODEL")]
    Cancel(Step),
    /// Make the rebuilt generation the active one. The other one is kept up to date until it is dropped.
    #[command(
        after_help = "Examples:\n  ledgerfold projection switch READ_MODEL\n  ledgerfold projection switch READ_MODEL --accept-incomplete --wait"
    )]
    Switch(Switch),
    /// Undo a switch: make the previous generation the active one again.
    #[command(after_help = "Examples:\n  ledgerfold projection rollback READ_MODEL")]
    Rollback(Step),
    /// Remove the standby generation and its rows.
    #[command(
        after_help = "Examples:\n  ledgerfold projection drop READ_MODEL --wait\n  ledgerfold projection drop READ_MODEL --generation 2"
    )]
    Drop(Drop),
    /// Compare all streams with the read model and catch up those that are behind, as after a lost message.
    #[command(after_help = "Examples:\n  ledgerfold projection reconcile READ_MODEL --wait")]
    Reconcile(Cut),
    /// Send the messages of the dead-letter queue again. Exit 1 if one stays.
    #[command(
        after_help = "Examples:\n  ledgerfold projection redrive READ_MODEL\n\nOf jobs nothing needs to be sent again: `projection resume` calls for all that is not done."
    )]
    Redrive(Named),
    /// Show the parked streams: those with an event that cannot be applied, and why.
    #[command(
        after_help = "Examples:\n  ledgerfold projection parked READ_MODEL\n  ledgerfold projection parked READ_MODEL --limit 20 --json"
    )]
    Parked(Parked),
}

const GROUP: &str = "\
Examples:
  ledgerfold projection list
  ledgerfold projection rebuild READ_MODEL --wait
  ledgerfold projection switch READ_MODEL     when the rebuild is complete
  ledgerfold projection rollback READ_MODEL   when the new generation is wrong
  ledgerfold projection drop READ_MODEL --wait

`ledgerfold dev`, or a function on AWS, works on a job, also after this command has ended. With --data, the folder of a
stopped `dev`, it is worked on here while --wait is given. If a program died between a step and the news of it, `resume` tells again.
Exit status: 0 done, 1 a negative answer (refused as things stand, incomplete, a stream stays parked), 2 wrong use, 3 a failure,
or stopped while waiting.";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Named {
    /// The projection.
    #[arg(value_name = "NAME", value_parser = known())]
    pub(super) projection: Projection,
    #[command(flatten)]
    common: Common,
}

/// A step that may begin a job.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Step {
    #[command(flatten)]
    pub(super) named: Named,
    /// Wait for the end of the job.
    #[arg(long)]
    pub(super) wait: bool,
}

/// A job of as many segments as are wanted.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Cut {
    #[command(flatten)]
    pub(super) named: Named,
    /// Into how many segments the work is cut, which workers share.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SEGMENTS, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SEGMENTS)))]
    pub(super) segments: u32,
    /// Wait for the end of the job.
    #[arg(long)]
    pub(super) wait: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Resume {
    #[command(flatten)]
    pub(super) step: Step,
    /// Only this stream.
    #[arg(long, conflicts_with = "wait", value_parser = named_stream)]
    pub(super) stream: Option<StreamId>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Switch {
    #[command(flatten)]
    pub(super) step: Step,
    /// Also to a generation with parked streams.
    #[arg(long)]
    pub(super) accept_incomplete: bool,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Drop {
    #[command(flatten)]
    pub(super) step: Step,
    /// Only if it is this one.
    #[arg(long, value_name = "N")]
    pub(super) generation: Option<u32>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Parked {
    #[command(flatten)]
    pub(super) named: Named,
    /// How many streams to show at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(super) limit: u32,
    /// Where an earlier answer ended.
    #[arg(long)]
    pub(super) cursor: Option<ParkedCursor>,
}

impl Command {
    /// Which system it speaks to.
    pub(super) fn common(&self) -> &Common {
        match self {
            Self::List(List { common }) => common,
            Self::Status(named) | Self::Pause(named) | Self::Redrive(named) => &named.common,
            Self::Rebuild(cut) | Self::Reconcile(cut) => &cut.named.common,
            Self::Cancel(step) | Self::Rollback(step) => &step.named.common,
            Self::Resume(resume) => &resume.step.named.common,
            Self::Switch(switch) => &switch.step.named.common,
            Self::Drop(drop) => &drop.step.named.common,
            Self::Parked(parked) => &parked.named.common,
        }
    }

    /// Whether it waits for the end of a job.
    pub(super) fn waits(&self) -> bool {
        match self {
            Self::Rebuild(cut) | Self::Reconcile(cut) => cut.wait,
            Self::Cancel(step) | Self::Rollback(step) => step.wait,
            Self::Resume(resume) => resume.step.wait,
            Self::Switch(switch) => switch.step.wait,
            Self::Drop(drop) => drop.step.wait,
            Self::List(_) | Self::Status(_) | Self::Pause(_) | Self::Redrive(_) | Self::Parked(_) => false,
        }
    }
}

/// One of the names that there are; clap lists them.
fn known() -> impl TypedValueParser<Value = Projection> {
    let names = PossibleValuesParser::new(app().consumers().iter().map(|projection| projection.name));
    names.try_map(|name| app().consumer(&name).copied().ok_or("there is no such projection"))
}
