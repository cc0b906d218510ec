//! The system that a command speaks to.

use super::Common;
use super::failure::Failure;
use crate::clients::Clients;
use crate::local::data_dir::DataDir;
use crate::local::stack::Stack;
use handlers::Names;

const NO_SYSTEM: &str = "export the line that `ledgerfold dev` prints under \"operate\", or set AWS_REGION and AWS \
    credentials, or name a stopped folder with --data";

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
            let data = DataDir::open(folder).map_err(|error| Failure::from_error(&error))?;
            let stack = Stack::start(data).await.map_err(|error| Failure::from_error(&error))?;
            return Ok(Self { clients: stack.clients.clone(), names, stack: Some(stack) });
        }
        let clients = match &common.endpoint {
            Some(endpoint) => Clients::at(endpoint).await,
            None => Clients::from_environment().await,
        };
        if clients.dynamodb.config().region().is_none() {
            return Err(Failure::new("no system is named", NO_SYSTEM));
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
