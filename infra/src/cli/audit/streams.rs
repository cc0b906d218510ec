//! `ledgerfold audit streams`: the names of streams.

use super::{ActorOption, AuditQuery, failed, wrong_use};
use crate::cli::TargetOptions;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use eventstore::StreamId;
use handlers::audit::{Call, ListedStreams, OpenTrail, StreamSelection};
use serde_json::json;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Streams {
    /// Only streams of this category.
    #[arg(long)]
    category: Option<String>,
    /// Only streams whose names begin with this: a category, '-', and the beginning of a key.
    #[arg(long, value_name = "TEXT", conflicts_with = "category")]
    begins_with: Option<String>,
    /// Begin after this stream.
    #[arg(long, value_name = "STREAM")]
    after: Option<StreamId>,
    /// The most streams to show.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    actor: ActorOption,
    #[command(flatten)]
    options: TargetOptions,
}

impl Streams {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let prefix = self.begins_with.as_deref().map(|prefix| {
            let parts = prefix.split_once('-').filter(|(category, _)| !category.is_empty());
            parts.unwrap_or_else(|| {
                wrong_use("--begins-with needs a category and '-', such as CATEGORY-01".to_owned())
            })
        });
        let arguments = vec![
            ("category", self.category.clone()),
            ("prefix", self.begins_with.clone()),
            ("after", self.after.as_ref().map(StreamId::to_string)),
        ];
        let actor = self.actor.actor.as_ref();
        let query = AuditQuery { options: &self.options, actor, call: Call::Streams, arguments };
        let selection = StreamSelection {
            category: prefix.map(|(category, _)| category).or(self.category.as_deref()),
            prefix: prefix.map(|(_, key)| key).unwrap_or_default(),
            after: self.after.as_ref(),
            limit: usize::try_from(self.limit).unwrap_or(usize::MAX),
        };
        query.run(async |trail| self.answer(&trail, selection).await).await
    }

    async fn answer(
        &self,
        trail: &OpenTrail,
        selection: StreamSelection<'_>,
    ) -> Result<Exit, Failure> {
        let found: ListedStreams = trail.streams(selection).await.map_err(failed)?;
        if self.options.json {
            let one = |found: &projections::journal::JournaledStream| json!({ "stream": found.stream, "version": found.version, "position": found.position });
            let streams: Vec<_> = found.streams.iter().map(one).collect();
            output::json(&json!({ "streams": streams, "next_after": found.after() }))?;
            return Ok(Exit::Done);
        }
        let rows: Vec<_> = found
            .streams
            .iter()
            .map(|one| [one.stream.to_string(), one.version.to_string(), one.position.to_string()])
            .collect();
        output::rows(["STREAM", "VERSION", "POSITION"], &rows)?;
        if let Some(after) = found.after() {
            output::line(&format!("… continue with --after {after}"))?;
        }
        Ok(Exit::Done)
    }
}
