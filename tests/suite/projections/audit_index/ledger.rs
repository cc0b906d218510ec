//! A store with a clock of its own, the audit index beside it, and what an index of that store has to say.

use crate::harness::engine::dynamodb;
use crate::harness::faults::FaultInjector;
use crate::harness::waiting::PATIENCE;
use aws_sdk_dynamodb::Client;
use chrono::{DateTime, TimeDelta, Utc};
use eventstore::{
    Batch, Clock, CommandMetadata, Commit, Consistency, EventStore, Fingerprint, Id, Item, NewCommit, NewEvent,
    Options, StreamId,
};
use ledgerfold::local::dynamodb::DynamoDb;
use projections::audit_index::{AuditIndex, AuditPage, AuditSearch, Entry, Found};
use projections::{ShortHash, TimeLimit};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const EVENTS: &str = "events";
pub(super) const AUDIT: &str = "audit";

/// A commit and the stream that it stands in.
pub(super) type Entered = (StreamId, Commit);

pub(super) struct Ledger {
    pub(super) client: Client,
    pub(super) store: EventStore,
    clock: Arc<Mutex<DateTime<Utc>>>,
    _engine: (DynamoDb, TempDir),
}

impl Ledger {
    /// An empty store on an engine of its own; it is 2026-11-22, 10:00.
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (engine, clients) = dynamodb(&folder.path().join("ledger.db")).await;
        let client = clients.dynamodb;
        let clock = Arc::new(Mutex::new("2026-11-22T10:00:00.123Z".parse().unwrap()));
        let now = clock.clone();
        let tell: Clock = Arc::new(move || *now.lock().unwrap());
        let store = EventStore::with_options(client.clone(), EVENTS, Options { clock: tell, ..Options::default() });
        store.create_table().await.unwrap();
        let ledger = Self { client, store, clock, _engine: (engine, folder) };
        ledger.index().create_table().await.unwrap();
        ledger
    }

    /// The index of a process that remembers nothing.
    pub(super) fn index(&self) -> AuditIndex {
        AuditIndex::new(self.client.clone(), AUDIT)
    }

    /// Such a process, which speaks over the wire.
    pub(super) fn process(&self, wire: &FaultInjector) -> (EventStore, AuditIndex) {
        let client = wire.client(&self.client);
        (EventStore::new(client.clone(), EVENTS), AuditIndex::new(client, AUDIT))
    }

    pub(super) fn pass(&self, time: TimeDelta) {
        *self.clock.lock().unwrap() += time;
    }

    /// Appends the commits as one item behind the stream's end.
    pub(super) async fn append(&self, stream: &StreamId, commits: Vec<NewCommit>) -> Vec<Entered> {
        let (head, _) = self.store.head(stream, Consistency::Strong).await.unwrap();
        let Batch { commits, .. } = self.store.append(&head, commits).await.unwrap().batch;
        commits.into_iter().map(|commit| (stream.clone(), commit)).collect()
    }

    /// A stream of so many commits, each an item.
    pub(super) async fn write(&self, stream: &StreamId, commits: usize) -> Vec<Entered> {
        let mut all = Vec::new();
        for number in 0..commits {
            self.pass(TimeDelta::milliseconds(7));
            all.extend(self.append(stream, vec![commit(&format!("{stream}/{number}"), "tester", &["Noted"])]).await);
        }
        all
    }

    /// Enters the commits one by one.
    pub(super) async fn enter(&self, index: &AuditIndex, generation: u32, commits: &[Entered]) {
        for (stream, commit) in commits {
            index.index(&self.store, generation, stream, std::slice::from_ref(commit), TimeLimit::NONE).await.unwrap();
        }
    }

    /// Every item of the audit table.
    pub(super) async fn items(&self) -> Vec<Item> {
        let pages = self.client.scan().table_name(AUDIT).consistent_read(true);
        let mut items = pages.into_paginator().items().send();
        let mut all = Vec::new();
        while let Some(item) = items.next().await {
            all.push(item.unwrap());
        }
        all
    }

    /// Every item, to be compared.
    pub(super) async fn dump(&self) -> BTreeSet<String> {
        let items = self.items().await;
        items
            .into_iter()
            .map(|item| format!("{:?}", item.into_iter().collect::<std::collections::BTreeMap<_, _>>()))
            .collect()
    }

    /// Asserts that the index finds these commits and no other, and says of each that it is entered.
    pub(super) async fn assert_entered(&self, generation: u32, commits: &[Entered]) {
        let index = self.index();
        let search = AuditSearch::all(eventstore::Direction::Forwards, 1_000);
        let AuditPage { found, next } = index.search(generation, &search).await.unwrap();
        assert_eq!((found, next), (expected(commits), None), "generation {generation}");
        assert!(index.entered(generation, commits).await.unwrap().into_iter().all(|entry| entry == Entry::Same));
    }
}

/// What an index has to say of these commits: in the order of time, then of stream and version.
pub(super) fn expected(commits: &[Entered]) -> Vec<Found> {
    let mut found: Vec<Found> = commits.iter().map(found).collect();
    found.sort_by_key(|found| (found.recorded_at, format!("{}#{:016}", found.stream, found.version)));
    found
}

fn found((stream, commit): &Entered) -> Found {
    let metadata = commit.metadata.clone();
    let mut event_types: Vec<String> = Vec::new();
    for event in &commit.events {
        if !event_types.contains(&event.body.event_type) {
            event_types.push(event.body.event_type.clone());
        }
    }
    Found {
        stream: stream.clone(),
        version: commit.version,
        last_version: commit.version + u64::try_from(commit.events.len()).unwrap() - 1,
        recorded_at: commit.recorded_at,
        command_id: metadata.command_id,
        correlation_id: metadata.correlation_id,
        causation_id: metadata.causation_id,
        actor: metadata.actor,
        event_types,
        hash: ShortHash::from(&commit.hash),
    }
}

pub(super) fn id(text: impl Into<String>) -> Id {
    Id::new(text).unwrap()
}

pub(super) fn stream(name: &str) -> StreamId {
    StreamId::new(format!("note-{name}")).unwrap()
}

/// A command's events, one of each type.
pub(super) fn commit(command: &str, actor: &str, types: &[&str]) -> NewCommit {
    let metadata = CommandMetadata {
        command_id: id(command),
        fingerprint: Fingerprint::of(&[command.as_bytes()]),
        correlation_id: id("a-correlation"),
        causation_id: None,
        actor: id(actor),
        trace_parent: None,
    };
    let event = |event_type: &&str| NewEvent {
        event_type: (*event_type).to_owned(),
        schema: 1,
        data: RawValue::from_string("{}".into()).unwrap(),
    };
    NewCommit { metadata, events: types.iter().map(event).collect() }
}

/// All pages of a search, put together. No page is longer than it may be.
pub(super) async fn all_pages(index: &AuditIndex, generation: u32, search: &AuditSearch) -> Vec<Found> {
    let (mut search, mut all) = (search.clone(), Vec::new());
    let walk = async {
        loop {
            let AuditPage { found, next } = index.search(generation, &search).await.unwrap();
            assert!(found.len() <= search.limit);
            all.extend(found);
            // As a client brings it back.
            let Some(next) = next else { break };
            search.after = serde_json::from_str(&serde_json::to_string(&next).unwrap()).unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, walk).await.expect("the pages do not end");
    all
}
