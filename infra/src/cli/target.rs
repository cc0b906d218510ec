//! Which system a command operates: the options that name it, and the clients for it.

use super::{Failure, output, wording};
use crate::clients::Clients;
use crate::local::data_folder::DataFolder;
use crate::local::data_folder::running::{Running, RunningError};
use crate::local::stack::Stack;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use handlers::Names;
use std::env;
use std::path::PathBuf;

const NO_INSTANCE: &str = "start `ledgerfold dev` in this folder, or export the line that it prints under \"operate\", or set \
    AWS_REGION and AWS credentials, or name the folder of a stopped `dev` with --data";
/// Names the data folder for `dev` and for the commands that look for a running `dev`.
pub(super) const DATA_VARIABLE: &str = "LEDGERFOLD_DATA";
/// Any of these variables names another system. They take precedence over a `dev` in this folder.
const ELSEWHERE: [&str; 7] = [
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID",
];

const NO_DYNAMODB: &str = "it may be the API of `ledgerfold dev`: leave --endpoint out in the folder where that runs, or \
    use the address of its engines, which it prints under \"operate\"";

/// The suffix of the events table's name.
const EVENTS_SUFFIX: &str = "-events";

/// The options that name a system, and the format of the answer.
#[derive(Debug, clap::Args)]
pub struct TargetOptions {
    /// The address of DynamoDB and SQS. Default: the AWS environment (AWS_REGION,
    /// AWS_ENDPOINT_URL, …) or else a `dev` that runs in this folder.
    #[arg(long, value_name = "URL", conflicts_with = "data", value_parser = parse_endpoint)]
    pub endpoint: Option<String>,
    /// A data folder. If a `dev` has it open, the command goes to that `dev`.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The prefix of table and queue names.
    #[arg(long, default_value = wording::program(), env = "LEDGERFOLD_PREFIX", value_parser = clap::value_parser!(Names))]
    pub prefix: Names,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Parses the address of an endpoint.
///
/// # Errors
/// When the text is no address of HTTP or HTTPS.
pub fn parse_endpoint(text: &str) -> Result<String, String> {
    let uri = text.parse::<axum::http::Uri>().ok();
    let fits = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
    });
    if fits {
        Ok(text.to_owned())
    } else {
        Err("an address such as http://127.0.0.1:8000".to_owned())
    }
}

/// The system that a command operates. If it is a data folder, its engines run in this process.
#[derive(Debug)]
pub struct Target {
    /// Clients for the system.
    pub clients: Clients,
    /// The names of its tables and queues.
    pub names: Names,
    stack: Option<Stack>,
}

impl Target {
    /// Opens the system that the options name. A missing folder is an error, probably a typo.
    ///
    /// # Errors
    /// When there is no such system, or its engines cannot start.
    pub async fn open(options: &TargetOptions) -> Result<Self, Failure> {
        match options.data.as_ref().filter(|folder| !folder.exists()) {
            Some(folder) => {
                Err(Failure::new(format!("there is no folder {}", folder.display()), "see --data"))
            }
            None => Self::open_or_begin(options).await,
        }
    }

    /// As [`open`](Self::open), but creates a missing folder.
    pub(super) async fn open_or_begin(options: &TargetOptions) -> Result<Self, Failure> {
        let names = options.prefix.clone();
        if let Some(folder) = &options.data {
            // After a crash the file remains, but the folder is unlocked: open it.
            if let Ok(Some(running)) = Running::find(folder) {
                return Ok(Self::of_running(&running, names));
            }
            let data = DataFolder::open(folder).map_err(|error| Failure::from_error(&error))?;
            let stack = Stack::start(data).await.map_err(|error| Failure::from_error(&error))?;
            return Ok(Self { clients: stack.clients.clone(), names, stack: Some(stack) });
        }
        let folder = env::var_os(DATA_VARIABLE)
            .map_or_else(|| PathBuf::from(wording::data_folder()), PathBuf::from);
        if let Some(endpoint) = &options.endpoint {
            return match Running::find(&folder) {
                // The access key comes from the folder, not from the environment.
                Ok(Some(running)) if running.listens_at(endpoint) => {
                    Ok(Self::of_running(&running, names))
                }
                Ok(_) | Err(_) => {
                    let clients = Clients::at(endpoint).await;
                    check_endpoint(&clients, endpoint).await?;
                    Self::elsewhere(clients, names, None)
                }
            };
        }
        let is_elsewhere = ELSEWHERE
            .into_iter()
            .any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()));
        match if is_elsewhere { Ok(None) } else { Running::find(&folder) } {
            Ok(Some(running)) => Ok(Self::of_running(&running, names)),
            Ok(None) => Self::elsewhere(Clients::from_environment().await, names, None),
            Err(error) => Self::elsewhere(Clients::from_environment().await, names, Some(error)),
        }
    }

    fn of_running(running: &Running, names: Names) -> Self {
        Self { clients: Clients::loopback(&running.endpoints), names, stack: None }
    }

    /// The system of these clients. `not_here` says why the `dev` of this folder was not used.
    fn elsewhere(
        clients: Clients,
        names: Names,
        not_here: Option<RunningError>,
    ) -> Result<Self, Failure> {
        if clients.dynamodb.config().region().is_none() {
            return Err(match not_here {
                Some(error) => Failure::from_error(&error),
                None => Failure::new("no running instance found", NO_INSTANCE),
            });
        }
        if let Some(error) = not_here {
            output::note(&format!("{error}. Using the AWS configuration instead."));
        }
        Ok(Self { clients, names, stack: None })
    }

    /// Replaces a failure whose cause is a prefix without tables, which is often a typo.
    pub(super) async fn explain(&self, failure: Failure) -> Failure {
        let events = self.names.events();
        let described = self.clients.dynamodb.describe_table().table_name(&events).send().await;
        if !described
            .is_err_and(|error| error.into_service_error().is_resource_not_found_exception())
        {
            return failure;
        }
        let pages = self.clients.dynamodb.list_tables().into_paginator().items().send();
        let Ok(tables) = pages.collect::<Result<Vec<String>, _>>().await else { return failure };
        let prefix = events.strip_suffix(EVENTS_SUFFIX).unwrap_or(&events);
        let what = format!("no running instance found under the prefix {prefix:?}");
        let found: Vec<_> =
            tables.iter().filter_map(|table| table.strip_suffix(EVENTS_SUFFIX)).collect();
        if found.is_empty() {
            return Failure::new(what, "there is none; see --prefix, --endpoint and --data");
        }
        Failure::new(what, format!("these prefixes exist: {}", found.join(", ")))
    }

    /// Stops the engines, if any run in this process.
    pub async fn close(self) {
        if let Some(stack) = self.stack {
            stack.stop().await;
        }
    }
}

/// Sends one small request. Whatever is not DynamoDB answers without one of its error codes.
async fn check_endpoint(clients: &Clients, endpoint: &str) -> Result<(), Failure> {
    match clients.dynamodb.list_tables().limit(1).send().await {
        Err(SdkError::ServiceError(error)) if error.err().code().is_none() => {
            let what = format!("{endpoint} does not serve DynamoDB");
            Err(Failure::new(what, NO_DYNAMODB))
        }
        // Other errors are reported by the request that needs the answer.
        Ok(_) | Err(_) => Ok(()),
    }
}
