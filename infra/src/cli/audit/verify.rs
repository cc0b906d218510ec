//! `ledgerfold audit verify`: verifies hash chains.

use super::snapshots::{self, SnapshotReport};
use super::{ActorOption, AuditQuery, failed};
use crate::cli::TargetOptions;
use crate::cli::app;
use crate::cli::exit::{Exit, Failure};
use crate::cli::named_stream;
use crate::cli::output;
use eventstore::{CorruptStream, SnapshotVerification, StreamId, Streams, Verification, Witness};
use futures::{StreamExt, TryStreamExt};
use handlers::app::Dispatcher;
use handlers::audit::{Call, OpenTrail};
use serde_json::json;

/// Streams that are verified concurrently.
const CONCURRENT_STREAMS: usize = 8;
/// Segments of the table that are scanned concurrently.
const SEGMENTS: u32 = 4;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Verify {
    /// The stream.
    #[arg(required_unless_present = "all", conflicts_with = "all", value_parser = named_stream)]
    stream: Option<StreamId>,
    /// All streams.
    #[arg(long)]
    all: bool,
    /// Also compare snapshots with the fold of their events. Reads each stream with a snapshot a
    /// second time.
    #[arg(long)]
    snapshots: bool,
    #[command(flatten)]
    actor: ActorOption,
    #[command(flatten)]
    options: TargetOptions,
}

impl Verify {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let arguments = vec![
            ("stream", self.stream.as_ref().map(StreamId::to_string)),
            ("all", self.all.then(|| true.to_string())),
            ("snapshots", self.snapshots.then(|| true.to_string())),
        ];
        let actor = self.actor.actor.as_ref();
        let query = AuditQuery { options: &self.options, actor, call: Call::Verify, arguments };
        // The record of this query is written first, so it is verified, too.
        let walk = async |trail: OpenTrail| match &self.stream {
            Some(stream) => self.one(&trail, stream).await,
            None => self.every(&trail).await,
        };
        query.run(walk).await
    }

    async fn one(&self, trail: &OpenTrail, stream: &StreamId) -> Result<Exit, Failure> {
        let walk = trail.verify(stream).await.map_err(failed)?;
        let snapshot = match self.dispatcher(trail) {
            Some(dispatcher) => Some(snapshots::check(&dispatcher, &walk).await?),
            None => None,
        };
        if self.options.json {
            let snapshot = snapshot.as_ref().map(snapshots::to_json);
            output::json(&snapshots::with_member(report(&walk), "snapshot", snapshot))?;
        } else {
            output::line(&verdict(&walk))?;
            snapshot.iter().try_for_each(|found| output::line(&snapshots::verdict(found)))?;
        }
        Ok(output::yes_or_no(
            walk.verified() && !matches!(snapshot, Some(SnapshotVerification::Different { .. })),
        ))
    }

    /// The aggregates that fold events, if snapshots are compared.
    fn dispatcher(&self, trail: &OpenTrail) -> Option<Dispatcher> {
        self.snapshots.then(|| Dispatcher::new(app(), trail.store()))
    }

    async fn every(&self, trail: &OpenTrail) -> Result<Exit, Failure> {
        // Read before the streams are verified: streams may grow meanwhile, and their consumers
        // follow.
        let seen = trail
            .all_witnesses(|items| {
                output::progress(&format!("{items} index entries and rows found"))
            })
            .await;
        let seen = seen.map_err(failed)?;
        let found = trail
            .store()
            .streams(SEGMENTS, |items| output::progress(&format!("{items} commits found")))
            .await;
        let Streams { mut names, foreign } =
            found.map_err(|error| Failure::new("the streams cannot be listed", error))?;
        names.extend(seen.keys().cloned());
        let all = names.len();
        let dispatcher = self.dispatcher(trail);
        let walks = futures::stream::iter(&names)
            .map(|stream| verify(trail, stream, seen.get(stream), dispatcher.as_ref()));
        let (mut commits, mut done, mut broken) = (0, 0, Vec::new());
        let mut walks = walks.buffered(CONCURRENT_STREAMS);
        let mut snapshots = dispatcher.as_ref().map(|_| SnapshotReport::default());
        while let Some((walk, snapshot)) = walks.try_next().await? {
            (commits, done) = (commits + walk.commits, done + 1);
            if done % 100 == 0 || done == all {
                output::progress(&format!("{done} of {all} streams verified"));
            }
            if let (Some(snapshots), Some(found)) = (&mut snapshots, snapshot) {
                snapshots.add(&walk, found);
            }
            if !walk.verified() {
                broken.push(walk);
            }
        }
        output::progress("");
        // Of the chains. The exit status covers snapshots, too.
        let verified = broken.is_empty() && foreign.is_empty();
        if self.options.json {
            let broken: Vec<_> = broken.iter().map(report).collect();
            let foreign: Vec<_> = foreign.iter().map(foreign_report).collect();
            let streams = json!({"streams": all, "commits": commits, "verified": verified, "broken": broken, "foreign": foreign});
            let report = snapshots.as_ref().map(SnapshotReport::to_json);
            output::json(&snapshots::with_member(streams, "snapshots", report))?;
        } else {
            broken.iter().try_for_each(|walk| output::line(&verdict(walk)))?;
            foreign
                .iter()
                .try_for_each(|item| output::line(&format!("UNEXPECTED item: {item}")))?;
            output::line(&conclusion(all, commits, broken.len(), foreign.len()))?;
            snapshots
                .iter()
                .flat_map(SnapshotReport::lines)
                .try_for_each(|line| output::line(&line))?;
        }
        Ok(output::yes_or_no(verified && snapshots.is_none_or(|snapshots| snapshots.verified())))
    }
}

/// The result in one sentence.
fn conclusion(streams: usize, commits: u64, broken: usize, unexpected: usize) -> String {
    if broken == 0 && unexpected == 0 {
        return format!("All {streams} streams are intact: {commits} commits.");
    }
    format!(
        "The store is NOT intact: {broken} of {streams} streams are broken, {unexpected} items are unexpected, \
         and {commits} commits are intact."
    )
}

fn foreign_report(item: &CorruptStream) -> serde_json::Value {
    json!({"stream": item.stream, "version": item.version, "reason": item.damage.to_string()})
}

/// Verifies a stream, and its snapshot if there is a dispatcher.
async fn verify(
    trail: &OpenTrail,
    stream: &StreamId,
    seen: Option<&Witness>,
    dispatcher: Option<&Dispatcher>,
) -> Result<(Verification, Option<SnapshotVerification>), Failure> {
    let walk = trail
        .store()
        .verify_against(stream, seen.map(std::slice::from_ref).unwrap_or_default())
        .await;
    let walk = walk.map_err(|error| Failure::new(format!("{stream} cannot be read"), error))?;
    let snapshot = match dispatcher {
        Some(dispatcher) => Some(snapshots::check(dispatcher, &walk).await?),
        None => None,
    };
    Ok((walk, snapshot))
}

fn report(walk: &Verification) -> serde_json::Value {
    let broken = walk
        .broken_at
        .as_ref()
        .map(|broken| json!({"version": broken.version, "reason": broken.damage.to_string()}));
    json!({
        "stream": walk.stream,
        "verified": walk.verified(),
        "commits": walk.commits,
        "head": {"version": walk.version(), "hash": walk.hash().to_string()},
        "broken_at": broken,
    })
}

fn verdict(walk: &Verification) -> String {
    let Verification { stream, commits, broken_at, .. } = walk;
    match broken_at {
        None => format!(
            "{stream} is intact: {commits} commits, head {} {}",
            walk.version(),
            walk.hash()
        ),
        Some(broken) => {
            format!("{stream} is BROKEN at version {}: {}", broken.version, broken.damage)
        }
    }
}
