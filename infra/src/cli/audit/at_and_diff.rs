//! `ledgerfold audit at` and `ledgerfold audit diff`: the state of a stream at one time, and
//! between two.

use super::filters::time;
use super::history::row;
use super::{ActorOption, AuditQuery, failed, wrong_use};
use crate::cli::TargetOptions;
use crate::cli::exit::{Exit, Failure};
use crate::cli::named_stream;
use crate::cli::output;
use chrono::{DateTime, Utc};
use eventstore::{StreamId, time_text};
use handlers::audit::{Call, ChangedField, Difference, End, Moment, OpenTrail, Span, StateAt};
use serde_json::Value;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct At {
    /// The stream, such as STREAM or OTHER_STREAM.
    #[arg(value_parser = named_stream)]
    stream: StreamId,
    /// As of this version.
    #[arg(long, required_unless_present = "time", conflicts_with = "time", value_parser = clap::value_parser!(u64).range(1..))]
    version: Option<u64>,
    /// As of this time, RFC 3339.
    #[arg(long, value_parser = time)]
    time: Option<DateTime<Utc>>,
    #[command(flatten)]
    actor: ActorOption,
    #[command(flatten)]
    options: TargetOptions,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Diff {
    /// The stream, such as STREAM or OTHER_STREAM.
    #[arg(value_parser = named_stream)]
    stream: StreamId,
    /// The version before; by default 0, the empty stream.
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["from_time", "to_time"])]
    from: Option<u64>,
    /// The version after; by default the head.
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["from_time", "to_time"], value_parser = clap::value_parser!(u64).range(1..))]
    to: Option<u64>,
    /// The time before, RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from_time: Option<DateTime<Utc>>,
    /// The time after, RFC 3339; by default the head.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to_time: Option<DateTime<Utc>>,
    #[command(flatten)]
    actor: ActorOption,
    #[command(flatten)]
    options: TargetOptions,
}

fn moment(version: Option<u64>, time: Option<DateTime<Utc>>) -> Option<Moment> {
    version.map(Moment::Version).or(time.map(Moment::Time))
}

impl At {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let moment = moment(self.version, self.time)
            .unwrap_or_else(|| wrong_use("--version or --time is required"));
        let arguments = vec![
            ("stream", Some(self.stream.to_string())),
            ("version", self.version.map(|version| version.to_string())),
            ("time", self.time.map(time_text)),
        ];
        let actor = self.actor.actor.as_ref();
        let query = AuditQuery { options: &self.options, actor, call: Call::At, arguments };
        query.run(async |trail| self.answer(&trail, moment).await).await
    }

    async fn answer(&self, trail: &OpenTrail, moment: Moment) -> Result<Exit, Failure> {
        let at = trail.at(&self.stream, moment).await.map_err(failed)?;
        if self.options.json {
            output::json(&at)?;
            return Ok(Exit::Done);
        }
        let StateAt { stream, version, recorded_at, read_model, state, hash, .. } = at;
        output::line(&format!(
            "{stream} at version {version}, recorded at {recorded_at}, as in {read_model}:"
        ))?;
        output::json(&state)?;
        output::line(&format!("the hash chain is intact; the hash of this version is {hash}"))?;
        Ok(Exit::Done)
    }
}

impl Diff {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let span = Span::new(moment(self.from, self.from_time), moment(self.to, self.to_time));
        let span = span.unwrap_or_else(|rule| {
            wrong_use(format!("the two versions or times contradict each other: {rule}"))
        });
        let version = |version: Option<u64>| version.map(|version| version.to_string());
        let arguments = vec![
            ("stream", Some(self.stream.to_string())),
            ("from", version(self.from)),
            ("to", version(self.to)),
            ("from_time", self.from_time.map(time_text)),
            ("to_time", self.to_time.map(time_text)),
        ];
        let actor = self.actor.actor.as_ref();
        let query = AuditQuery { options: &self.options, actor, call: Call::Diff, arguments };
        query.run(async |trail| self.answer(&trail, span).await).await
    }

    async fn answer(&self, trail: &OpenTrail, span: Span) -> Result<Exit, Failure> {
        let difference = trail.difference(&self.stream, span).await.map_err(failed)?;
        if self.options.json {
            output::json(&difference)?;
            return Ok(Exit::Done);
        }
        let Difference { stream, read_model, from, to, changes, events, events_left_out, .. } =
            difference;
        output::line(&format!(
            "{stream}, as in {read_model}, from {} to {}:",
            end(&from),
            end(&to)
        ))?;
        let changed: Vec<_> = changes.iter().map(change).collect();
        output::rows(["FIELD", "BEFORE", "AFTER"], &changed)?;
        output::line("")?;
        let shown: Vec<_> = events.iter().map(row).collect();
        output::rows(["VERSION", "RECORDED AT", "ACTOR", "COMMAND", "EVENT", "DATA"], &shown)?;
        if events_left_out > 0 {
            output::line(&format!("… and {events_left_out} more events"))?;
        }
        Ok(Exit::Done)
    }
}

fn end(End { version, recorded_at, .. }: &End) -> String {
    match recorded_at {
        Some(recorded_at) => format!("version {version} ({recorded_at})"),
        None => "the empty stream".to_owned(),
    }
}

fn change(ChangedField { path, before, after }: &ChangedField) -> [String; 3] {
    [path.clone(), shown(before), shown(after)]
}

/// A value in a cell; a missing one is `-`.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
