//! The table of statuses: its creation, and why a request to it fails.

use super::CommandStatuses;
use super::row::{EXPIRES, KEY};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
    TimeToLiveSpecification, TimeToLiveStatus,
};
use eventstore::ErrorSource;
use std::sync::Arc;
use std::time::Duration;

/// How often the status of a new table is read, once a second.
const MAX_STATUS_READS: u32 = 60;

/// Why a request to the table of commands failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommandTableError {
    /// DynamoDB throttled the request.
    #[error("DynamoDB throttled the table of commands")]
    Throttled(#[source] ErrorSource),
    /// Any other failure: no answer, no table, no rights.
    #[error("a request to the table of commands {table:?} failed")]
    Failed {
        /// The table's name.
        table: String,
        /// The SDK's error.
        #[source]
        source: ErrorSource,
    },
    /// A row is unreadable.
    #[error("a row of the table of commands {table:?} cannot be read")]
    Unreadable {
        /// The table's name.
        table: String,
        /// Why.
        #[source]
        source: ErrorSource,
    },
}

impl CommandStatuses {
    pub(super) fn unreadable(&self, error: serde_dynamo::Error) -> CommandTableError {
        CommandTableError::Unreadable { table: self.table.clone(), source: Arc::new(error) }
    }

    pub(super) fn failed<E, R>(&self, error: SdkError<E, R>) -> CommandTableError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let throttled = matches!(
            error.code(),
            Some(
                "ProvisionedThroughputExceededException"
                    | "ThrottlingException"
                    | "RequestLimitExceeded"
            )
        );
        if throttled {
            CommandTableError::Throttled(Arc::new(error))
        } else {
            self.failed_by(error)
        }
    }

    pub(super) fn failed_by(
        &self,
        error: impl std::error::Error + Send + Sync + 'static,
    ) -> CommandTableError {
        CommandTableError::Failed { table: self.table.clone(), source: Arc::new(error) }
    }

    /// Creates the table, and waits until it can be used. Does nothing if it exists.
    ///
    /// # Errors
    /// [`CommandTableError`].
    pub async fn create_table(&self) -> Result<(), CommandTableError> {
        let key = KeySchemaElement::builder().attribute_name(KEY).key_type(KeyType::Hash).build();
        let attribute = AttributeDefinition::builder()
            .attribute_name(KEY)
            .attribute_type(ScalarAttributeType::S)
            .build();
        let request = self
            .client
            .create_table()
            .table_name(&self.table)
            .billing_mode(BillingMode::PayPerRequest);
        let request = request.key_schema(key.map_err(|error| self.failed_by(error))?);
        match request
            .attribute_definitions(attribute.map_err(|error| self.failed_by(error))?)
            .send()
            .await
        {
            Ok(_) => {}
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(CreateTableError::is_resource_in_use_exception) => {}
            Err(error) => return Err(self.failed(error)),
        }
        self.wait_until_active().await?;
        self.let_rows_expire().await
    }

    async fn wait_until_active(&self) -> Result<(), CommandTableError> {
        for _ in 0..MAX_STATUS_READS {
            let answer = self.client.describe_table().table_name(&self.table).send().await;
            let table = answer.map_err(|error| self.failed(error))?.table;
            if table.and_then(|table| table.table_status) == Some(TableStatus::Active) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let late: Box<dyn std::error::Error + Send + Sync> = "it was not active after 60 s".into();
        Err(CommandTableError::Failed { table: self.table.clone(), source: late.into() })
    }

    /// Enables the time to live, if it is not enabled: DynamoDB rejects a second request.
    async fn let_rows_expire(&self) -> Result<(), CommandTableError> {
        let answer = self.client.describe_time_to_live().table_name(&self.table).send().await;
        let known = answer.map_err(|error| self.failed(error))?.time_to_live_description;
        let status = known.and_then(|known| known.time_to_live_status);
        if matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) {
            return Ok(());
        }
        let wanted =
            TimeToLiveSpecification::builder().attribute_name(EXPIRES).enabled(true).build();
        let wanted = wanted.map_err(|error| self.failed_by(error))?;
        let request = self
            .client
            .update_time_to_live()
            .table_name(&self.table)
            .time_to_live_specification(wanted);
        request.send().await.map(drop).map_err(|error| self.failed(error))
    }
}
