//! `ledgerfold audit search`.

use super::filters::{Filters, Order};
use super::history::row;
use super::{Asker, Question, failed, tell_damaged, wrong_use};
use crate::cli::Common;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output;
use handlers::audit::{Call, Cursor, FoundPage, Occurrence, OpenTrail};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Search {
    #[command(flatten)]
    filters: Filters,
    /// Oldest or newest first.
    #[arg(long, value_enum, default_value = "desc")]
    order: Order,
    /// How many events to show at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Where an earlier page ended.
    #[arg(long)]
    cursor: Option<Cursor>,
    #[command(flatten)]
    asker: Asker,
    #[command(flatten)]
    common: Common,
}

impl Search {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let search = self.filters.search(self.order, self.cursor.as_ref()).unwrap_or_else(wrong_use);
        let mut about = self.filters.about();
        about.push(("order", Some(self.order.as_str().to_owned())));
        about.push(("limit", Some(self.limit.to_string())));
        about.push(("cursor", self.cursor.as_ref().map(Cursor::to_string)));
        let asker = self.asker.asker.as_ref();
        let question = Question { common: &self.common, asker, call: Call::Search, about };
        question.ask(async |trail| self.answer(&trail, &search).await).await
    }

    async fn answer(&self, trail: &OpenTrail, search: &handlers::audit::Search) -> Result<Exit, Failure> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let page: FoundPage = trail.search(search, limit).await.map_err(failed)?;
        let whole = page.damaged.is_empty();
        if self.common.json {
            output::json(&page)?;
            return Ok(output::answer(whole));
        }
        let shown: Vec<_> = page.events.iter().map(row_of_many).collect();
        output::rows(["STREAM", "VERSION", "RECORDED AT", "ACTOR", "COMMAND", "EVENT", "DATA"], &shown)?;
        tell_damaged(&page.damaged)?;
        if let Some(next) = page.next {
            output::line(&format!("… go on with --cursor {next}"))?;
        }
        Ok(output::answer(whole))
    }
}

fn row_of_many(found: &Occurrence) -> [String; 7] {
    let [version, recorded_at, actor, command, event_type, data] = row(found);
    [found.stream.to_string(), version, recorded_at, actor, command, event_type, data]
}
