//! `ledgerfold audit`.

use super::Common;
use super::failure::{Exit, Failure};
use super::table;
use super::target::Target;
use crate::resources;
use eventstore::{
    Commit, Consistency, Damaged, Direction, Event, EventStore, StreamId, Streams, Verification, time_text,
};
use futures::{StreamExt, TryStreamExt};
use serde_json::json;

/// How many streams are verified at once.
const CONCURRENT_STREAMS: usize = 8;
/// How many parts of the table are read at once to find the streams.
const SEGMENTS: u32 = 4;

/// Questions about the past.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Audit {
    /// Show what happened in a stream: version, time, actor, command, event and its data.
    #[command(
        after_help = "Examples:\n  ledgerfold audit history order-6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e\n  ledgerfold audit history stock-9780306406157 --from 100 --limit 20 --json"
    )]
    History(History),
    /// Walk the hash chain of a stream, or of all, and name the first commit that does not fit. Exit 1 if there is one.
    #[command(
        after_help = "Examples:\n  ledgerfold audit verify order-6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e\n  ledgerfold audit verify --all --data .ledgerfold --json"
    )]
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
pub(super) struct History {
    /// The stream, such as order-6f0f… or stock-9780306406157.
    stream: StreamId,
    /// The first version to show.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,
    /// How many events to show at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// The stream.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    stream: Option<StreamId>,
    /// Every stream there is.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    common: Common,
}

impl Audit {
    pub(super) async fn run(self) -> Result<Exit, Failure> {
        let common = match &self {
            Self::History(History { common, .. }) | Self::Verify(Verify { common, .. }) => common,
        };
        let target = Target::open(common).await?;
        let store = resources::event_store(&target.clients, &target.names);
        let ended = match &self {
            Self::History(history) => history.run(&store).await,
            Self::Verify(verify) => verify.run(&store).await,
        };
        target.close().await;
        ended
    }
}

impl History {
    async fn run(&self, store: &EventStore) -> Result<Exit, Failure> {
        let failed = |error| Failure::new(format!("{} cannot be read", self.stream), error);
        let (head, _) = store.head(&self.stream, Consistency::Strong).await.map_err(failed)?;
        if head.version() == 0 {
            return Err(Failure::new(format!("there is no stream {}", self.stream), "nothing was ever appended to it"));
        }
        let commits = self.commits(store).await?;
        let events = commits.iter().flat_map(|commit| commit.events.iter().map(move |event| (commit, event)));
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let events: Vec<(&Commit, &Event)> =
            events.filter(|(_, event)| event.version >= self.from).take(limit).collect();
        let next = events.last().map(|(_, event)| event.version + 1).filter(|next| *next <= head.version());
        if self.common.json {
            let shown: Vec<_> = events.iter().map(|(commit, event)| as_json(commit, event)).collect();
            let head = json!({"version": head.version(), "hash": head.hash()});
            table::json(&json!({"stream": self.stream, "head": head, "events": shown, "next_from": next}))?;
            return Ok(Exit::Done);
        }
        let shown: Vec<_> = events.iter().map(|(commit, event)| as_row(commit, event)).collect();
        table::rows(["VERSION", "RECORDED AT", "ACTOR", "COMMAND", "EVENT", "DATA"], &shown)?;
        if let Some(next) = next {
            table::line(&format!("… up to version {}; go on with --from {next}", head.version()))?;
        }
        Ok(Exit::Done)
    }

    async fn commits(&self, store: &EventStore) -> Result<Vec<Commit>, Failure> {
        let (mut commits, mut from, mut missing) = (Vec::new(), Some(self.from), self.limit);
        while let Some(start) = from.filter(|_| missing > 0) {
            let page = store.read(&self.stream, start, Direction::Forwards, missing.min(1_000)).await;
            let page = page.map_err(|error| Failure::new(format!("{} cannot be read", self.stream), error))?;
            // A page begins with a whole commit, whose first events may lie before.
            let events = page.commits.iter().flat_map(|commit| &commit.events);
            let events = events.filter(|event| event.version >= self.from).count();
            missing = missing.saturating_sub(u32::try_from(events).unwrap_or(u32::MAX));
            commits.extend(page.commits);
            from = page.next;
        }
        Ok(commits)
    }
}

fn as_json(commit: &Commit, event: &Event) -> serde_json::Value {
    json!({
        "version": event.version,
        "type": event.body.event_type,
        "schema": event.body.schema,
        "recorded_at": time_text(commit.recorded_at),
        "actor": commit.envelope.actor,
        "command_id": commit.envelope.command_id,
        "correlation_id": commit.envelope.correlation_id,
        "causation_id": commit.envelope.causation_id,
        "data": event.body.data,
    })
}

fn as_row(commit: &Commit, event: &Event) -> [String; 6] {
    [
        event.version.to_string(),
        time_text(commit.recorded_at),
        commit.envelope.actor.to_string(),
        commit.envelope.command_id.to_string(),
        event.body.event_type.clone(),
        event.body.data.get().to_owned(),
    ]
}

impl Verify {
    async fn run(&self, store: &EventStore) -> Result<Exit, Failure> {
        match &self.stream {
            Some(stream) => self.one(store, stream).await,
            None => self.every(store).await,
        }
    }

    async fn one(&self, store: &EventStore, stream: &StreamId) -> Result<Exit, Failure> {
        let walk = verify(store, stream).await?;
        if walk.commits == 0 && walk.verified() {
            return Err(Failure::new(format!("there is no stream {stream}"), "nothing was ever appended to it"));
        }
        match self.common.json {
            true => table::json(&report(&walk))?,
            false => table::line(&verdict(&walk))?,
        }
        Ok(table::answer(walk.verified()))
    }

    async fn every(&self, store: &EventStore) -> Result<Exit, Failure> {
        let found = store.streams(SEGMENTS, |items| table::progress(&format!("{items} commits found"))).await;
        let Streams { names, foreign } = found.map_err(|error| Failure::new("the streams cannot be listed", error))?;
        let all = names.len();
        let walks = futures::stream::iter(&names).map(|stream| verify(store, stream));
        let (mut commits, mut done, mut broken) = (0, 0, Vec::new());
        let mut walks = walks.buffered(CONCURRENT_STREAMS);
        while let Some(walk) = walks.try_next().await? {
            (commits, done) = (commits + walk.commits, done + 1);
            if done % 100 == 0 || done == all {
                table::progress(&format!("{done} of {all} streams verified"));
            }
            if !walk.verified() {
                broken.push(walk);
            }
        }
        table::progress("");
        let verified = broken.is_empty() && foreign.is_empty();
        if self.common.json {
            let broken: Vec<_> = broken.iter().map(report).collect();
            let foreign: Vec<_> = foreign.iter().map(foreign_report).collect();
            let streams =
                json!({"streams": all, "commits": commits, "verified": verified, "broken": broken, "foreign": foreign});
            table::json(&streams)?;
        } else {
            broken.iter().try_for_each(|walk| table::line(&verdict(walk)))?;
            foreign.iter().try_for_each(|item| table::line(&format!("FOREIGN item: {item}")))?;
            let (broken, foreign) = (broken.len(), foreign.len());
            table::line(&format!(
                "streams: {all}, commits that fit: {commits}, broken streams: {broken}, foreign items: {foreign}"
            ))?;
        }
        Ok(table::answer(verified))
    }
}

fn foreign_report(item: &Damaged) -> serde_json::Value {
    json!({"stream": item.stream, "version": item.version, "reason": item.damage.to_string()})
}

async fn verify(store: &EventStore, stream: &StreamId) -> Result<Verification, Failure> {
    store.verify(stream).await.map_err(|error| Failure::new(format!("{stream} cannot be read"), error))
}

fn report(walk: &Verification) -> serde_json::Value {
    let broken =
        walk.broken_at.as_ref().map(|broken| json!({"version": broken.version, "reason": broken.damage.to_string()}));
    json!({
        "stream": walk.stream,
        "verified": walk.verified(),
        "commits": walk.commits,
        "head": {"version": walk.version(), "hash": walk.hash()},
        "broken_at": broken,
    })
}

fn verdict(walk: &Verification) -> String {
    let Verification { stream, commits, broken_at, .. } = walk;
    match broken_at {
        None => format!("{stream} is what was written: {commits} commits, head {} {}", walk.version(), walk.hash()),
        Some(broken) => format!("{stream} is BROKEN at version {}: {}", broken.version, broken.damage),
    }
}
