//! `ledgerfold audit trace`.

use super::{Asker, Question, failed, id, tell_damaged};
use crate::cli::Common;
use crate::cli::failure::{Exit, Failure};
use crate::cli::named_stream;
use crate::cli::output;
use eventstore::{Id, StreamId};
use handlers::audit::{Call, OpenTrail, TracedCommand, TracedEvent};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Trace {
    /// The correlation id that the process's commits bear.
    #[arg(required_unless_present = "stream", conflicts_with = "stream", value_parser = id)]
    correlation: Option<Id>,
    /// Take the correlation id of this stream's first commit.
    #[arg(long, value_parser = named_stream)]
    stream: Option<StreamId>,
    #[command(flatten)]
    asker: Asker,
    #[command(flatten)]
    common: Common,
}

impl Trace {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let about = vec![
            ("correlation", self.correlation.as_ref().map(Id::to_string)),
            ("stream", self.stream.as_ref().map(StreamId::to_string)),
        ];
        let asker = self.asker.asker.as_ref();
        let question = Question { common: &self.common, asker, call: Call::Trace, about };
        question.ask(async |trail| self.answer(&trail).await).await
    }

    async fn answer(&self, trail: &OpenTrail) -> Result<Exit, Failure> {
        let correlation = match (&self.correlation, &self.stream) {
            (Some(correlation), _) => correlation.clone(),
            (None, Some(stream)) => trail.correlation_of(stream).await.map_err(failed)?,
            (None, None) => return Err(Failure::new("nothing is named to trace", "see --help")),
        };
        let trace = trail.trace(&correlation).await.map_err(failed)?;
        let whole = trace.damaged.is_empty();
        if self.common.json {
            output::json(&trace)?;
            return Ok(output::answer(whole));
        }
        output::line(&format!("correlation {}: {} commands", trace.correlation_id, trace.commits))?;
        let mut lines = Vec::new();
        trace.roots.iter().for_each(|root| draw_command(root, "", "", &mut lines));
        lines.iter().try_for_each(|line| output::line(line))?;
        tell_damaged(&trace.damaged)?;
        if trace.truncated {
            output::line("… there are more, later ones; `audit search --correlation` finds them all")?;
        }
        Ok(output::answer(whole))
    }
}

/// Draws a command behind `lead`, and what came of it behind `below`.
fn draw_command(command: &TracedCommand, lead: &str, below: &str, lines: &mut Vec<String>) {
    let TracedCommand { stream, command_id, actor, recorded_at, caused_by, events, .. } = command;
    // Below an event the cause is seen; a root has to tell it.
    let cause = caused_by.as_ref().filter(|_| lead.is_empty());
    let cause = cause.map(|cause| format!(", caused by {cause}")).unwrap_or_default();
    lines.push(format!("{lead}{stream}: command {command_id} by {actor}, {recorded_at}{cause}"));
    branches(events, below, |event, lead, below| draw_event(event, lead, below, lines));
}

fn draw_event(event: &TracedEvent, lead: &str, below: &str, lines: &mut Vec<String>) {
    let TracedEvent { version, event_type, data, commands, .. } = event;
    lines.push(format!("{lead}{version} {event_type} {data}"));
    branches(commands, below, |command, lead, below| draw_command(command, lead, below, lines));
}

fn branches<T>(items: &[T], below: &str, mut draw: impl FnMut(&T, &str, &str)) {
    let last = items.len().saturating_sub(1);
    for (index, item) in items.iter().enumerate() {
        let (corner, line) = if index == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        draw(item, &format!("{below}{corner}"), &format!("{below}{line}"));
    }
}
