//! Creates the tables and queues of a system.

use crate::clients::Clients;
use aws_sdk_sqs::operation::create_queue::CreateQueueError;
use aws_sdk_sqs::types::QueueAttributeName;
use eventstore::StoreError;
use handlers::app::App;
use handlers::{CommandTableError, CommandWorker, Names, Route};
use projections::{Projection, TableError};
use std::collections::HashMap;

/// The visibility timeout in seconds: longer than any batch, so that no message is handled twice
/// concurrently.
const VISIBILITY_S: u32 = 60;
/// The maximum receive count before the dead-letter queue: SQS's limit. Receives also count when
/// the table or the program fails or a call is throttled, and a dead letter waits for an operator.
/// An event that can never be applied is parked long before.
pub(crate) const MAX_RECEIVES: u32 = 1_000;
/// The message retention in seconds: SQS's limit of 14 days.
const RETENTION_S: u32 = 14 * 24 * 60 * 60;

/// The names of all tables and the addresses of all queues.
#[derive(Debug, Clone)]
pub struct Resources {
    /// The table of events.
    pub events: String,
    /// The table of read models.
    pub read_models: String,
    /// The table of the audit index.
    pub audit_index: String,
    /// The table of the journal.
    pub journal: String,
    /// The table of asynchronous commands.
    pub commands: String,
    /// A queue for each read model and each process.
    pub routes: Vec<Route>,
    /// The queue of jobs.
    pub rebuild_queue_url: String,
    /// The queue of asynchronous commands.
    pub command_queue_url: String,
}

/// Why the tables and queues cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// The table of events.
    #[error("the table of events cannot be created")]
    Events(#[source] StoreError),
    /// The table of read models.
    #[error("the table of read models cannot be created")]
    ReadModels(#[source] TableError),
    /// The table of the audit index.
    #[error("the table of the audit index cannot be created")]
    AuditIndex(#[source] TableError),
    /// The table of the journal.
    #[error("the table of the journal cannot be created")]
    Journal(#[source] TableError),
    /// The table of asynchronous commands.
    #[error("the table of commands cannot be created")]
    Commands(#[source] CommandTableError),
    /// A queue.
    #[error("queue {queue:?} cannot be created")]
    Queue {
        /// The queue's name.
        queue: String,
        /// The error of SQS.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Creates missing tables and queues, and waits until they are usable. Safe to repeat.
///
/// # Errors
/// [`ResourceError`]; what was created before stays.
pub async fn create(
    app: &App,
    clients: &Clients,
    names: &Names,
) -> Result<Resources, ResourceError> {
    let system = clients.system(app, names);
    system.event_store().create_table().await.map_err(ResourceError::Events)?;
    system.read_models().create_table().await.map_err(ResourceError::ReadModels)?;
    system.audit_index().create_table().await.map_err(ResourceError::AuditIndex)?;
    system.journal().create_table().await.map_err(ResourceError::Journal)?;
    system.command_statuses().create_table().await.map_err(ResourceError::Commands)?;
    let mut routes = Vec::new();
    for consumer in app.consumers().iter().map(Projection::consumer) {
        let (name, dead) = (names.queue(&consumer), names.dead_letter_queue(&consumer));
        routes.push(Route {
            consumer,
            queue_url: create_queues(clients, &name, &dead, MAX_RECEIVES).await?,
        });
    }
    let (name, dead) = (names.rebuild_queue(), names.rebuild_dead_letter_queue());
    let rebuild_queue_url = create_queues(clients, &name, &dead, MAX_RECEIVES).await?;
    let (name, dead) = (names.command_queue(), names.command_dead_letter_queue());
    let command_queue_url =
        create_queues(clients, &name, &dead, CommandWorker::QUEUE_RECEIVES).await?;
    let (events, read_models, audit_index) =
        (names.events(), names.read_models(), names.audit_index());
    let (journal, commands) = (names.journal(), names.commands());
    Ok(Resources {
        events,
        read_models,
        audit_index,
        journal,
        commands,
        routes,
        rebuild_queue_url,
        command_queue_url,
    })
}

/// Creates a queue and its dead-letter queue.
async fn create_queues(
    clients: &Clients,
    name: &str,
    dead: &str,
    receives: u32,
) -> Result<String, ResourceError> {
    let dead_url = create_queue(clients, dead, fifo()).await?;
    let attributes = clients.sqs.get_queue_attributes().queue_url(&dead_url);
    let answer = attributes.attribute_names(QueueAttributeName::QueueArn).send().await;
    let answer = answer
        .map_err(|source| ResourceError::Queue { queue: dead.to_owned(), source: source.into() })?;
    let dead_arn =
        answer.attributes().and_then(|attributes| attributes.get(&QueueAttributeName::QueueArn));
    let redrive =
        serde_json::json!({ "deadLetterTargetArn": dead_arn, "maxReceiveCount": receives });
    let mut attributes = fifo();
    attributes.insert(QueueAttributeName::VisibilityTimeout, VISIBILITY_S.to_string());
    attributes.insert(QueueAttributeName::RedrivePolicy, redrive.to_string());
    create_queue(clients, name, attributes).await
}

/// FIFO in high-throughput mode: limits are per message group, which is the stream.
fn fifo() -> HashMap<QueueAttributeName, String> {
    let attributes = [
        (QueueAttributeName::FifoQueue, "true".to_owned()),
        (QueueAttributeName::DeduplicationScope, "messageGroup".to_owned()),
        (QueueAttributeName::FifoThroughputLimit, "perMessageGroupId".to_owned()),
        (QueueAttributeName::MessageRetentionPeriod, RETENTION_S.to_string()),
    ];
    HashMap::from(attributes)
}

async fn create_queue(
    clients: &Clients,
    name: &str,
    attributes: HashMap<QueueAttributeName, String>,
) -> Result<String, ResourceError> {
    let failed = |source| ResourceError::Queue { queue: name.to_owned(), source };
    let request =
        clients.sqs.create_queue().queue_name(name).set_attributes(Some(attributes.clone()));
    let url = match request.send().await {
        Ok(answer) => answer.queue_url,
        Err(error)
            if error.as_service_error().is_some_and(CreateQueueError::is_queue_name_exists) =>
        {
            Some(update_queue(clients, name, attributes).await.map_err(failed)?)
        }
        Err(error) => return Err(failed(error.into())),
    };
    url.ok_or_else(|| failed("the answer has no queue URL".into()))
}

/// Updates the attributes of a queue from an older version.
async fn update_queue(
    clients: &Clients,
    name: &str,
    mut attributes: HashMap<QueueAttributeName, String>,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let url = clients
        .sqs
        .get_queue_url()
        .queue_name(name)
        .send()
        .await?
        .queue_url
        .ok_or("the answer has no queue URL")?;
    // This attribute cannot be changed.
    attributes.remove(&QueueAttributeName::FifoQueue);
    clients
        .sqs
        .set_queue_attributes()
        .queue_url(&url)
        .set_attributes(Some(attributes))
        .send()
        .await?;
    Ok(url)
}
