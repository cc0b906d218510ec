//! `ledgerfold audit at` and `ledgerfold audit diff`.

use super::filters::time;
use super::history::row;
use super::{Asker, Question, failed, wrong_use};
use crate::cli::Common;
use crate::cli::failure::{Exit, Failure};
use crate::cli::named_stream;
use crate::cli::output;
use chrono::{DateTime, Utc};
use eventstore::{StreamId, time_text};
use handlers::audit::{Call, Change, Difference, End, Moment, OpenTrail, Span, StateAt};
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
    asker: Asker,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Diff {
    /// The stream, such as STREAM or OTHER_STREAM.
    #[arg(value_parser = named_stream)]
    stream: StreamId,
    /// The version before; 0, where nothing is, if nothing is said.
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["from_time", "to_time"])]
    from: Option<u64>,
    /// The version after; the stream's end if nothing is said.
    #[arg(long, value_name = "VERSION", conflicts_with_all = ["from_time", "to_time"], value_parser = clap::value_parser!(u64).range(1..))]
    to: Option<u64>,
    /// The time before, RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from_time: Option<DateTime<Utc>>,
    /// The time after, RFC 3339; the stream's end if nothing is said.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to_time: Option<DateTime<Utc>>,
    #[command(flatten)]
    asker: Asker,
    #[command(flatten)]
    common: Common,
}

fn moment(version: Option<u64>, time: Option<DateTime<Utc>>) -> Option<Moment> {
    version.map(Moment::Version).or(time.map(Moment::Time))
}

impl At {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let moment = moment(self.version, self.time).unwrap_or_else(|| wrong_use("--version or --time is required"));
        let about = vec![
            ("stream", Some(self.stream.to_string())),
            ("version", self.version.map(|version| version.to_string())),
            ("time", self.time.map(time_text)),
        ];
        let asker = self.asker.asker.as_ref();
        let question = Question { common: &self.common, asker, call: Call::At, about };
        question.ask(async |trail| self.answer(&trail, moment).await).await
    }

    async fn answer(&self, trail: &OpenTrail, moment: Moment) -> Result<Exit, Failure> {
        let at = trail.at(&self.stream, moment).await.map_err(failed)?;
        if self.common.json {
            output::json(&at)?;
            return Ok(Exit::Done);
        }
        let StateAt { stream, version, recorded_at, read_model, state, hash, .. } = at;
        output::line(&format!("{stream} at version {version}, recorded at {recorded_at}, as {read_model} shows it:"))?;
        output::json(&state)?;
        output::line(&format!("the chain is what was written; this version's hash is {hash}"))?;
        Ok(Exit::Done)
    }
}

impl Diff {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let span = Span::new(moment(self.from, self.from_time), moment(self.to, self.to_time));
        let span = span.unwrap_or_else(|rule| wrong_use(format!("the ends do not fit together: {rule}")));
        let version = |version: Option<u64>| version.map(|version| version.to_string());
        let about = vec![
            ("stream", Some(self.stream.to_string())),
            ("from", version(self.from)),
            ("to", version(self.to)),
            ("from_time", self.from_time.map(time_text)),
            ("to_time", self.to_time.map(time_text)),
        ];
        let asker = self.asker.asker.as_ref();
        let question = Question { common: &self.common, asker, call: Call::Diff, about };
        question.ask(async |trail| self.answer(&trail, span).await).await
    }

    async fn answer(&self, trail: &OpenTrail, span: Span) -> Result<Exit, Failure> {
        let difference = trail.difference(&self.stream, span).await.map_err(failed)?;
        if self.common.json {
            output::json(&difference)?;
            return Ok(Exit::Done);
        }
        let Difference { stream, read_model, from, to, changes, events, events_left_out, .. } = difference;
        output::line(&format!("{stream}, as {read_model} shows it, from {} to {}:", end(&from), end(&to)))?;
        let changed: Vec<_> = changes.iter().map(change).collect();
        output::rows(["FIELD", "BEFORE", "AFTER"], &changed)?;
        output::line("")?;
        let shown: Vec<_> = events.iter().map(row).collect();
        output::rows(["VERSION", "RECORDED AT", "ACTOR", "COMMAND", "EVENT", "DATA"], &shown)?;
        if events_left_out > 0 {
            output::line(&format!("… and {events_left_out} events more"))?;
        }
        Ok(Exit::Done)
    }
}

fn end(End { version, recorded_at, .. }: &End) -> String {
    match recorded_at {
        Some(recorded_at) => format!("version {version} ({recorded_at})"),
        None => "nothing".to_owned(),
    }
}

fn change(Change { path, before, after }: &Change) -> [String; 3] {
    [path.clone(), shown(before), shown(after)]
}

/// A value in a cell: what is not there shows as `-`.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
