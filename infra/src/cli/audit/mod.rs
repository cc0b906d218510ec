//! `ledgerfold audit`: queries of the audit trail. Each query is recorded before it is answered.
//!
//! | module | command |
//! |---|---|
//! | `history`, `at_and_diff` | one stream: `history`, `at`, `diff` |
//! | `search`, `export` | events in all streams or one |
//! | `tail`, `streams` | all commits from a position on, and the names of streams |
//! | `trace` | the commands that one command caused |
//! | `verify` | the hash chains |

mod at_and_diff;
mod export;
mod export_output;
mod filters;
mod history;
mod index_state;
mod search;
mod snapshots;
mod streams;
mod tail;
mod trace;
mod verify;

use super::exit::{Exit, Failure, wrong_use};
use super::output;
use super::target::Target;
use super::{TargetOptions, app};
use eventstore::Id;
use handlers::audit::{AuditError, Call, DamagedCommit, OpenTrail, Reader};
use index_state::IndexState;
use std::collections::BTreeMap;

/// Queries of the audit trail.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Audit {
    /// Show the events of a stream: version, time, actor, command, event and its data.
    #[command(
        after_help = "Examples:\n  ledgerfold audit history STREAM\n  ledgerfold audit history OTHER_STREAM --from 100 --limit 20 --json"
    )]
    History(history::History),
    /// Verify the hash chain of one stream or of all, and name the first corrupt commit. The head
    /// is compared with the stream's snapshot and read models; with --all, also with the audit
    /// index. With --snapshots, each snapshot is compared with the fold of its events. Exit 1 if a
    /// commit is corrupt or missing, or a snapshot differs.
    #[command(
        after_help = "Examples:\n  ledgerfold audit verify STREAM\n  ledgerfold audit verify --all --data .ledgerfold --json\n  ledgerfold audit verify --all --snapshots"
    )]
    Verify(verify::Verify),
    /// Find events by actor, type, command, correlation and time, in all streams or in one. Exit 1
    /// if a commit is corrupt or missing.
    #[command(
        after_help = "Examples:\n  ledgerfold audit search --actor ann --from 2026-11-22T00:00:00Z\n  ledgerfold audit search --type EVENT_TYPE --order asc --limit 20 --json"
    )]
    Search(Box<search::Search>),
    /// Show all commits from a position on, in one order without a gap, and follow what comes.
    #[command(
        after_help = "Examples:\n  ledgerfold audit tail --last 20 --follow\n  ledgerfold audit tail --after 1.250 --json\n  ledgerfold audit tail --category CATEGORY --not-type EVENT_TYPE\n\nEach event has the position of its commit. Continue after the last one, and you get each commit exactly once."
    )]
    Tail(Box<tail::Tail>),
    /// List the streams by category and name.
    #[command(
        after_help = "Examples:\n  ledgerfold audit streams --category CATEGORY\n  ledgerfold audit streams --begins-with CATEGORY-01 --limit 20 --json"
    )]
    Streams(streams::Streams),
    /// Draw the causation tree of a business process: its commands, their events, the commands that
    /// these caused, and so on.
    #[command(
        after_help = "Examples:\n  ledgerfold audit trace 0190d6a8-5c1e-7cc0-b4d0-3f1f5a3c9a10\n  ledgerfold audit trace --stream STREAM"
    )]
    Trace(trace::Trace),
    /// Show the state of a stream as of a version or a time, in the form of its read model.
    #[command(
        after_help = "Examples:\n  ledgerfold audit at STREAM --version 2\n  ledgerfold audit at OTHER_STREAM --time 2026-11-22T10:00:00Z --json"
    )]
    At(at_and_diff::At),
    /// Show which fields of a stream changed between two versions or times.
    #[command(
        after_help = "Examples:\n  ledgerfold audit diff STREAM --from 1 --to 3\n  ledgerfold audit diff OTHER_STREAM --from-time 2026-11-22T00:00:00Z"
    )]
    Diff(Box<at_and_diff::Diff>),
    /// Write the matching events to a file or to standard output, newest first. Without --stream,
    /// all that are indexed.
    #[command(
        after_help = "Examples:\n  ledgerfold audit export --output events.jsonl\n  ledgerfold audit export --stream OTHER_STREAM --format csv > stock.csv"
    )]
    Export(Box<export::Export>),
}

impl Audit {
    pub(super) async fn run(self) -> Result<Exit, Failure> {
        match self {
            Self::History(question) => question.run().await,
            Self::Verify(question) => question.run().await,
            Self::Search(question) => question.run().await,
            Self::Tail(question) => question.run().await,
            Self::Streams(question) => question.run().await,
            Self::Trace(question) => question.run().await,
            Self::At(question) => question.run().await,
            Self::Diff(question) => question.run().await,
            Self::Export(question) => question.run().await,
        }
    }
}

/// The option for the actor of a query.
#[derive(Debug, clap::Args)]
struct ActorOption {
    /// The actor that is recorded with the query; operator:$USER by default.
    #[arg(id = "asker", long = "as", value_name = "ACTOR", env = "LEDGERFOLD_ACTOR", value_parser = super::dev::actor)]
    actor: Option<Id>,
}

/// A query with valid arguments, and the system to run it on.
struct AuditQuery<'a> {
    options: &'a TargetOptions,
    actor: Option<&'a Id>,
    call: Call,
    arguments: Vec<(&'static str, Option<String>)>,
}

impl AuditQuery<'_> {
    /// Records the query, then answers it.
    async fn run(
        self,
        answer: impl AsyncFnOnce(OpenTrail) -> Result<Exit, Failure>,
    ) -> Result<Exit, Failure> {
        self.run_after(async |_: &Target| (), async |trail, ()| answer(trail).await).await
    }

    /// The same, with the state of the index. It is read first, because the record of the query is
    /// itself not indexed yet.
    async fn run_with_index(
        self,
        answer: impl AsyncFnOnce(OpenTrail, IndexState) -> Result<Exit, Failure>,
    ) -> Result<Exit, Failure> {
        self.run_after(IndexState::of, answer).await
    }

    async fn run_after<T>(
        self,
        prepare: impl AsyncFnOnce(&Target) -> T,
        answer: impl AsyncFnOnce(OpenTrail, T) -> Result<Exit, Failure>,
    ) -> Result<Exit, Failure> {
        let reader = reader(self.actor)?;
        let arguments =
            self.arguments.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let arguments: BTreeMap<String, String> = arguments.collect();
        let target = Target::open(self.options).await?;
        let prepared = prepare(&target).await;
        let trail = target.clients.system(app(), &target.names).audit_trail();
        // Boxed, because the compiler limits the depth of nested futures.
        let result = match Box::pin(trail.open(&reader, self.call, arguments)).await {
            Ok(trail) => Box::pin(answer(trail, prepared)).await,
            Err(error) => Err(target.explain(Failure::from_error(&error)).await),
        };
        target.close().await;
        result
    }
}

/// The reader of a query.
fn reader(actor: Option<&Id>) -> Result<Reader, Failure> {
    Ok(Reader { actor: actor_or_user(actor)?, correlation_id: None, trace_parent: None })
}

/// The named actor, or the user of the operating system.
fn actor_or_user(actor: Option<&Id>) -> Result<Id, Failure> {
    let user =
        || std::env::var("USER").ok().and_then(|user| Id::new(format!("operator:{user}")).ok());
    let unknown = || Id::new("operator:unknown").map_err(|error| Failure::from_error(&error));
    actor.cloned().or_else(user).map_or_else(unknown, Ok)
}

fn id(text: &str) -> Result<Id, eventstore::InvalidId> {
    Id::new(text)
}

fn failed(error: AuditError) -> Failure {
    Failure::from_error(&error)
}

/// Prints a line for each corrupt commit.
fn print_damaged(damaged: &[DamagedCommit]) -> Result<(), Failure> {
    let line = |DamagedCommit { stream, version, reason }: &DamagedCommit| {
        output::line(&format!("DAMAGED {stream} at version {version}: {reason}"))
    };
    damaged.iter().try_for_each(line)
}
