//! Measures the operations of the event store on a new table.

mod measurement;
mod scenarios;

use crate::{TemporaryEngine, interrupted};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_table::DeleteTableError;
use eventstore::EventStore;
use handlers::Names;
use ledgerfold::cli::{Failure, Target, TargetOptions, output, parse_endpoint, stop_signal};
use measurement::Measurement;
use scenarios::Scenarios;
use serde_json::json;
use std::path::PathBuf;
use uuid::Uuid;

#[derive(Debug, clap::Args)]
pub(crate) struct Commands {
    /// Commands per operation; a tenth on long streams.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    commands: u32,
    /// Concurrent clients. A hot stream has 16 and 64, a long one 1.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    clients: u32,
    /// Events in the long stream. The longest has ten times as many.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    events: u32,
    /// Use the AWS environment (AWS_REGION, AWS_ENDPOINT_URL, …) instead of a temporary engine.
    #[arg(long, conflicts_with_all = ["endpoint", "data"])]
    aws: bool,
    /// Use the DynamoDB at this address.
    #[arg(long, value_name = "URL", conflicts_with = "data", value_parser = parse_endpoint)]
    endpoint: Option<String>,
    /// Use the engine of a data folder. No `dev` may have it open.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print JSON, with sums instead of averages.
    #[arg(long)]
    json: bool,
}

/// Where the table is.
enum Location {
    Temporary(Box<TemporaryEngine>),
    Named(Box<Target>),
}

impl Commands {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let stop_requested = stop_signal()?;
        let location = self.open().await?;
        let client = location.client();
        // The engine keeps the stream records of deleted tables, so each run needs a new name.
        let store = EventStore::new(
            client.clone(),
            format!("ledgerfold-bench-{}", Uuid::now_v7().simple()),
        );
        let measured = self.measure(&store, &client, stop_requested).await;
        location.close().await;
        self.print(&measured?)
    }

    async fn open(&self) -> Result<Location, Failure> {
        if !self.aws && self.endpoint.is_none() && self.data.is_none() {
            return Ok(Location::Temporary(Box::new(TemporaryEngine::start().await?)));
        }
        let (endpoint, data) = (self.endpoint.clone(), self.data.clone());
        let options =
            TargetOptions { endpoint, data, prefix: Names::new("ledgerfold"), json: self.json };
        Ok(Location::Named(Box::new(Target::open(&options).await?)))
    }

    /// Measures every scenario on a new table and removes the table in any case.
    async fn measure(
        &self,
        store: &EventStore,
        client: &Client,
        stop_requested: impl Future<Output = ()>,
    ) -> Result<Vec<Measurement>, Failure> {
        let scenarios = Scenarios {
            store: store.clone(),
            commands: self.commands,
            clients: self.clients,
            events: self.events,
        };
        let measured = match store.create_table().await {
            Ok(()) => tokio::select! {
                measured = scenarios.run() => measured,
                () = stop_requested => Err(interrupted()),
            },
            Err(error) => Err(Failure::from_error(&error)),
        };
        output::progress("");
        let removed = remove(client, store.table()).await;
        let measured = measured?;
        removed.map(|()| measured)
    }

    fn print(&self, measurements: &[Measurement]) -> Result<(), Failure> {
        if self.json {
            let operations: Vec<_> = measurements.iter().map(Measurement::as_json).collect();
            return output::json(&json!({"clients": self.clients, "operations": operations}));
        }
        output::line(
            "Average per command (SENT and RECEIVED are bytes of bodies, CPU is the client's):",
        )?;
        let rows: Vec<_> = measurements.iter().map(Measurement::as_row).collect();
        output::rows(measurement::HEADING, &rows)
    }
}

impl Location {
    fn client(&self) -> Client {
        match self {
            Self::Temporary(engine) => engine.clients().dynamodb,
            Self::Named(target) => target.clients.dynamodb.clone(),
        }
    }

    async fn close(self) {
        match self {
            Self::Temporary(engine) => engine.stop().await,
            Self::Named(target) => target.close().await,
        }
    }
}

async fn remove(client: &Client, table: &str) -> Result<(), Failure> {
    match client.delete_table().table_name(table).send().await {
        Ok(_) => Ok(()),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(DeleteTableError::is_resource_not_found_exception) =>
        {
            Ok(())
        }
        Err(error) => {
            Err(Failure::new(format!("table {table} cannot be removed: remove it yourself"), error))
        }
    }
}
