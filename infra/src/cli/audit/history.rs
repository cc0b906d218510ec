//! `ledgerfold audit history`: the events of a stream.

use super::{ActorOption, AuditQuery, failed};
use crate::cli::TargetOptions;
use crate::cli::exit::{Exit, Failure};
use crate::cli::named_stream;
use crate::cli::output;
use eventstore::{StreamId, time_text};
use handlers::audit::{Call, Occurrence, OpenTrail};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct History {
    /// The stream, such as STREAM or OTHER_STREAM.
    #[arg(value_parser = named_stream)]
    stream: StreamId,
    /// The first version to show.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,
    /// The last version to show; by default the head.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    to: Option<u64>,
    /// The most events to show.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    actor: ActorOption,
    #[command(flatten)]
    options: TargetOptions,
}

impl History {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let arguments = vec![
            ("stream", Some(self.stream.to_string())),
            ("from", Some(self.from.to_string())),
            ("to", self.to.map(|to| to.to_string())),
            ("limit", Some(self.limit.to_string())),
        ];
        let actor = self.actor.actor.as_ref();
        let query = AuditQuery { options: &self.options, actor, call: Call::History, arguments };
        query.run(async |trail| self.answer(&trail).await).await
    }

    async fn answer(&self, trail: &OpenTrail) -> Result<Exit, Failure> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let page = trail.history(&self.stream, self.from, self.to, limit).await.map_err(failed)?;
        if self.options.json {
            output::json(&page)?;
            return Ok(Exit::Done);
        }
        let shown: Vec<_> = page.events.iter().map(row).collect();
        output::rows(["VERSION", "RECORDED AT", "ACTOR", "COMMAND", "EVENT", "DATA"], &shown)?;
        if let Some(next) = page.next_from {
            output::line(&format!(
                "… up to version {to}; continue with --from {next} --to {to}",
                to = page.to
            ))?;
        }
        Ok(Exit::Done)
    }
}

/// An event as a row of a table: version, time, actor, command, type and data.
pub(super) fn row(Occurrence { commit, event, .. }: &Occurrence) -> [String; 6] {
    [
        event.version.to_string(),
        time_text(commit.recorded_at),
        commit.metadata.actor.to_string(),
        commit.metadata.command_id.to_string(),
        event.body.event_type.clone(),
        event.body.data.get().to_owned(),
    ]
}
