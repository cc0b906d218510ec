//! Ledgerfold's event store, with all metadata that its API writes.

use super::{Attempt, Read, tables};
use crate::Failure;
use crate::notebook::{Command, Full, Notebook, Noted};
use aws_sdk_dynamodb::Client;
use eventstore::{
    CommandHandler, CommandMetadata, CommandRequest, Consistency, EventCodec, EventStore,
    ExecuteError, Fingerprint, HandlerOptions, Head, Id, Model, NewCommit, SnapshotCodec, StreamId,
};
use serde::{Deserialize, Serialize};

const TABLE: &str = "events";
const EVENTS: EventCodec<Event> = EventCodec::new(&[]);

/// The store, and its command handlers: one for all writers, or one per writer.
pub(crate) struct LedgerfoldRow {
    store: EventStore,
    handlers: Vec<CommandHandler<Notebook, Event, Full>>,
}

/// The event as its documentation says that events are written.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
enum Event {
    Noted(Noted),
}

/// Created here, because the store would create a table with a stream.
pub(super) async fn create_tables(client: &Client) -> Result<(), Failure> {
    tables::table(client, TABLE, "stream_id", Some("version"))?.send().await?;
    Ok(())
}

fn model() -> Model<Notebook, Event> {
    Model {
        initial: Notebook::default,
        evolve: |state, Event::Noted(note)| state.evolve(note),
        encode: |event| EVENTS.encode(event),
        decode: |event| EVENTS.decode(event),
        snapshot: Some(SnapshotCodec::json("notebook/1")),
    }
}

impl LedgerfoldRow {
    /// One handler for all writers.
    pub(super) fn warm(client: Client) -> Self {
        Self::with_handlers(client, 1, HandlerOptions::default())
    }

    /// One handler for all writers, without a cache.
    pub(super) fn cold(client: Client) -> Self {
        Self::with_handlers(
            client,
            1,
            HandlerOptions { cached_streams: 0, ..HandlerOptions::default() },
        )
    }

    /// One handler per writer.
    pub(super) fn racing(client: Client, writers: usize) -> Self {
        Self::with_handlers(client, writers.max(1), HandlerOptions::default())
    }

    fn with_handlers(client: Client, handlers: usize, options: HandlerOptions) -> Self {
        let store = EventStore::new(client, TABLE);
        let handler = || CommandHandler::with_options(store.clone(), model(), options.clone());
        let handlers = std::iter::repeat_with(handler).take(handlers).collect();
        Self { store, handlers }
    }

    pub(super) async fn attempt(
        &self,
        writer: usize,
        stream: &str,
        command: &Command,
    ) -> Result<Attempt, Failure> {
        let handler =
            self.handlers.get(writer % self.handlers.len()).ok_or("a row without a handler")?;
        let request = CommandRequest {
            stream: stream_id(stream)?,
            metadata: metadata(stream, command)?,
            expected_version: None,
            creates: command.creates,
        };
        let notes = command.notes.clone();
        let decide = move |state: &Notebook| {
            Ok(state.decide(&notes)?.into_iter().map(Event::Noted).collect())
        };
        match handler.handle(request, decide).await {
            Ok(handled) => Ok(Attempt { done: true, conflicts: handled.lost_races }),
            Err(ExecuteError::Contention { attempts }) => {
                Ok(Attempt { done: false, conflicts: attempts })
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn read(&self, stream: &str) -> Result<Read, Failure> {
        let loaded = self.store.load(&stream_id(stream)?, Consistency::Strong).await?;
        let mut state = Notebook::default();
        for event in
            loaded.batches.iter().flat_map(|batch| &batch.commits).flat_map(|commit| &commit.events)
        {
            let Event::Noted(note) = EVENTS.decode(&event.body)?;
            state = state.evolve(&note);
        }
        Ok(Read { events: loaded.head.version(), notes: state.notes })
    }

    pub(super) async fn fill(&self, stream: &str, events: u64) -> Result<(), Failure> {
        let mut head = Head::empty(&stream_id(stream)?);
        for _ in 0..events {
            let command = Command::new(1);
            let notes =
                command.notes.iter().cloned().map(|note| EVENTS.encode(&Event::Noted(note)));
            let commit = NewCommit {
                metadata: metadata(stream, &command)?,
                events: notes.collect::<Result<_, _>>()?,
            };
            head = self.store.append(&head, vec![commit]).await?.head;
        }
        Ok(())
    }
}

fn stream_id(stream: &str) -> Result<StreamId, Failure> {
    Ok(StreamId::new(format!("note-{stream}"))?)
}

fn metadata(stream: &str, command: &Command) -> Result<CommandMetadata, Failure> {
    let asked = serde_json::to_vec(&command.notes)?;
    Ok(CommandMetadata {
        command_id: command.id.into(),
        fingerprint: Fingerprint::of(&[b"put-notes", stream.as_bytes(), &asked]),
        correlation_id: command.id.into(),
        causation_id: None,
        actor: Id::new("reader-0192")?,
        trace_parent: None,
    })
}
