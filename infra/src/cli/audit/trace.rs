//! `ledgerfold audit trace`: draws which command caused which.

use super::{ActorOption, AuditQuery, failed, id, print_damaged};
use crate::cli::TargetOptions;
use crate::cli::exit::{Exit, Failure};
use crate::cli::named_stream;
use crate::cli::output;
use eventstore::{Id, StreamId};
use handlers::audit::{Call, OpenTrail, TracedCommand, TracedEvent};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Trace {
    /// The correlation id of the process.
    #[arg(required_unless_present = "stream", conflicts_with = "stream", value_parser = id)]
    correlation: Option<Id>,
    /// Use the correlation id of this stream's first commit.
    #[arg(long, value_parser = named_stream)]
    stream: Option<StreamId>,
    #[command(flatten)]
    actor: ActorOption,
    #[command(flatten)]
    options: TargetOptions,
}

impl Trace {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let arguments = vec![
            ("correlation", self.correlation.as_ref().map(Id::to_string)),
            ("stream", self.stream.as_ref().map(StreamId::to_string)),
        ];
        let actor = self.actor.actor.as_ref();
        let query = AuditQuery { options: &self.options, actor, call: Call::Trace, arguments };
        query.run(async |trail| self.answer(&trail).await).await
    }

    async fn answer(&self, trail: &OpenTrail) -> Result<Exit, Failure> {
        let correlation = match (&self.correlation, &self.stream) {
            (Some(correlation), _) => correlation.clone(),
            (None, Some(stream)) => trail.correlation_of(stream).await.map_err(failed)?,
            (None, None) => {
                return Err(Failure::new("no correlation id and no stream is given", "see --help"));
            }
        };
        let trace = trail.trace(&correlation).await.map_err(failed)?;
        let intact = trace.damaged.is_empty();
        if self.options.json {
            output::json(&trace)?;
            return Ok(output::yes_or_no(intact));
        }
        output::line(&format!("correlation {}: {} commands", trace.correlation_id, trace.commits))?;
        let mut lines = Vec::new();
        trace.roots.iter().for_each(|root| draw_command(root, "", "", &mut lines));
        lines.iter().try_for_each(|line| output::line(line))?;
        print_damaged(&trace.damaged)?;
        if trace.truncated {
            output::line(
                "… there are more and later ones; `audit search --correlation` finds all",
            )?;
        }
        Ok(output::yes_or_no(intact))
    }
}

/// Draws a command after the prefix `lead`, and its events after the prefix `below`.
fn draw_command(command: &TracedCommand, lead: &str, below: &str, lines: &mut Vec<String>) {
    let TracedCommand { stream, command_id, actor, recorded_at, caused_by, events, .. } = command;
    // The tree shows the cause of all commands but the roots.
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
