//! `ledgerfold audit tail`: all commits from a position on.

use super::{ActorOption, failed, id, print_damaged, reader};
use crate::cli::exit::{Exit, Failure, stop_signal};
use crate::cli::output;
use crate::cli::target::Target;
use crate::cli::{TargetOptions, app};
use eventstore::{Id, time_text};
use handlers::audit::{AuditTrail, Occurrence, Reader, TailFilter, TailPage, TailStart};
use std::time::Duration;

/// How long one request waits for the next commit.
const WAIT: Duration = Duration::from_secs(20);

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Tail {
    /// Begin after this position: 0, or one that an earlier answer ended with.
    #[arg(long, value_name = "POSITION", default_value = "0", conflicts_with = "last")]
    after: TailStart,
    /// Begin so many commits before the end.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    last: Option<u64>,
    /// Go on with new commits as they come, until Ctrl-C.
    #[arg(long)]
    follow: bool,
    /// The most commits to look at; with --follow, at a time.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Only events of streams of this category. May be repeated.
    #[arg(long)]
    category: Vec<String>,
    /// Only events of this type. May be repeated.
    #[arg(long = "type", value_name = "TYPE", value_parser = id)]
    event_type: Vec<Id>,
    /// Without events of this type. May be repeated.
    #[arg(long, value_name = "TYPE", value_parser = id)]
    not_type: Vec<Id>,
    /// Only events of this actor.
    #[arg(long = "actor", value_parser = id)]
    of_actor: Option<Id>,
    /// Include recorded audit queries.
    #[arg(long)]
    readings: bool,
    #[command(flatten)]
    actor: ActorOption,
    #[command(flatten)]
    options: TargetOptions,
}

impl Tail {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let (reader, stop) = (reader(self.actor.actor.as_ref())?, stop_signal()?);
        let target = Target::open(&self.options).await?;
        let trail = target.clients.system(app(), &target.names).audit_trail();
        let shown = tokio::select! {
            shown = self.show(&trail, &reader) => shown,
            // What was printed is whole, and nothing is written.
            () = stop => Ok(Exit::Done),
        };
        let shown = match shown {
            Err(failure) => Err(target.explain(failure).await),
            done => done,
        };
        target.close().await;
        shown
    }

    async fn show(&self, trail: &AuditTrail, reader: &Reader) -> Result<Exit, Failure> {
        let filter = TailFilter {
            categories: self.category.clone(),
            types: self.event_type.clone(),
            not_types: self.not_type.clone(),
            actor: self.of_actor.clone(),
            readings: self.readings,
        };
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let mut start = self.last.map_or(self.after, TailStart::Last);
        loop {
            let wait = if self.follow { WAIT } else { Duration::ZERO };
            let open = trail.open_to_follow(reader).await;
            let open = open.map_err(|error| Failure::from_error(&error))?;
            let page = Box::pin(open.tail(start, &filter, limit, wait)).await.map_err(failed)?;
            self.print(&page)?;
            if !self.follow {
                return Ok(output::yes_or_no(page.damaged.is_empty()));
            }
            start = TailStart::After(page.next);
        }
    }

    fn print(&self, page: &TailPage) -> Result<(), Failure> {
        if self.options.json {
            return if !self.follow {
                output::json(page)
            } else if page.events.is_empty() && page.damaged.is_empty() {
                Ok(())
            } else {
                output::json_line(page)
            };
        }
        if self.follow {
            let lines = page.events.iter().map(|(at, found)| row(*at, found).join("  "));
            lines.into_iter().try_for_each(|line| output::line(&line))?;
            return print_damaged(&page.damaged);
        }
        let rows: Vec<_> = page.events.iter().map(|(at, found)| row(*at, found)).collect();
        output::rows(
            ["POSITION", "RECORDED AT", "STREAM", "VERSION", "ACTOR", "EVENT", "DATA"],
            &rows,
        )?;
        print_damaged(&page.damaged)?;
        let more = if page.next == page.end { "the end;" } else { "…" };
        output::line(&format!("{more} continue with --after {}", page.next))
    }
}

fn row(position: u64, Occurrence { stream, commit, event }: &Occurrence) -> [String; 7] {
    [
        position.to_string(),
        time_text(commit.recorded_at),
        stream.to_string(),
        event.version.to_string(),
        commit.metadata.actor.to_string(),
        event.body.event_type.clone(),
        event.body.data.get().to_owned(),
    ]
}
