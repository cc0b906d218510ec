//! Both engines over one data folder, and their clients.

use super::data_folder::DataFolder;
use super::data_folder::manifest::ManifestError;
use super::engines::access_key::AccessKey;
use super::engines::dynamodb::{self, DynamoDb};
use super::engines::sqs::{self, Sqs};
use crate::clients::{Clients, Endpoints};
use std::io;

/// DynamoDB and SQS over one data folder.
#[derive(Debug)]
pub struct Stack {
    /// The folder, locked until this is dropped.
    pub data: DataFolder,
    /// The engine of tables and streams.
    pub dynamodb: DynamoDb,
    /// The engine of queues.
    pub sqs: Sqs,
    /// Their addresses, and the access key of this start.
    pub endpoints: Endpoints,
    /// Clients of both.
    pub clients: Clients,
}

/// Why the engines cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The access key cannot be generated.
    #[error("the access key cannot be generated")]
    Key(#[from] io::Error),
    /// Permissions of the folder cannot be changed.
    #[error("the permissions of the data folder cannot be changed")]
    Permissions(#[source] io::Error),
    /// DynamoDB cannot start.
    #[error(transparent)]
    DynamoDb(#[from] dynamodb::DynamoDbStartError),
    /// SQS cannot start.
    #[error(transparent)]
    Sqs(#[from] sqs::SqsStartError),
    /// The manifest cannot be written.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl Stack {
    /// Starts both engines on free ports of 127.0.0.1, with a new access key.
    ///
    /// # Errors
    /// [`StackError`].
    pub async fn start(mut data: DataFolder) -> Result<Self, StackError> {
        data.before_open()?;
        let key = AccessKey::generate()?;
        let dynamodb = DynamoDb::start(&data.dynamodb_file(), &key).await?;
        let sqs = Sqs::start(&data.sqs_file(), &key)?;
        data.mark_databases()?;
        data.restrict_to_owner().map_err(StackError::Permissions)?;
        let endpoints = Endpoints {
            dynamodb: dynamodb.endpoint().to_owned(),
            sqs: sqs.endpoint().to_owned(),
            key,
        };
        let clients = Clients::loopback(&endpoints);
        Ok(Self { data, dynamodb, sqs, endpoints, clients })
    }

    /// The same, with clients that reach the engines without a socket.
    #[must_use]
    pub fn within_process(mut self) -> Self {
        self.clients = self.clients.in_process(self.dynamodb.engine(), self.sqs.engine());
        self
    }

    /// Stops both engines after they have answered open requests.
    pub async fn stop(mut self) {
        self.data.before_close();
        self.sqs.stop().await;
        self.dynamodb.stop().await;
    }
}
