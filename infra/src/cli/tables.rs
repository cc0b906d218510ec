//! `ledgerfold tables`.

use super::Common;
use super::failure::{Exit, Failure};
use super::table;
use super::target::Target;
use crate::resources::{self, Resources};
use serde_json::json;

/// Tables and queues.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Tables {
    /// Make the tables and queues that are not there yet, and wait until they can be used. Safe to repeat.
    #[command(
        after_help = "Examples:\n  ledgerfold tables create --endpoint http://127.0.0.1:4566\n  AWS_REGION=eu-central-1 ledgerfold tables create --prefix shop-test"
    )]
    Create(Create),
}

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    #[command(flatten)]
    common: Common,
}

impl Tables {
    pub(super) async fn run(self) -> Result<Exit, Failure> {
        let Self::Create(Create { common }) = self;
        let target = Target::open_or_begin(&common).await?;
        let made = resources::create(&target.clients, &target.names).await;
        target.close().await;
        show(&made.map_err(|error| Failure::from_error(&error))?, common.json)?;
        Ok(Exit::Done)
    }
}

fn show(resources: &Resources, as_json: bool) -> Result<(), Failure> {
    let Resources { events, read_models, audit_index, routes, rebuild_queue_url } = resources;
    if as_json {
        let queues: Vec<_> =
            routes.iter().map(|route| json!({"projection": route.projection.name, "url": route.queue_url})).collect();
        return table::json(&json!({
            "events": events,
            "read_models": read_models,
            "audit_index": audit_index,
            "queues": queues,
            "rebuild_queue": rebuild_queue_url,
        }));
    }
    let mut rows = vec![
        ["table".to_owned(), "events".to_owned(), events.clone()],
        ["table".to_owned(), "read models".to_owned(), read_models.clone()],
        ["table".to_owned(), "audit index".to_owned(), audit_index.clone()],
    ];
    rows.extend(
        routes.iter().map(|route| {
            ["queue".to_owned(), format!("projection {}", route.projection.name), route.queue_url.clone()]
        }),
    );
    rows.push(["queue".to_owned(), "jobs of projections".to_owned(), rebuild_queue_url.clone()]);
    table::rows(["KIND", "FOR", "WHERE"], &rows)
}
