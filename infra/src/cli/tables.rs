//! `ledgerfold tables`: creates tables and queues.

use super::exit::{Exit, Failure};
use super::output;
use super::target::Target;
use super::{TargetOptions, app};
use crate::resources::{self, Resources};
use handlers::Route;
use serde_json::{Value, json};

/// Tables and queues.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Tables {
    /// Create missing tables and queues, and wait until they are usable. Safe to repeat.
    #[command(
        after_help = "Examples:\n  ledgerfold tables create --endpoint http://127.0.0.1:4566\n  AWS_REGION=eu-central-1 ledgerfold tables create --prefix shop-test"
    )]
    Create(Create),
}

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    #[command(flatten)]
    options: TargetOptions,
}

impl Tables {
    pub(super) async fn run(self) -> Result<Exit, Failure> {
        let Self::Create(Create { options }) = self;
        let target = Target::open_or_begin(&options).await?;
        let created = resources::create(app(), &target.clients, &target.names).await;
        target.close().await;
        print(&created.map_err(|error| Failure::from_error(&error))?, options.json)?;
        Ok(Exit::Done)
    }
}

fn print(resources: &Resources, as_json: bool) -> Result<(), Failure> {
    let Resources {
        events,
        read_models,
        audit_index,
        journal,
        commands,
        routes,
        rebuild_queue_url,
        command_queue_url,
    } = resources;
    if as_json {
        let queues: Vec<_> = routes.iter().map(queue_json).collect();
        return output::json(&json!({
            "events": events,
            "read_models": read_models,
            "audit_index": audit_index,
            "journal": journal,
            "commands": commands,
            "queues": queues,
            "rebuild_queue": rebuild_queue_url,
            "command_queue": command_queue_url,
        }));
    }
    let mut rows = vec![
        ["table".to_owned(), "events".to_owned(), events.clone()],
        ["table".to_owned(), "read models".to_owned(), read_models.clone()],
        ["table".to_owned(), "audit index".to_owned(), audit_index.clone()],
        ["table".to_owned(), "journal".to_owned(), journal.clone()],
        ["table".to_owned(), "asynchronous commands".to_owned(), commands.clone()],
    ];
    rows.extend(routes.iter().map(|route| {
        let name = route.consumer.name;
        let consumer =
            if is_projection(route) { format!("projection {name}") } else { name.to_owned() };
        ["queue".to_owned(), consumer, route.queue_url.clone()]
    }));
    rows.push(["queue".to_owned(), "jobs of projections".to_owned(), rebuild_queue_url.clone()]);
    rows.push(["queue".to_owned(), "asynchronous commands".to_owned(), command_queue_url.clone()]);
    output::rows(["KIND", "FOR", "WHERE"], &rows)
}

/// The queue of a projection also has the older member `projection`.
fn queue_json(route: &Route) -> Value {
    let name = route.consumer.name;
    let mut queue = json!({"consumer": name, "url": route.queue_url});
    if let Some(fields) = queue.as_object_mut().filter(|_| is_projection(route)) {
        fields.insert("projection".to_owned(), json!(name));
    }
    queue
}

fn is_projection(route: &Route) -> bool {
    app().read_models().any(|projection| projection.name == route.consumer.name)
}
