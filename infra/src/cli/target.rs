//! The system that a command speaks to.

use super::Common;
use super::failure::Failure;
use super::table;
use crate::clients::Clients;
use crate::local::data_dir::DataDir;
use crate::local::running::{Running, RunningError};
use crate::local::stack::Stack;
use handlers::Names;
use std::env;
use std::path::PathBuf;

const NO_SYSTEM: &str = "start `ledgerfold dev` in this folder, or export the line that it prints under \"operate\", or set \
    AWS_REGION and AWS credentials, or name a stopped folder with --data";
/// Where `dev` keeps its data unless it is told otherwise, and where commands look for it.
pub(super) const DATA: &str = ".ledgerfold";
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
        let folder = env::var_os(DATA_VARIABLE).map_or_else(|| PathBuf::from(DATA), PathBuf::from);
        if let Some(endpoint) = &common.endpoint {
            return match Running::find(&folder) {
                // Its key is not in the environment, and need not be.
                Ok(Some(running)) if running.listens_at(endpoint) => Ok(Self::of_running(&running, names)),
                Ok(_) | Err(_) => Self::elsewhere(Clients::at(endpoint).await, names, None),
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
            table::note(&format!("{error}. The AWS configuration's system is asked instead."));
        }
        Ok(Self { clients, names, stack: None })
    }

    /// Stops what was started.
    pub(super) async fn close(self) {
        if let Some(stack) = self.stack {
            stack.stop().await;
        }
    }
}
