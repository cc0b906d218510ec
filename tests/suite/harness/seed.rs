//! Long streams at once, as a data migration would bring them: through the store, past the API.

use crate::harness::waiting::eventually;
use eventstore::{
    CommandMetadata, Consistency, Direction, EventStore, Fingerprint, Head, Id, NewCommit,
    NewEvent, StreamId,
};
use handlers::Names;
use ledgerfold::clients::{Clients, Endpoints};
use ledgerfold::local::engines::access_key::AccessKey;
use projections::audit_index::AuditSearch;
use serde_json::json;
use serde_json::value::RawValue;

/// The events of a commit.
pub(crate) const COMMIT_EVENTS: usize = 10;

/// Clients of a running system, by the variables that it prints.
pub(crate) fn clients(exports: &[(String, String)]) -> Clients {
    let variable = |name| exports.iter().find(|(found, _)| found == name).unwrap().1.clone();
    let (dynamodb, sqs) = (variable("AWS_ENDPOINT_URL_DYNAMODB"), variable("AWS_ENDPOINT_URL_SQS"));
    let key =
        AccessKey { id: variable("AWS_ACCESS_KEY_ID"), secret: variable("AWS_SECRET_ACCESS_KEY") };
    Clients::loopback(&Endpoints { dynamodb, sqs, key })
}

/// Receives so many copies of a book, so many times, in commits of [`COMMIT_EVENTS`] events.
pub(crate) async fn receive_at_once(
    exports: &[(String, String)],
    isbn: &str,
    events: usize,
    quantity: u32,
) {
    let store = EventStore::new(clients(exports).dynamodb, "ledgerfold-events");
    let data = RawValue::from_string(format!("{{\"quantity\":{quantity}}}")).unwrap();
    let event = NewEvent { event_type: "StockReceived".to_owned(), schema: 1, data };
    let commit = |number| NewCommit {
        metadata: metadata(number),
        events: vec![event.clone(); COMMIT_EVENTS],
    };
    let head = Head::empty(&StreamId::new(format!("stock-{isbn}")).unwrap());
    store.append(&head, (0..events / COMMIT_EVENTS).map(commit).collect()).await.unwrap();
}

/// Appends events to a stream, each as a commit: type, schema version, data.
pub(crate) async fn append_each(store: &EventStore, stream: &str, events: &[(&str, u32, &str)]) {
    let (mut head, _) =
        store.head(&StreamId::new(stream).unwrap(), Consistency::Strong).await.unwrap();
    for (event_type, schema, data) in events {
        let data = RawValue::from_string((*data).to_owned()).unwrap();
        let event = NewEvent { event_type: (*event_type).to_owned(), schema: *schema, data };
        let number = usize::try_from(head.version()).unwrap();
        let commit = NewCommit { metadata: metadata(number), events: vec![event] };
        head = store.append(&head, vec![commit]).await.unwrap().head;
    }
}

fn metadata(number: usize) -> CommandMetadata {
    let command_id = Id::new(format!("migration-{number}")).unwrap();
    CommandMetadata {
        fingerprint: Fingerprint::of(&[command_id.as_str().as_bytes()]),
        correlation_id: command_id.clone(),
        command_id,
        causation_id: None,
        actor: Id::new("migration").unwrap(),
        trace_parent: None,
    }
}

/// The store of a running system.
pub(crate) fn store(exports: &[(String, String)]) -> EventStore {
    EventStore::new(clients(exports).dynamodb, "ledgerfold-events")
}

/// A commit to write past the API. By default, other ids are the command's id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seed {
    pub(crate) command: String,
    pub(crate) actor: Option<String>,
    pub(crate) correlation: Option<String>,
    pub(crate) cause: Option<String>,
    /// Types and data.
    pub(crate) events: Vec<(&'static str, serde_json::Value)>,
}

/// Appends the commits as one item, so they have the same time.
pub(crate) async fn append(store: &EventStore, stream: &str, seeds: &[Seed]) {
    let (head, _) = store.head(&StreamId::new(stream).unwrap(), Consistency::Strong).await.unwrap();
    store.append(&head, seeds.iter().map(commit).collect()).await.unwrap();
}

fn commit(Seed { command, actor, correlation, cause, events }: &Seed) -> NewCommit {
    let id = |text: &Option<String>| Id::new(text.as_ref().unwrap_or(command).clone()).unwrap();
    let event = |(event_type, data): &(&str, serde_json::Value)| NewEvent {
        event_type: (*event_type).to_owned(),
        schema: 1,
        data: serde_json::value::to_raw_value(data).unwrap(),
    };
    let metadata = CommandMetadata {
        command_id: Id::new(command.clone()).unwrap(),
        fingerprint: Fingerprint::of(&[command.as_bytes()]),
        correlation_id: id(correlation),
        causation_id: cause.as_ref().map(|cause| Id::new(cause.clone()).unwrap()),
        actor: id(actor),
        trace_parent: None,
    };
    NewCommit { metadata, events: events.iter().map(event).collect() }
}

/// Receives copies of a book in commits of [`COMMIT_EVENTS`] events, a hundred commits per item.
pub(crate) async fn receive_many(exports: &[(String, String)], isbn: &str, events: usize) {
    let store = store(exports);
    let events_of = |commit: usize| {
        (0..COMMIT_EVENTS)
            .map(|event| ("StockReceived", json!({"quantity": commit * COMMIT_EVENTS + event + 1})))
            .collect()
    };
    let seeds: Vec<Seed> = (0..events / COMMIT_EVENTS)
        .map(|number| Seed {
            command: format!("c-{number}"),
            events: events_of(number),
            ..Seed::default()
        })
        .collect();
    for seeds in seeds.chunks(100) {
        append(&store, &format!("stock-{isbn}"), seeds).await;
    }
}

/// Waits until the audit index has the commit with that event, and so all before it. It reads the
/// index directly, since an audit query would be another event.
pub(crate) async fn indexed(exports: &[(String, String)], stream: &str, version: u64) {
    let projector =
        clients(exports).system(&bookshop::app(), &Names::new("ledgerfold")).projector();
    let commit = store(exports)
        .read(&StreamId::new(stream).unwrap(), version, Direction::Backwards, 1)
        .await
        .unwrap();
    let command = commit.commits[0].metadata.command_id.clone();
    let search =
        AuditSearch { command: Some(command), ..AuditSearch::all(Direction::Forwards, 100) };
    let is_there = async || {
        let found = projector.audit_search(&search).await.unwrap().found;
        found.iter().any(|found| found.stream.as_str() == stream).then_some(())
    };
    eventually("the index follows", is_there).await;
}
