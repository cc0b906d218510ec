//! The engines of one data folder, running, with clients that speak to them.

use super::data_folder::DataDir;
use super::data_folder::manifest::ManifestError;
use super::engines::access_key::AccessKey;
use super::engines::dynamodb::{self, DynamoDb};
use super::engines::sqs::{self, Sqs};
use crate::clients::{Clients, Endpoints};
use std::io;

/// DynamoDB and SQS over one data folder.
#[derive(Debug)]
pub struct Stack {
    /// The folder; it is ours until this is dropped.
    pub data: DataDir,
    /// The engine of tables and streams.
    pub dynamodb: DynamoDb,
    /// The engine of queues.
    pub sqs: Sqs,
    /// Where both listen, and the key of this start, which they ask for.
    pub endpoints: Endpoints,
    /// Clients that speak to both.
    pub clients: Clients,
}

/// Why the engines cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// No access key could be made.
    #[error("no access key can be made")]
    Key(#[from] io::Error),
    /// The folder's files could not be closed to others.
    #[error("the data folder cannot be kept to its owner")]
    Rights(#[source] io::Error),
    /// The one of tables.
    #[error(transparent)]
    DynamoDb(#[from] dynamodb::StartError),
    /// The one of queues.
    #[error(transparent)]
    Sqs(#[from] sqs::StartError),
    /// The files cannot be bound together.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl Stack {
    /// Starts both engines on free ports of 127.0.0.1, with a new access key.
    ///
    /// # Errors
    /// [`StackError`].
    pub async fn start(mut data: DataDir) -> Result<Self, StackError> {
        data.begin()?;
        let key = AccessKey::generate()?;
        let dynamodb = DynamoDb::start(&data.dynamodb_file(), &key).await?;
        let sqs = Sqs::start(&data.sqs_file(), &key)?;
        data.bind()?;
        data.keep_to_owner().map_err(StackError::Rights)?;
        let endpoints = Endpoints { dynamodb: dynamodb.endpoint().to_owned(), sqs: sqs.endpoint().to_owned(), key };
        let clients = Clients::loopback(&endpoints);
        Ok(Self { data, dynamodb, sqs, endpoints, clients })
    }

    /// The same, and its clients reach the engines without a socket.
    #[must_use]
    pub fn within_process(mut self) -> Self {
        self.clients = self.clients.in_process(self.dynamodb.engine(), self.sqs.engine());
        self
    }

    /// Stops both engines, after they have answered what they were asked.
    pub async fn stop(mut self) {
        self.data.close();
        self.sqs.stop().await;
        self.dynamodb.stop().await;
    }
}
