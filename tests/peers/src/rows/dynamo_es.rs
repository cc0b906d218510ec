//! cqrs-es with dynamo-es in its event-store mode; the modes with snapshots of this version fold
//! events twice.

use super::{Attempt, Read, tables};
use crate::Failure;
use crate::notebook::{Command, Full, Notebook, Noted};
use aws_sdk_dynamodb::Client;
use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::{PersistedEventRepository, PersistedEventStore, SerializedEvent};
use cqrs_es::{Aggregate, AggregateError, DomainEvent, EventStore};
use dynamo_es::{DynamoCqrs, DynamoEventRepository, dynamodb_cqrs};

/// The default names of the tables.
const EVENTS: &str = "Events";
const SNAPSHOTS: &str = "Snapshots";
/// The most events that it puts into one transaction.
const MAX_TRANSACTION: usize = 25;

/// The framework for commands, and its parts for reading and filling.
pub(crate) struct DynamoEsRow {
    framework: DynamoCqrs<Notebook>,
    store: PersistedEventStore<DynamoEventRepository, Notebook>,
    repository: DynamoEventRepository,
}

impl DomainEvent for Noted {
    fn event_type(&self) -> String {
        "Noted".to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Aggregate for Notebook {
    const TYPE: &'static str = "note";
    type Command = Vec<Noted>;
    type Event = Noted;
    type Error = Full;
    type Services = ();

    async fn handle(
        &mut self,
        notes: Vec<Noted>,
        _services: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Full> {
        for note in self.decide(&notes)? {
            sink.write(note, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: Noted) {
        *self = self.evolve(&event);
    }
}

pub(super) async fn create_tables(client: &Client) -> Result<(), Failure> {
    tables::table(client, EVENTS, "AggregateTypeAndId", Some("AggregateIdSequence"))?
        .send()
        .await?;
    tables::table(client, SNAPSHOTS, "AggregateTypeAndId", None)?.send().await?;
    Ok(())
}

impl DynamoEsRow {
    pub(super) fn open(client: Client) -> Self {
        Self {
            framework: dynamodb_cqrs(client.clone(), Vec::new(), ()),
            store: PersistedEventStore::new_event_store(DynamoEventRepository::new(client.clone())),
            repository: DynamoEventRepository::new(client),
        }
    }

    pub(super) async fn attempt(
        &self,
        stream: &str,
        command: &Command,
    ) -> Result<Attempt, Failure> {
        match self.framework.execute(stream, command.notes.clone()).await {
            Ok(()) => Ok(Attempt::DONE),
            Err(AggregateError::AggregateConflict) => Ok(Attempt::LOST),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn read(&self, stream: &str) -> Result<Read, Failure> {
        let envelopes = self.store.load_events(stream).await?;
        let state = envelopes
            .iter()
            .fold(Notebook::default(), |state, envelope| state.evolve(&envelope.payload));
        Ok(Read { events: u64::try_from(envelopes.len())?, notes: state.notes })
    }

    /// Through its repository, which appends events without reading.
    pub(super) async fn fill(&self, stream: &str, events: u64) -> Result<(), Failure> {
        let sequences: Vec<usize> = (1..=usize::try_from(events)?).collect();
        for chunk in sequences.chunks(MAX_TRANSACTION) {
            let events = chunk
                .iter()
                .map(|sequence| serialized(stream, *sequence))
                .collect::<Result<Vec<_>, _>>()?;
            self.repository.persist::<Notebook>(&events, None).await?;
        }
        Ok(())
    }
}

fn serialized(stream: &str, sequence: usize) -> Result<SerializedEvent, Failure> {
    let note = Noted::any();
    Ok(SerializedEvent::new(
        stream.to_owned(),
        sequence,
        Notebook::TYPE.to_owned(),
        note.event_type(),
        note.event_version(),
        serde_json::to_value(&note)?,
        serde_json::json!({}),
    ))
}
