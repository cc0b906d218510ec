//! `ledgerfold audit export`: writes events as JSON lines or CSV.

use super::export_output::{ExportEnd, ExportOutput};
use super::filters::{Filters, Order};
use super::index_state::IndexState;
use super::{ActorOption, AuditQuery, failed, wrong_use};
use crate::cli::TargetOptions;
use crate::cli::exit::{Exit, Failure, stop_signal};
use crate::cli::output;
use handlers::audit::{Call, Format, OpenTrail, Search};
use serde_json::json;
use std::io::IsTerminal;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Export {
    #[command(flatten)]
    filters: Filters,
    /// Oldest (asc) or newest (desc) first.
    #[arg(long, value_enum, default_value = "desc")]
    order: Order,
    /// The most events to write; all by default.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// JSON lines or CSV. In CSV, an apostrophe precedes cells that a spreadsheet would read as a
    /// formula.
    #[arg(long, value_enum, default_value = "jsonl")]
    format: FormatOption,
    /// The file, which is created when it is complete; standard output by default.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    actor: ActorOption,
    #[command(flatten)]
    options: TargetOptions,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum FormatOption {
    /// One JSON object per line.
    Jsonl,
    /// With a header row; the last column has the data as JSON.
    Csv,
}

impl FormatOption {
    fn format(self) -> Format {
        match self {
            Self::Jsonl => Format::JsonLines,
            Self::Csv => Format::Csv,
        }
    }
}

impl Export {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let search = self.filters.search(self.order, None).unwrap_or_else(wrong_use);
        let mut arguments = self.filters.arguments();
        arguments.push(("order", Some(self.order.as_str().to_owned())));
        arguments.push(("limit", self.limit.map(|limit| limit.to_string())));
        arguments.push(("format", Some(self.format.format().as_str().to_owned())));
        let actor = self.actor.actor.as_ref();
        let query = AuditQuery { options: &self.options, actor, call: Call::Export, arguments };
        match search.stream() {
            Some(_) => {
                query.run(async |trail| Box::pin(self.answer(&trail, search, None)).await).await
            }
            None => {
                let answer =
                    async |trail, index| Box::pin(self.answer(&trail, search, Some(index))).await;
                query.run_with_index(answer).await
            }
        }
    }

    async fn answer(
        &self,
        trail: &OpenTrail,
        search: Search,
        index: Option<IndexState>,
    ) -> Result<Exit, Failure> {
        let interrupted = stop_signal()?;
        let mut output = ExportOutput::open(self.output.as_deref())?;
        let mut events = 0;
        let result = tokio::select! {
            result = self.transfer(trail, search, &mut output, &mut events) => result,
            () = interrupted => Err(Failure::new(format!("the export was interrupted after {events} events"), self.left_behind())),
        };
        output::progress("");
        match result {
            Ok(ExportEnd::Complete) => self.print(output.name(), events, index),
            Ok(ExportEnd::ReaderClosed) => Ok(Exit::Done),
            Ok(ExportEnd::Abandoned) => Err(Failure::new(
                format!("{} cannot be written", output.name()),
                self.left_behind(),
            )),
            Err(failure) => {
                output.abandon().await;
                Err(failure)
            }
        }
    }

    /// Writes events until there are no more, or the reader closes the pipe.
    async fn transfer(
        &self,
        trail: &OpenTrail,
        search: Search,
        output: &mut ExportOutput,
        events: &mut u64,
    ) -> Result<ExportEnd, Failure> {
        let failed_midway =
            |error| Failure::new(format!("the export failed, and {}", self.left_behind()), error);
        let mut export =
            trail.export(search, self.limit, self.format.format()).await.map_err(failed)?;
        let mut pages = 0_u64;
        while let Some(chunk) = export.next().await.map_err(failed_midway)? {
            *events += chunk.events;
            pages += 1;
            if !output.write(chunk.bytes).await {
                break;
            }
            // On a terminal, progress would mix with the events.
            if self.output.is_some() || !std::io::stdout().is_terminal() {
                output::progress(&format!("{events} events, {pages} pages read"));
            }
        }
        output.finish().await
    }

    /// What an incomplete export leaves.
    fn left_behind(&self) -> String {
        match &self.output {
            Some(path) => format!("{} was not written", path.display()),
            None => "standard output is incomplete".to_owned(),
        }
    }

    /// Prints the number of events in the file. Standard output gets only events.
    fn print(&self, name: &str, events: u64, index: Option<IndexState>) -> Result<Exit, Failure> {
        let format = self.format.format().as_str();
        match (&self.output, self.options.json, index) {
            (None, _, _) => {}
            (Some(_), true, None) => {
                output::json(&json!({"output": name, "format": format, "events": events}))?
            }
            (Some(_), true, Some(index)) => {
                output::json(
                    &json!({"output": name, "format": format, "events": events, "index": index.json()}),
                )?;
            }
            (Some(_), false, _) => output::line(&format!("{events} events in {name}"))?,
        }
        if let Some(note) = index.and_then(IndexState::note) {
            output::note(&note);
        }
        Ok(Exit::Done)
    }
}
