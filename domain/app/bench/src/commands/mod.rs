//! `ledgerfold bench`: what the event store's operations cost, and how fast they are.

mod course;
mod projections;
mod stopwatch;

use super::failure::{Exit, Failure};
use super::output;
use super::target::Target;
use super::{Common, dev, endpoint};
use crate::clients::{Clients, Endpoints};
use crate::local::engines::access_key::AccessKey;
use crate::local::engines::dynamodb::DynamoDb;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_table::DeleteTableError;
use course::Course;
use eventstore::EventStore;
use handlers::Names;
use serde_json::json;
use std::path::PathBuf;
use stopwatch::Taken;
use tempfile::TempDir;
use uuid::Uuid;

const EXAMPLES: &str = "\
Examples:
  ledgerfold bench
  ledgerfold bench --commands 10000 --clients 1 --json
  ledgerfold bench --endpoint http://127.0.0.1:8000
  AWS_REGION=eu-central-1 ledgerfold bench --aws --commands 200
  ledgerfold bench projections --events 200000

It works on a table of its own, which it removes at the end, also after Ctrl-C. On AWS the requests cost money: the units that it
prints, times the price of your region. Absolute times of an engine on the same machine mean little: it takes its share of the
processors. CPU is that of this process without the threads of its engine, where the system tells it (Linux).";

/// Measure what the event store's operations cost, and how fast they are.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct Bench {
    #[command(subcommand)]
    other: Option<Other>,
    /// Commands of each operation; a tenth on long streams.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    commands: u32,
    /// Clients at once. A hot stream has 16 and 64, a long one 1.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    clients: u32,
    /// Events of the long stream. The longest has ten times as many.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    events: u32,
    /// On what the AWS environment names (AWS_REGION, AWS_ENDPOINT_URL, …), instead of a temporary engine of its own.
    #[arg(long, conflicts_with_all = ["endpoint", "data"])]
    aws: bool,
    /// On the DynamoDB at this address.
    #[arg(long, value_name = "URL", conflicts_with = "data", value_parser = endpoint)]
    endpoint: Option<String>,
    /// On the engine of a data folder that no `dev` has open.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Answer in JSON, for programs: sums where the table has averages.
    #[arg(long)]
    json: bool,
}

/// What else can be measured.
#[derive(Debug, clap::Subcommand)]
enum Other {
    Projections(projections::Projections),
}

/// Where the table lies.
enum Place {
    /// On an engine that is gone afterwards.
    Own {
        engine: DynamoDb,
        client: Client,
        _folder: TempDir,
    },
    Named(Box<Target>),
}

impl Bench {
    pub(super) async fn run(mut self) -> Result<Exit, Failure> {
        if let Some(Other::Projections(projections)) = self.other.take() {
            return projections.run().await;
        }
        let stopped = dev::ended()?;
        let place = self.open().await?;
        // The engine remembers the stream records of deleted tables: no name may come twice.
        let store = EventStore::new(place.client().clone(), format!("ledgerfold-bench-{}", Uuid::now_v7().simple()));
        let measured = self.measure(&store, place.client(), stopped).await;
        place.close().await;
        self.show(&measured?)?;
        Ok(Exit::Done)
    }

    async fn open(&self) -> Result<Place, Failure> {
        if self.aws || self.endpoint.is_some() || self.data.is_some() {
            let (endpoint, data) = (self.endpoint.clone(), self.data.clone());
            let common = Common { endpoint, data, prefix: Names::new("ledgerfold"), json: self.json };
            return Ok(Place::Named(Box::new(Target::open(&common).await?)));
        }
        let (engine, key, folder) = own_engine().await?;
        let endpoints = Endpoints::of_one(engine.endpoint(), key);
        Ok(Place::Own { engine, client: Clients::loopback(&endpoints).dynamodb, _folder: folder })
    }

    /// Measures everything on a new table. However that ends, the table is gone.
    async fn measure(
        &self,
        store: &EventStore,
        client: &Client,
        stopped: impl Future<Output = ()>,
    ) -> Result<Vec<Taken>, Failure> {
        let course =
            Course { store: store.clone(), commands: self.commands, clients: self.clients, events: self.events };
        let measured = match store.create_table().await {
            Ok(()) => tokio::select! {
                measured = course.run() => measured,
                () = stopped => Err(Failure::new("stopped before the end", "what it had made is removed")),
            },
            Err(fault) => Err(Failure::from_error(&fault)),
        };
        output::progress("");
        let removed = remove(client, store.table()).await;
        let measured = measured?;
        removed.map(|()| measured)
    }

    fn show(&self, measured: &[Taken]) -> Result<(), Failure> {
        if self.json {
            let operations: Vec<_> = measured.iter().map(Taken::as_json).collect();
            return output::json(&json!({"clients": self.clients, "operations": operations}));
        }
        output::line("One command of each costs, on average (bytes are those of the bodies, CPU that of the client):")?;
        let rows: Vec<_> = measured.iter().map(Taken::as_row).collect();
        output::rows(stopwatch::HEADING, &rows)
    }
}

impl Place {
    fn client(&self) -> &Client {
        match self {
            Self::Own { client, .. } => client,
            Self::Named(target) => &target.clients.dynamodb,
        }
    }

    async fn close(self) {
        match self {
            Self::Own { engine, .. } => engine.stop().await,
            Self::Named(target) => target.close().await,
        }
    }
}

/// An engine over a temporary folder: both are gone afterwards.
async fn own_engine() -> Result<(DynamoDb, AccessKey, TempDir), Failure> {
    let folder = tempfile::Builder::new().prefix("ledgerfold-bench-").tempdir();
    let folder = folder.map_err(|error| Failure::new("no temporary folder can be made", error))?;
    let key = AccessKey::generate().map_err(|error| Failure::new("no access key can be made", error))?;
    let engine = DynamoDb::start(&folder.path().join("bench.db"), &key).await;
    Ok((engine.map_err(|error| Failure::from_error(&error))?, key, folder))
}

async fn remove(client: &Client, table: &str) -> Result<(), Failure> {
    match client.delete_table().table_name(table).send().await {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().is_some_and(DeleteTableError::is_resource_not_found_exception) => Ok(()),
        Err(error) => Err(Failure::new(format!("table {table} cannot be removed: remove it yourself"), error)),
    }
}
