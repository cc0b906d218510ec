//! Long streams at once, as a data migration would bring them: through the store, behind the API's back.

use eventstore::{Consistency, Envelope, EventStore, Hash, Head, Id, NewCommit, NewEvent, StreamId};
use ledgerfold::clients::{Clients, Endpoints};
use serde_json::value::RawValue;

/// The events of a commit.
pub(crate) const COMMIT_EVENTS: usize = 10;

/// Clients of a running system, by the variables that it prints.
pub(crate) fn clients(exports: &[(String, String)]) -> Clients {
    let endpoint = |name| exports.iter().find(|(found, _)| found == name).unwrap().1.clone();
    let (dynamodb, sqs) = (endpoint("AWS_ENDPOINT_URL_DYNAMODB"), endpoint("AWS_ENDPOINT_URL_SQS"));
    Clients::loopback(&Endpoints { dynamodb, sqs })
}

/// Receives so many copies of a book, so many times, in commits of [`COMMIT_EVENTS`] events.
pub(crate) async fn receive_at_once(exports: &[(String, String)], isbn: &str, events: usize, quantity: u32) {
    let store = EventStore::new(clients(exports).dynamodb, "ledgerfold-events");
    let data = RawValue::from_string(format!("{{\"quantity\":{quantity}}}")).unwrap();
    let event = NewEvent { event_type: "StockReceived".to_owned(), schema: 1, data };
    let commit = |number| NewCommit { envelope: envelope(number), events: vec![event.clone(); COMMIT_EVENTS] };
    let head = Head::empty(&StreamId::new(format!("stock-{isbn}")).unwrap());
    store.append(&head, (0..events / COMMIT_EVENTS).map(commit).collect()).await.unwrap();
}

/// Appends events to a stream, each a commit of its own: type, schema version, data.
pub(crate) async fn append(store: &EventStore, stream: &str, events: &[(&str, u32, &str)]) {
    let (mut head, _) = store.head(&StreamId::new(stream).unwrap(), Consistency::Strong).await.unwrap();
    for (event_type, schema, data) in events {
        let data = RawValue::from_string((*data).to_owned()).unwrap();
        let event = NewEvent { event_type: (*event_type).to_owned(), schema: *schema, data };
        let number = usize::try_from(head.version()).unwrap();
        let commit = NewCommit { envelope: envelope(number), events: vec![event] };
        head = store.append(&head, vec![commit]).await.unwrap().head;
    }
}

fn envelope(number: usize) -> Envelope {
    let command_id = Id::new(format!("migration-{number}")).unwrap();
    Envelope {
        fingerprint: Hash::of(&[command_id.as_str().as_bytes()]),
        correlation_id: command_id.clone(),
        command_id,
        causation_id: None,
        actor: Id::new("migration").unwrap(),
        trace_parent: None,
    }
}
