//! `ledgerfold audit`: questions about the past. Whoever asks is recorded before the answer.

mod export;
mod filters;
mod history;
mod index;
mod output;
mod search;
mod snapshots;
mod states;
mod trace;
mod verify;

use super::failure::{Exit, Failure, wrong_use};
use super::table;
use super::target::Target;
use super::{Common, app};
use eventstore::Id;
use handlers::audit::{AuditError, Call, DamagedCommit, OpenTrail, Reader};
use index::IndexState;
use std::collections::BTreeMap;

/// Questions about the past.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Audit {
    /// Show what happened in a stream: version, time, actor, command, event and its data.
    #[command(
        after_help = "Examples:\n  ledgerfold audit history STREAM\n  ledgerfold audit history OTHER_STREAM --from 100 --limit 20 --json"
    )]
    History(history::History),
    /// Walk the hash chain of a stream, or of all, and name the first commit that does not fit. The end is compared with the
    /// stream's snapshot and read models, with --all also with the audit index. With --snapshots, each snapshot is compared with
    /// the fold of its events. Exit 1 if something does not fit or is gone.
    #[command(
        after_help = "Examples:\n  ledgerfold audit verify STREAM\n  ledgerfold audit verify --all --data .ledgerfold --json\n  ledgerfold audit verify --all --snapshots"
    )]
    Verify(verify::Verify),
    /// Find events by actor, type, command, correlation and time, in all streams or in one. Exit 1 if a commit is damaged or gone.
    #[command(
        after_help = "Examples:\n  ledgerfold audit search --actor ann --from 2026-11-22T00:00:00Z\n  ledgerfold audit search --type EVENT_TYPE --order asc --limit 20 --json"
    )]
    Search(Box<search::Search>),
    /// Draw the tree of causes of a business process: its commands, their events, the commands that these caused, and so on.
    #[command(
        after_help = "Examples:\n  ledgerfold audit trace 0190d6a8-5c1e-7cc0-b4d0-3f1f5a3c9a10\n  ledgerfold audit trace --stream STREAM"
    )]
    Trace(trace::Trace),
    /// Show the state of a stream as of a version or a time, as its read model showed it.
    #[command(
        after_help = "Examples:\n  ledgerfold audit at STREAM --version 2\n  ledgerfold audit at OTHER_STREAM --time 2026-11-22T10:00:00Z --json"
    )]
    At(states::At),
    /// Show what changed in a stream between two versions or times, field by field.
    #[command(
        after_help = "Examples:\n  ledgerfold audit diff STREAM --from 1 --to 3\n  ledgerfold audit diff OTHER_STREAM --from-time 2026-11-22T00:00:00Z"
    )]
    Diff(Box<states::Diff>),
    /// Write events to a file or to standard output: all that fit, the newest first. Without --stream, all that are indexed.
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
            Self::Trace(question) => question.run().await,
            Self::At(question) => question.run().await,
            Self::Diff(question) => question.run().await,
            Self::Export(question) => question.run().await,
        }
    }
}

/// Who asks.
#[derive(Debug, clap::Args)]
struct Asker {
    /// Who asks: recorded with the question; operator:$USER if nothing is said.
    #[arg(long = "as", value_name = "ACTOR", env = "LEDGERFOLD_ACTOR", value_parser = super::access::actor)]
    asker: Option<Id>,
}

/// A question that was checked, to the system that the options name.
struct Question<'a> {
    common: &'a Common,
    asker: Option<&'a Id>,
    call: Call,
    about: Vec<(&'static str, Option<String>)>,
}

impl Question<'_> {
    /// Records the question, and has it answered.
    async fn ask(self, answer: impl AsyncFnOnce(OpenTrail) -> Result<Exit, Failure>) -> Result<Exit, Failure> {
        self.put(async |_: &Target| (), async |trail, ()| answer(trail).await).await
    }

    /// The same, with how the index stands. It is looked at before the question is recorded: that, too, has to be indexed.
    async fn ask_with_index(
        self,
        answer: impl AsyncFnOnce(OpenTrail, IndexState) -> Result<Exit, Failure>,
    ) -> Result<Exit, Failure> {
        self.put(IndexState::of, answer).await
    }

    async fn put<T>(
        self,
        look: impl AsyncFnOnce(&Target) -> T,
        answer: impl AsyncFnOnce(OpenTrail, T) -> Result<Exit, Failure>,
    ) -> Result<Exit, Failure> {
        let reader = Reader { actor: actor(self.asker)?, correlation_id: None, trace_parent: None };
        let given = self.about.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let about: BTreeMap<String, String> = given.collect();
        let target = Target::open(self.common).await?;
        let seen = look(&target).await;
        let trail = target.clients.system(app(), &target.names).audit_trail();
        // Boxed, because futures within futures have a limit to their depth.
        let ended = match Box::pin(trail.open(&reader, self.call, about)).await {
            Ok(trail) => Box::pin(answer(trail, seen)).await,
            Err(error) => Err(target.explain(Failure::from_error(&error)).await),
        };
        target.close().await;
        ended
    }
}

/// Who asks: who says so, or the user of the machine.
fn actor(asker: Option<&Id>) -> Result<Id, Failure> {
    let user = || std::env::var("USER").ok().and_then(|user| Id::new(format!("operator:{user}")).ok());
    let unknown = || Id::new("operator:unknown").map_err(|error| Failure::from_error(&error));
    asker.cloned().or_else(user).map_or_else(unknown, Ok)
}

fn id(text: &str) -> Result<Id, eventstore::InvalidId> {
    Id::new(text)
}

fn failed(error: AuditError) -> Failure {
    Failure::from_error(&error)
}

/// A line for each commit that its stream does not have as it was written.
fn tell_damaged(damaged: &[DamagedCommit]) -> Result<(), Failure> {
    let line = |DamagedCommit { stream, version, reason }: &DamagedCommit| {
        table::line(&format!("DAMAGED {stream} at version {version}: {reason}"))
    };
    damaged.iter().try_for_each(line)
}
