//! event-store-adapter-rs: three tables, one event per write, snapshots from the caller.

use super::{Attempt, Read, tables};
use crate::Failure;
use crate::notebook::{Command, Notebook, Noted};
use aws_sdk_dynamodb::Client;
use chrono::{DateTime, Utc};
use event_store_adapter_rs::{
    AggregateId, DynamoDbOptions, DynamoDbTables, EventEnvelope, EventStoreError,
    EventStoreForDynamoDB, SnapshotEnvelope,
};
use std::time::SystemTime;

const JOURNAL: &str = "journal";
const HEAD: &str = "head";
const SNAPSHOT: &str = "snapshot";
const HISTORY_INDEX: &str = "snapshot-history";
/// Events between snapshots.
const SNAPSHOT_EVERY: u64 = 50;

/// The store, and whether it writes snapshots.
pub(crate) struct EsaRow {
    store: EventStoreForDynamoDB<NotebookId, Notebook, Noted>,
    snapshots: bool,
}

#[derive(Debug, Clone)]
struct NotebookId(String);

/// A loaded stream.
struct Replayed {
    state: Notebook,
    /// The number of the last event.
    seq_nr: u64,
    /// The number of events that were read.
    events: u64,
}

impl AggregateId for NotebookId {
    fn type_name(&self) -> String {
        "note".to_owned()
    }

    fn value(&self) -> String {
        self.0.clone()
    }
}

pub(super) async fn create_tables(client: &Client) -> Result<(), Failure> {
    tables::table(client, JOURNAL, "aid", Some("seq_nr"))?.send().await?;
    tables::table(client, HEAD, "aid", None)?.send().await?;
    let snapshots = tables::table(client, SNAPSHOT, "aid", Some("skey"))?;
    tables::with_index(snapshots, HISTORY_INDEX, "aid", "active_history_seq_nr")?.send().await?;
    Ok(())
}

impl EsaRow {
    pub(super) async fn open(client: Client, snapshots: bool) -> Result<Self, Failure> {
        let tables = DynamoDbTables {
            journal_table_name: JOURNAL.to_owned(),
            snapshot_table_name: SNAPSHOT.to_owned(),
            head_table_name: HEAD.to_owned(),
            snapshot_history_index_name: HISTORY_INDEX.to_owned(),
        };
        let store = EventStoreForDynamoDB::open(client, tables, DynamoDbOptions::default()).await?;
        Ok(Self { store, snapshots })
    }

    pub(super) async fn attempt(
        &self,
        stream: &str,
        command: &Command,
    ) -> Result<Attempt, Failure> {
        let id = NotebookId(stream.to_owned());
        let mut known = match command.creates {
            true => Replayed { state: Notebook::default(), seq_nr: 0, events: 0 },
            false => self.replay(&id).await?,
        };
        // It has no write of several events.
        for (index, note) in known.state.decide(&command.notes)?.into_iter().enumerate() {
            known.state = known.state.evolve(&note);
            known.seq_nr += 1;
            match self.persist(&id, &known, note).await {
                Ok(()) => {}
                Err(EventStoreError::OptimisticLock { .. }) if index == 0 => {
                    return Ok(Attempt::LOST);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Attempt::DONE)
    }

    pub(super) async fn read(&self, stream: &str) -> Result<Read, Failure> {
        let Replayed { state, events, .. } = self.replay(&NotebookId(stream.to_owned())).await?;
        Ok(Read { events, notes: state.notes })
    }

    pub(super) async fn fill(&self, stream: &str, events: u64) -> Result<(), Failure> {
        let id = NotebookId(stream.to_owned());
        for number in 1..=events {
            let known = Replayed { state: Notebook { notes: number }, seq_nr: number, events: 0 };
            self.persist(&id, &known, Noted::any()).await?;
        }
        Ok(())
    }

    /// Loads the latest snapshot and later events, as the repository of its example does.
    async fn replay(&self, id: &NotebookId) -> Result<Replayed, Failure> {
        let Some(found) = self.store.get_latest_snapshot_by_id(id).await? else {
            return Ok(Replayed { state: Notebook::default(), seq_nr: 0, events: 0 });
        };
        let (snapshot, head) = found.into_parts();
        let behind = snapshot.as_ref().map_or(0, SnapshotEnvelope::seq_nr);
        let state = snapshot.map_or_else(Notebook::default, SnapshotEnvelope::into_aggregate);
        let events = self.store.get_events_by_id_since_seq_nr(id, behind + 1).await?;
        let seq_nr = events.last().map_or(head, EventEnvelope::seq_nr);
        let state = events.iter().fold(state, |state, event| state.evolve(event.payload()));
        Ok(Replayed { state, seq_nr, events: u64::try_from(events.len())? })
    }

    async fn persist(
        &self,
        id: &NotebookId,
        after: &Replayed,
        note: Noted,
    ) -> Result<(), EventStoreError> {
        let now = DateTime::<Utc>::from(SystemTime::now());
        let event =
            EventEnvelope::new(id.clone(), after.seq_nr, now, note).with_manifest("noted/1");
        if self.snapshots && after.seq_nr.is_multiple_of(SNAPSHOT_EVERY) {
            let snapshot =
                SnapshotEnvelope::new(after.state, after.seq_nr).with_manifest("notebook/1");
            return self.store.persist_event_and_snapshot(event, snapshot).await;
        }
        self.store.persist_event(event).await
    }
}
