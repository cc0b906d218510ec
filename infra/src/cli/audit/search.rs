//! `ledgerfold audit search`: finds events.

use super::filters::{Filters, Order};
use super::history::row;
use super::{ActorOption, AuditQuery, failed, print_damaged, wrong_use};
use crate::cli::TargetOptions;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use handlers::audit::{Call, Cursor, FoundPage, Occurrence, OpenTrail};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Search {
    #[command(flatten)]
    filters: Filters,
    /// Oldest (asc) or newest (desc) first.
    #[arg(long, value_enum, default_value = "desc")]
    order: Order,
    /// The most events to show.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Continue an earlier page.
    #[arg(long)]
    cursor: Option<Cursor>,
    #[command(flatten)]
    actor: ActorOption,
    #[command(flatten)]
    options: TargetOptions,
}

impl Search {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let search =
            self.filters.search(self.order, self.cursor.as_ref()).unwrap_or_else(wrong_use);
        let mut arguments = self.filters.arguments();
        arguments.push(("order", Some(self.order.as_str().to_owned())));
        arguments.push(("limit", Some(self.limit.to_string())));
        arguments.push(("cursor", self.cursor.as_ref().map(Cursor::to_string)));
        let actor = self.actor.actor.as_ref();
        let query = AuditQuery { options: &self.options, actor, call: Call::Search, arguments };
        query.run(async |trail| self.answer(&trail, &search).await).await
    }

    async fn answer(
        &self,
        trail: &OpenTrail,
        search: &handlers::audit::Search,
    ) -> Result<Exit, Failure> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let page: FoundPage = trail.search(search, limit).await.map_err(failed)?;
        let intact = page.damaged.is_empty();
        if self.options.json {
            output::json(&page)?;
            return Ok(output::yes_or_no(intact));
        }
        let shown: Vec<_> = page.events.iter().map(row_with_stream).collect();
        output::rows(
            ["STREAM", "VERSION", "RECORDED AT", "ACTOR", "COMMAND", "EVENT", "DATA"],
            &shown,
        )?;
        print_damaged(&page.damaged)?;
        if let Some(next) = page.next {
            output::line(&format!("… continue with --cursor {next}"))?;
        }
        Ok(output::yes_or_no(intact))
    }
}

fn row_with_stream(found: &Occurrence) -> [String; 7] {
    let [version, recorded_at, actor, command, event_type, data] = row(found);
    [found.stream.to_string(), version, recorded_at, actor, command, event_type, data]
}
