//! The tables and queues that Ledgerfold lives on.

use crate::clients::Clients;
use aws_sdk_sqs::operation::create_queue::CreateQueueError;
use aws_sdk_sqs::types::QueueAttributeName;
use eventstore::StoreError;
use handlers::app::App;
use handlers::{CommandTableError, CommandWorker, Names, Route};
use projections::{Projection, TableError};
use std::collections::HashMap;

/// How long a message is one handler's alone, in seconds: more than any batch takes, so that none is handled twice at once.
const VISIBILITY_S: u32 = 60;
/// How often a message is received before it goes to the dead-letter queue: SQS's most. A receive also counts when the table
/// fails, when the program fails, and when a call is throttled, and a dead letter waits for an operator. What can never be
/// applied is parked long before.
pub(crate) const MAX_RECEIVES: u32 = 1_000;
/// How long a queue keeps what a dead component missed, in seconds: SQS's longest, 14 days.
const RETENTION_S: u32 = 14 * 24 * 60 * 60;

/// Everything that was made, or was there.
#[derive(Debug, Clone)]
pub struct Resources {
    /// The table of events.
    pub events: String,
    /// The table of read models.
    pub read_models: String,
    /// The table of the audit index.
    pub audit_index: String,
    /// The table of commands that are answered later.
    pub commands: String,
    /// A queue for each read model and each process.
    pub routes: Vec<Route>,
    /// Where the queue of jobs is.
    pub rebuild_queue_url: String,
    /// Where the queue of commands is that are answered later.
    pub command_queue_url: String,
}

/// Why the tables and queues could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// The table of events.
    #[error("the table of events cannot be made")]
    Events(#[source] StoreError),
    /// The table of read models.
    #[error("the table of read models cannot be made")]
    ReadModels(#[source] TableError),
    /// The table of the audit index.
    #[error("the table of the audit index cannot be made")]
    AuditIndex(#[source] TableError),
    /// The table of commands that are answered later.
    #[error("the table of commands cannot be made")]
    Commands(#[source] CommandTableError),
    /// A queue.
    #[error("queue {queue:?} cannot be made")]
    Queue {
        /// The queue's name.
        queue: String,
        /// SQS's answer.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Makes what is not there yet, and waits until it can be used. Safe to repeat.
///
/// # Errors
/// [`ResourceError`]; what was made until then stays.
pub async fn create(app: &App, clients: &Clients, names: &Names) -> Result<Resources, ResourceError> {
    let system = clients.system(app, names);
    system.event_store().create_table().await.map_err(ResourceError::Events)?;
    system.read_models().create_table().await.map_err(ResourceError::ReadModels)?;
    system.audit_index().create_table().await.map_err(ResourceError::AuditIndex)?;
    system.command_statuses().create_table().await.map_err(ResourceError::Commands)?;
    let mut routes = Vec::new();
    for consumer in app.consumers().iter().map(Projection::consumer) {
        let (name, dead) = (names.queue(&consumer), names.dead_letter_queue(&consumer));
        routes.push(Route { consumer, queue_url: create_queues(clients, &name, &dead, MAX_RECEIVES).await? });
    }
    let (name, dead) = (names.rebuild_queue(), names.rebuild_dead_letter_queue());
    let rebuild_queue_url = create_queues(clients, &name, &dead, MAX_RECEIVES).await?;
    let (name, dead) = (names.command_queue(), names.command_dead_letter_queue());
    let command_queue_url = create_queues(clients, &name, &dead, CommandWorker::QUEUE_RECEIVES).await?;
    let (events, read_models, audit_index) = (names.events(), names.read_models(), names.audit_index());
    let commands = names.commands();
    Ok(Resources { events, read_models, audit_index, commands, routes, rebuild_queue_url, command_queue_url })
}

/// Makes a queue and its dead-letter queue.
async fn create_queues(clients: &Clients, name: &str, dead: &str, receives: u32) -> Result<String, ResourceError> {
    let dead_url = create_queue(clients, dead, fifo()).await?;
    let attributes = clients.sqs.get_queue_attributes().queue_url(&dead_url);
    let answer = attributes.attribute_names(QueueAttributeName::QueueArn).send().await;
    let answer = answer.map_err(|source| ResourceError::Queue { queue: dead.to_owned(), source: source.into() })?;
    let dead_arn = answer.attributes().and_then(|attributes| attributes.get(&QueueAttributeName::QueueArn));
    let redrive = serde_json::json!({ "deadLetterTargetArn": dead_arn, "maxReceiveCount": receives });
    let mut attributes = fifo();
    attributes.insert(QueueAttributeName::VisibilityTimeout, VISIBILITY_S.to_string());
    attributes.insert(QueueAttributeName::RedrivePolicy, redrive.to_string());
    create_queue(clients, name, attributes).await
}

/// FIFO in high-throughput mode: the limits count per group, which is the stream.
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
    let request = clients.sqs.create_queue().queue_name(name).set_attributes(Some(attributes.clone()));
    let url = match request.send().await {
        Ok(answer) => answer.queue_url,
        Err(error) if error.as_service_error().is_some_and(CreateQueueError::is_queue_name_exists) => {
            Some(adapt_queue(clients, name, attributes).await.map_err(failed)?)
        }
        Err(error) => return Err(failed(error.into())),
    };
    url.ok_or_else(|| failed("the answer has no queue URL".into()))
}

/// Gives a queue that an older program made the attributes of today.
async fn adapt_queue(
    clients: &Clients,
    name: &str,
    mut attributes: HashMap<QueueAttributeName, String>,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let url =
        clients.sqs.get_queue_url().queue_name(name).send().await?.queue_url.ok_or("the answer has no queue URL")?;
    // Whether it is FIFO is decided once.
    attributes.remove(&QueueAttributeName::FifoQueue);
    clients.sqs.set_queue_attributes().queue_url(&url).set_attributes(Some(attributes)).send().await?;
    Ok(url)
}
