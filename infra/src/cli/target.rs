//! The system that a command speaks to.

use super::Common;
use super::failure::Failure;
use super::output;
use super::wording;
use crate::clients::Clients;
use crate::local::data_folder::DataDir;
use crate::local::data_folder::running::{Running, RunningError};
use crate::local::stack::Stack;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use handlers::Names;
use std::env;
use std::path::PathBuf;

const NO_SYSTEM: &str = "start `ledgerfold dev` in this folder, or export the line that it prints under \"operate\", or set \
    AWS_REGION and AWS credentials, or name a stopped folder with --data";
/// The variable that names another folder, for both.
pub(super) const DATA_VARIABLE: &str = "LEDGERFOLD_DATA";
/// Each says that commands are for a system elsewhere. They win over a `dev` that runs here.
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
    name the address of its engines, which it prints under \"operate\"";

/// What the name of each instance's table of events ends with.
const EVENTS_SUFFIX: &str = "-events";

/// A system, and what had to be started to speak to it.
pub(super) struct Target {
    pub(super) clients: Clients,
    pub(super) names: Names,
    stack: Option<Stack>,
}

impl Target {
    /// Finds the system that the options name. A folder that is not there is a slip of the pen, not a new system.
    pub(super) async fn open(common: &Common) -> Result<Self, Failure> {
        match common.data.as_ref().filter(|folder| !folder.exists()) {
            Some(folder) => Err(Failure::new(format!("there is no folder {}", folder.display()), "see --data")),
            None => Self::open_or_begin(common).await,
        }
    }

    /// As [`open`](Self::open), but begins a new folder where there is none.
    pub(super) async fn open_or_begin(common: &Common) -> Result<Self, Failure> {
        let names = common.prefix.clone();
        if let Some(folder) = &common.data {
            // A system that is gone is no news here: its folder is free, and opened.
            if let Ok(Some(running)) = Running::find(folder) {
                return Ok(Self::of_running(&running, names));
            }
            let data = DataDir::open(folder).map_err(|error| Failure::from_error(&error))?;
            let stack = Stack::start(data).await.map_err(|error| Failure::from_error(&error))?;
            return Ok(Self { clients: stack.clients.clone(), names, stack: Some(stack) });
        }
        let folder = env::var_os(DATA_VARIABLE).map_or_else(|| PathBuf::from(wording::data_folder()), PathBuf::from);
        if let Some(endpoint) = &common.endpoint {
            return match Running::find(&folder) {
                // Its key is not in the environment, and need not be.
                Ok(Some(running)) if running.listens_at(endpoint) => Ok(Self::of_running(&running, names)),
                Ok(_) | Err(_) => {
                    let clients = Clients::at(endpoint).await;
                    check_endpoint(&clients, endpoint).await?;
                    Self::elsewhere(clients, names, None)
                }
            };
        }
        let is_elsewhere = ELSEWHERE.into_iter().any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()));
        match if is_elsewhere { Ok(None) } else { Running::find(&folder) } {
            Ok(Some(running)) => Ok(Self::of_running(&running, names)),
            Ok(None) => Self::elsewhere(Clients::from_environment().await, names, None),
            Err(error) => Self::elsewhere(Clients::from_environment().await, names, Some(error)),
        }
    }

    fn of_running(running: &Running, names: Names) -> Self {
        Self { clients: Clients::loopback(&running.endpoints), names, stack: None }
    }

    /// A system that was not found in a folder; there, something may have been the matter.
    fn elsewhere(clients: Clients, names: Names, here: Option<RunningError>) -> Result<Self, Failure> {
        if clients.dynamodb.config().region().is_none() {
            return Err(match here {
                Some(error) => Failure::from_error(&error),
                None => Failure::new("no system is named", NO_SYSTEM),
            });
        }
        if let Some(error) = here {
            output::note(&format!("{error}. The AWS configuration's system is asked instead."));
        }
        Ok(Self { clients, names, stack: None })
    }

    /// Says of a failure that no instance has this prefix, where that is why. A prefix is often mistyped.
    pub(super) async fn explain(&self, failure: Failure) -> Failure {
        let events = self.names.events();
        let described = self.clients.dynamodb.describe_table().table_name(&events).send().await;
        if !described.is_err_and(|error| error.into_service_error().is_resource_not_found_exception()) {
            return failure;
        }
        let pages = self.clients.dynamodb.list_tables().into_paginator().items().send();
        let Ok(tables) = pages.collect::<Result<Vec<String>, _>>().await else { return failure };
        let prefix = events.strip_suffix(EVENTS_SUFFIX).unwrap_or(&events);
        let what = format!("no running instance found under the prefix {prefix:?}");
        let found: Vec<_> = tables.iter().filter_map(|table| table.strip_suffix(EVENTS_SUFFIX)).collect();
        if found.is_empty() {
            return Failure::new(what, "none exists here; see --prefix, --endpoint and --data");
        }
        Failure::new(what, format!("these prefixes exist: {}", found.join(", ")))
    }

    /// Stops what was started.
    pub(super) async fn close(self) {
        if let Some(stack) = self.stack {
            stack.stop().await;
        }
    }
}

/// One small request. What does not serve DynamoDB answers without a code of DynamoDB's.
async fn check_endpoint(clients: &Clients, endpoint: &str) -> Result<(), Failure> {
    match clients.dynamodb.list_tables().limit(1).send().await {
        Err(SdkError::ServiceError(error)) if error.err().code().is_none() => {
            let what = format!("{endpoint} does not serve DynamoDB");
            Err(Failure::new(what, NO_DYNAMODB))
        }
        // What else may be wrong is told by the request that needs it.
        Ok(_) | Err(_) => Ok(()),
    }
}
