//! The composition of one system from its clients and names.

use crate::app::{App, Dispatcher};
use crate::audit::AuditTrail;
use crate::aws::names::Names;
use crate::command_queue::{CommandQueue, CommandStatuses, CommandWorker};
use crate::delivery::continuation::Continuations;
use crate::delivery::fan_out::{FanOut, Route};
use crate::delivery::queue::{Queue, QueueError};
use crate::operations::Operations;
use crate::process::ProcessHandler;
use aws_sdk_dynamodb::Client as DynamoDb;
use aws_sdk_sqs::Client as Sqs;
use eventstore::{EventStore, Options};
use futures::future::try_join_all;
use projections::audit_index::AuditIndex;
use projections::journal::Journal;
use projections::{Projection, Projector, ReadModels};
use std::sync::{Arc, OnceLock};

/// The parts of one system, each on its clients and under its names. Cheap to clone.
#[derive(Debug, Clone)]
pub struct System {
    app: App,
    dynamodb: DynamoDb,
    sqs: Sqs,
    names: Names,
    commands: Arc<OnceLock<Dispatcher>>,
    journal: Arc<OnceLock<Journal>>,
}

impl System {
    /// The system of an app under those names, wherever the clients lead.
    pub fn new(app: App, dynamodb: DynamoDb, sqs: Sqs, names: Names) -> Self {
        Self { app, dynamodb, sqs, names, commands: Arc::default(), journal: Arc::default() }
    }

    /// Its app.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The name of this deployment, as `prod`.
    pub fn stage(&self) -> String {
        self.names.stage_of(self.app.stored_name()).to_owned()
    }

    /// Its names.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Its event store, for reading: see [`System::command_store`] for one that handles commands.
    pub fn event_store(&self) -> EventStore {
        EventStore::new(self.dynamodb.clone(), self.names.events())
    }

    /// Its event store, which finds commands in the audit index that are too old for a snapshot.
    pub fn command_store(&self) -> EventStore {
        let command_index = self.app.has_audit_index().then(|| self.projector().command_index());
        let options = Options { command_index, ..Options::default() };
        EventStore::with_options(self.dynamodb.clone(), self.names.events(), options)
    }

    /// The dispatcher of its commands. All parts of one system share the stream cache.
    pub fn commands(&self) -> Dispatcher {
        self.commands.get_or_init(|| Dispatcher::new(&self.app, &self.command_store())).clone()
    }

    /// Its read models.
    pub fn read_models(&self) -> ReadModels {
        ReadModels::new(self.dynamodb.clone(), self.names.read_models())
    }

    /// Its audit index.
    pub fn audit_index(&self) -> AuditIndex {
        AuditIndex::new(self.dynamodb.clone(), self.names.audit_index())
    }

    /// Its journal. All parts of one system share what they know of its end.
    pub fn journal(&self) -> Journal {
        let journal = || Journal::new(self.dynamodb.clone(), self.names.journal());
        self.journal.get_or_init(journal).clone()
    }

    /// A projector from its events to its read models.
    pub fn projector(&self) -> Projector {
        let (events, read_models) = (self.event_store(), self.read_models());
        Projector::new(events, read_models, self.audit_index(), self.journal())
    }

    /// Its operations, with that projector.
    pub fn operations(&self, projector: Projector) -> Operations {
        Operations::new(
            self.app.clone(),
            self.event_store(),
            projector,
            self.sqs.clone(),
            self.names.clone(),
        )
    }

    /// Its audit trail.
    pub fn audit_trail(&self) -> AuditTrail {
        AuditTrail::new(self.app.clone(), self.event_store(), self.projector())
    }

    /// Its table of commands that are answered later.
    pub fn command_statuses(&self) -> CommandStatuses {
        CommandStatuses::new(self.dynamodb.clone(), self.names.commands())
    }

    /// The queue of that name, which it looks for.
    pub(crate) async fn queue(&self, name: &str) -> Result<Queue, QueueError> {
        Queue::named(self.sqs.clone(), name).await
    }

    /// The client of its queues.
    pub(crate) fn sqs(&self) -> &Sqs {
        &self.sqs
    }

    /// Its queue of commands that are answered later, which it looks for.
    ///
    /// # Errors
    /// [`QueueError`]: it is not there, or SQS does not answer.
    pub async fn command_queue(&self) -> Result<CommandQueue, QueueError> {
        let queue = Queue::named(self.sqs.clone(), &self.names.command_queue()).await?;
        Ok(CommandQueue::of(self.command_statuses(), queue))
    }

    /// The worker of those commands.
    pub fn command_worker(&self) -> CommandWorker {
        CommandWorker::of(self.app.clone(), self.commands(), self.command_statuses())
    }

    /// The handler of the process of that name, with that projector; none if the app has no such
    /// process.
    pub fn process(&self, name: &str, projector: Projector) -> Option<ProcessHandler> {
        let process = self.app.process_named(name)?.clone();
        let send = self.commands().sender(&self.app);
        Some(ProcessHandler::new(process, send, self.read_models(), projector))
    }

    /// What lets the projection's streams go on in another call, through its queue, which is looked
    /// for.
    ///
    /// # Errors
    /// [`QueueError`]: it is not there, or SQS does not answer.
    pub async fn continuations(
        &self,
        projection: &Projection,
    ) -> Result<Continuations, QueueError> {
        let name = self.names.queue(&projection.consumer());
        Ok(Continuations::of(Queue::named(self.sqs.clone(), &name).await?))
    }

    /// A fan-out to the queues of all consumers, which it looks for.
    ///
    /// # Errors
    /// [`QueueError`]: one is not there, or SQS does not answer.
    pub async fn fan_out(&self) -> Result<FanOut, QueueError> {
        let routes = self.app.consumers().iter().map(|consumer| self.route(consumer));
        Ok(FanOut::new(self.sqs.clone(), try_join_all(routes).await?))
    }

    async fn route(&self, projection: &Projection) -> Result<Route, QueueError> {
        let consumer = projection.consumer();
        let queue = Queue::named(self.sqs.clone(), &self.names.queue(&consumer)).await?;
        Ok(Route { consumer, queue_url: queue.url().to_owned() })
    }
}
