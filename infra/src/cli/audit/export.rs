//! `ledgerfold audit export`.

use super::export_file::{Ended, Output};
use super::filters::{Filters, Order};
use super::index_state::IndexState;
use super::{Asker, Question, failed, wrong_use};
use crate::cli::Common;
use crate::cli::dev;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output;
use handlers::audit::{Call, Format, OpenTrail, Search};
use serde_json::json;
use std::io::IsTerminal;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Export {
    #[command(flatten)]
    filters: Filters,
    /// Oldest or newest first.
    #[arg(long, value_enum, default_value = "desc")]
    order: Order,
    /// How many events at most; all if nothing is said.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// JSON lines, or CSV. In CSV an apostrophe stands before a cell that a spreadsheet would take for a formula.
    #[arg(long, value_enum, default_value = "jsonl")]
    format: Written,
    /// The file, which appears when it is complete; standard output if none is named.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    asker: Asker,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Written {
    /// One JSON object a line.
    Jsonl,
    /// With a header row; the data are JSON in the last column.
    Csv,
}

impl Written {
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
        let mut about = self.filters.about();
        about.push(("order", Some(self.order.as_str().to_owned())));
        about.push(("limit", self.limit.map(|limit| limit.to_string())));
        about.push(("format", Some(self.format.format().as_str().to_owned())));
        let asker = self.asker.asker.as_ref();
        let question = Question { common: &self.common, asker, call: Call::Export, about };
        match search.stream() {
            Some(_) => question.ask(async |trail| Box::pin(self.answer(&trail, search, None)).await).await,
            None => {
                let answer = async |trail, index| Box::pin(self.answer(&trail, search, Some(index))).await;
                question.ask_with_index(answer).await
            }
        }
    }

    async fn answer(&self, trail: &OpenTrail, search: Search, index: Option<IndexState>) -> Result<Exit, Failure> {
        let interrupted = dev::ended()?;
        let mut output = Output::open(self.output.as_deref())?;
        let mut events = 0;
        let written = tokio::select! {
            written = self.transfer(trail, search, &mut output, &mut events) => written,
            () = interrupted => Err(Failure::new(format!("the export was interrupted after {events} events"), self.left_behind())),
        };
        output::progress("");
        match written {
            Ok(Ended::Whole) => self.told(output.name(), events, index),
            Ok(Ended::ReaderGone) => Ok(Exit::Done),
            Ok(Ended::Abandoned) => {
                Err(Failure::new(format!("{} cannot be written", output.name()), self.left_behind()))
            }
            Err(failure) => {
                output.abandon().await;
                Err(failure)
            }
        }
    }

    /// Moves events until there are none, or nobody wants more, and waits until they are written.
    async fn transfer(
        &self,
        trail: &OpenTrail,
        search: Search,
        output: &mut Output,
        events: &mut u64,
    ) -> Result<Ended, Failure> {
        let broke_off = |error| Failure::new(format!("the export broke off, and {}", self.left_behind()), error);
        let mut export = trail.export(search, self.limit, self.format.format()).await.map_err(failed)?;
        let mut looked_through = 0_u64;
        while let Some(chunk) = export.next().await.map_err(broke_off)? {
            *events += chunk.events;
            looked_through += 1;
            if !output.write(chunk.bytes).await {
                break;
            }
            // On one terminal, lines and progress would run into each other.
            if self.output.is_some() || !std::io::stdout().is_terminal() {
                output::progress(&format!("{events} events, {looked_through} pages looked through"));
            }
        }
        output.finish().await
    }

    /// What an export leaves that did not come to its end.
    fn left_behind(&self) -> String {
        match &self.output {
            Some(path) => format!("{} was not written", path.display()),
            None => "what is on standard output is incomplete".to_owned(),
        }
    }

    /// What came into the file. On standard output nothing but events is wanted.
    fn told(&self, name: &str, events: u64, index: Option<IndexState>) -> Result<Exit, Failure> {
        let format = self.format.format().as_str();
        match (&self.output, self.common.json, index) {
            (None, _, _) => {}
            (Some(_), true, None) => output::json(&json!({"output": name, "format": format, "events": events}))?,
            (Some(_), true, Some(index)) => {
                output::json(&json!({"output": name, "format": format, "events": events, "index": index.json()}))?;
            }
            (Some(_), false, _) => output::line(&format!("{events} events in {name}"))?,
        }
        if let Some(note) = index.and_then(IndexState::note) {
            output::note(&note);
        }
        Ok(Exit::Done)
    }
}
