//! The system that a command speaks to.

use super::Common;
use super::failure::Failure;
use crate::clients::Clients;
use crate::local::data_dir::DataDir;
use crate::local::stack::Stack;
use handlers::Names;

/// A system, and what had to be started to speak to it.
pub(super) struct Target {
    pub(super) clients: Clients,
    pub(super) names: Names,
    stack: Option<Stack>,
}

impl Target {
    /// Finds the system that the options name.
    pub(super) async fn open(common: &Common) -> Result<Self, Failure> {
        let names = Names::new(&common.prefix);
        if let Some(folder) = &common.data {
            let data = DataDir::open(folder).map_err(|error| Failure::from_error(&error))?;
            let stack = Stack::start(data).await.map_err(|error| Failure::from_error(&error))?;
            return Ok(Self { clients: stack.clients.clone(), names, stack: Some(stack) });
        }
        let clients = match &common.endpoint {
            Some(endpoint) => Clients::at(endpoint).await,
            None => Clients::from_environment().await,
        };
        Ok(Self { clients, names, stack: None })
    }

    /// Stops what was started.
    pub(super) async fn close(self) {
        if let Some(stack) = self.stack {
            stack.stop().await;
        }
    }
}
